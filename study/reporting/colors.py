"""A color for every arm, keyed by its name, so that it is the same in every figure of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import seaborn as sns

Color = tuple[float, float, float]


def assign_colors(names: Iterable[str]) -> dict[str, Color]:
    """Colors that the color-blind can tell apart; the eleventh arm and on get darker shades of the same ten.

    A name asks for the place that its hash points to and takes the next free one, in alphabetical order: an
    added arm seldom moves the color of another.
    """
    wanted = sorted(set(names))
    base: list[Color] = list(sns.color_palette("colorblind"))
    shades = -(-len(wanted) // len(base))
    palette = [_darken(color, 0.55**shade) for shade in range(shades) for color in base]
    colors: dict[str, Color] = {}
    free = list(range(len(palette)))
    for name in wanted:
        start = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % len(palette)
        place = min(free, key=lambda index: (index - start) % len(palette))
        free.remove(place)
        colors[name] = palette[place]
    return colors


def _darken(color: Color, factor: float) -> Color:
    red, green, blue = color
    return red * factor, green * factor, blue * factor
