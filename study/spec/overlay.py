"""Laying partial settings over each other, with memory of which file set each value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.errors import SpecError
from study.spec.yaml import Document, Path_, parse_scalar

KEY = re.compile(r"[\w-]+")
"""A part of the path of ``--set``: a field, or a name such as that of the protocol ``1x1``."""


@dataclass(frozen=True)
class Layer:
    """Partial settings and where they stand.

    Attributes:
        data: nested settings.
        document: the file that holds them; None for the command line.
        prefix: where in that file ``data`` begins.
    """

    data: Mapping[str, Any]
    document: Document | None = None
    prefix: Path_ = ()
    label: str = "command line"

    def where(self, path: Sequence[str | int]) -> str:
        """The place that set ``path``."""
        return self.document.where((*self.prefix, *path)) if self.document else self.label


@dataclass
class Merged:
    """Settings merged from layers, and the layer that set each path last."""

    data: dict[str, Any] = field(default_factory=dict)
    origin: dict[Path_, Layer] = field(default_factory=dict)

    def where(self, path: Sequence[str | int]) -> str:
        """The place that set ``path``, or the nearest key above it."""
        for end in range(len(path), 0, -1):
            layer = self.origin.get(tuple(path[:end]))
            if layer is not None:
                return layer.where(path)
        return "defaults"


def merge_layers(layers: Sequence[Layer]) -> Merged:
    """Lay ``layers`` over each other, the last on top.

    Mappings merge key by key. A mapping that changes ``type`` (another block, another data set) replaces the
    one below, because the options of one type mean nothing to another. Anything else replaces.
    """
    merged = Merged()
    for layer in layers:
        merged.data = _merge(merged.data, layer.data, (), layer, merged.origin)
    return merged


def _merge(below: Any, above: Any, path: Path_, layer: Layer, origin: dict[Path_, Layer]) -> Any:
    origin[path] = layer
    if not isinstance(above, Mapping):
        return above
    keep = isinstance(below, dict) and ("type" not in above or above["type"] == below.get("type"))
    result = dict(below) if keep else {}
    for key, value in above.items():
        result[key] = _merge(result.get(key), value, (*path, key), layer, origin)
    return result


def nest(path: str, value: Any) -> dict[str, Any]:
    """``{"a": {"b": value}}`` for the dotted ``path`` "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def parse_overrides(assignments: Sequence[str]) -> list[Layer]:
    """Layers from ``path=value`` arguments of ``--set``; values are read as YAML.

    Raises:
        SpecError: for every argument that is not of that form.
    """
    layers, problems = [], []
    for text in assignments:
        path, equals, value = text.partition("=")
        if not equals or not path or not all(KEY.fullmatch(part) for part in path.split(".")):
            problems.append(f"--set {text}: expected path=value, for example training.epochs=3")
            continue
        layers.append(Layer(nest(path, parse_scalar(value)), label=f"--set {text}"))
    if problems:
        raise SpecError(problems)
    return layers
