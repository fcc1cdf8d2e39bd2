"""From axes to arms."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from study.errors import SpecError, suggest
from study.spec.experiment import ArmSpec, AxesSpec
from study.spec.overlay import Layer, merge_layers, nest


@dataclass(frozen=True)
class Excluded:
    """A combination of axis values that is left out."""

    values: dict[str, Any]
    because: str


def expand_axes(axes: AxesSpec, where: str) -> tuple[list[ArmSpec], list[Excluded]]:
    """Every combination of the axes as an arm, in the order of the file, and those left out with the reason.

    Args:
        axes: the axes.
        where: the place of the axes in their file, for errors.

    Raises:
        SpecError: when a template names no axis, an ``exclude`` matches nothing or names no axis, or nothing
            is left.
    """
    zipped: list[dict[str, Any]] = [{}]
    if axes.zip:
        zipped = [dict(zip(axes.zip, values, strict=True)) for values in zip(*axes.zip.values(), strict=True)]
    grid = [dict(zip(axes.grid, values, strict=True)) for values in itertools.product(*axes.grid.values())]
    combinations = [product | together for product in grid for together in zipped]

    known = set(axes.grid) | set(axes.zip)
    for rule in axes.exclude:
        for path in rule.when:
            if path not in known:
                raise SpecError(f"{where}: exclude: '{path}' is no axis; {suggest(path, known)}")
        if not any(_matches(values, rule.when) for values in combinations):
            raise SpecError(f"{where}: exclude: nothing matches {rule.when}")
    arms, excluded = [], []
    for values in combinations:
        reason = next((rule.because for rule in axes.exclude if _matches(values, rule.when)), None)
        if reason is not None:
            excluded.append(Excluded(values, reason))
            continue
        names = _leaf_names(values)
        overlay = merge_layers([Layer(nest(path, value)) for path, value in values.items()]).data
        published = _fill(axes.published, names, where) if axes.published else None
        arms.append(ArmSpec(name=_fill(axes.name, names, where), set=overlay, published=published))
    if not arms:
        raise SpecError(f"{where}: every combination is excluded")
    return arms, excluded


def _matches(values: dict[str, Any], when: dict[str, Any]) -> bool:
    return all(values.get(path) == value for path, value in when.items())


def _leaf_names(values: dict[str, Any]) -> dict[str, str]:
    """The last component of each path with its value, and underscores where two end alike."""
    leaves = [path.rsplit(".", 1)[-1] for path in values]
    unique = {path: path.rsplit(".", 1)[-1] for path in values if leaves.count(path.rsplit(".", 1)[-1]) == 1}
    return {unique.get(path, path.replace(".", "_")): str(value) for path, value in values.items()}


def _fill(template: str, names: dict[str, str], where: str) -> str:
    try:
        return template.format_map(names)
    except KeyError as error:
        raise SpecError(f"{where}: template '{template}': {suggest(str(error.args[0]), names)}") from None
    except (ValueError, IndexError, AttributeError) as error:
        raise SpecError(f"{where}: template '{template}': {error}; write an axis as {{name}}") from None
