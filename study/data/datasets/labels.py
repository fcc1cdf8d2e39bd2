"""Class names: looking them up, and what a horizontal flip does to them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from study.errors import DataError, suggest

FEW = 20
"""Classes that an error message lists in full."""


def explain_unknown(name: str, classes: Sequence[str]) -> str:
    """What to say of a label that is no class: the nearest one, and all of them where they are few."""
    if len(classes) <= FEW:
        return f"label '{name}': {suggest(name, classes)}"
    near = difflib.get_close_matches(name, classes, n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"label '{name}': none of the {len(classes)} classes{hint}"


def build_flip_map(
    classes: Sequence[str], pairs: Iterable[tuple[str, str]], source: object
) -> dict[int, int]:
    """The label of a flipped video, for each label that a flip changes.

    Args:
        classes: class names in label order.
        pairs: names of classes that a horizontal flip turns into each other.
        source: what the message of an error names.

    Raises:
        DataError: when a name is no class, or a class has two partners or itself.
    """
    flips: dict[int, int] = {}
    for pair in pairs:
        for name in pair:
            if name not in classes:
                raise DataError(f"{source}: '{name}' is no class; {_nearest(name, classes)}")
        first, second = (classes.index(name) for name in pair)
        if first == second or first in flips or second in flips:
            raise DataError(f"{source}: {pair[0]}, {pair[1]}: a class has one partner, another class")
        flips |= {first: second, second: first}
    return flips


def _nearest(name: str, classes: Sequence[str]) -> str:
    return explain_unknown(name, classes).partition(": ")[2]
