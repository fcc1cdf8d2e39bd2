"""How arms and data sets look in figures: a color and a marker for each name, the same in all figures of a study."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Color = tuple[float, float, float]
Taken = Counter[object]
"""How many names have a color, a marker, or both together."""

PALETTE = ("#1845fb", "#ff5e02", "#c91f16", "#c849a9", "#adad7d", "#86c8dd", "#578dff", "#656364")
"""Eight colors that differ for the color-blind too: Petroff, "Accessible Color Sequences for Data Visualization",
arXiv 2107.02270 (matplotlib's ``petroff8``). Of the palettes of eight that we compared its closest two are farthest
apart under every form of color blindness."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIZES = {"P": 1.15, "X": 1.15, "*": 1.5, "D": 0.9}
"""Factors that make markers look equally large; 1 for the others."""
FILLS = ("full", "none", "left", "right", "top", "bottom")
"""Fill of a marker, where one look stands for several points of a figure."""


@dataclass(frozen=True)
class Look:
    """How a name is drawn."""

    color: Color
    marker: str

    @property
    def scale(self) -> float:
        """Factor of the marker's size."""
        return SIZES.get(self.marker, 1.0)


def assign_looks(groups: Iterable[Iterable[str]]) -> dict[str, Look]:
    """A look for each name.

    A name asks for the color and the marker that its hash points to; where others have it already, it takes the one
    that the fewest have, first among the names of its groups, then among all. Up to eight names that are shown
    together differ in color and in marker, up to 64 in one of them. Names in many groups choose first, then in
    alphabetical order, so that the order of groups changes nothing.

    Args:
        groups: names that are shown together: the arms of each experiment. A name may be in several.
    """
    members = [frozenset(group) for group in groups]
    homes: dict[str, list[int]] = {}
    for number, group in enumerate(members):
        for name in group:
            homes.setdefault(name, []).append(number)
    taken: list[Taken] = [Counter() for _ in (*members, "all")]
    chosen: dict[str, Look] = {}
    for name in sorted(homes, key=lambda one: (-len(homes[one]), one)):
        near, everywhere = [taken[home] for home in homes[name]], taken[-1]
        color, marker = _choose_pair(name, near, everywhere)
        for counts in (*near, everywhere):
            counts.update([color, marker, (color, marker)])
        chosen[name] = Look(parse_color(color), marker)
    return chosen


def _choose_pair(name: str, near: Sequence[Taken], everywhere: Taken) -> tuple[str, str]:
    """Color and marker, given what is taken in the groups of ``name`` and in all."""
    color = _choose(PALETTE, name, lambda one: (_most(near, one), everywhere[one]))

    def rank(marker: str) -> tuple[int, ...]:
        pair = (color, marker)
        return _most(near, pair), _most(near, marker), everywhere[pair], everywhere[marker]

    return color, _choose(MARKERS, f"marker of {name}", rank)


def parse_color(text: str) -> Color:
    """``#rrggbb`` as fractions."""
    red, green, blue = (int(text[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _choose(options: Sequence[str], name: str, rank: Callable[[str], tuple[int, ...]]) -> str:
    """The option of the lowest rank; of several, the first from the place that the hash of ``name`` points to."""
    start = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % len(options)
    return min([*options[start:], *options[:start]], key=rank)


def _most(groups: Sequence[Taken], what: object) -> int:
    """How often ``what`` is taken in the group that has it most often."""
    return max(counts[what] for counts in groups)
