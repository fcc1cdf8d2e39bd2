"""Looks: distinct for everyone's eyes, and keyed by name."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from study.reporting.colors import MARKERS, PALETTE, assign_looks, parse_color

# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
VISION = {
    "trichromat": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
WHITE = [0.95047, 1.0, 1.08883]
LEAST = 17.0
"""CIELAB distance; the ten colors of seaborn's "colorblind" that were used before come down to 11."""


def linear(color: tuple[float, float, float]) -> np.ndarray:
    values = np.array(color)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array(TO_XYZ) @ rgb / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", VISION)
def test_any_two_colors_differ_for_every_kind_of_eyes(eyes: str) -> None:
    seen = {
        color: lab(np.clip(np.array(VISION[eyes]) @ linear(parse_color(color)), 0, 1)) for color in PALETTE
    }
    distances = {
        (one, two): float(np.linalg.norm(seen[one] - seen[two])) for one, two in combinations(PALETTE, 2)
    }
    pair = min(distances, key=lambda key: distances[key])
    assert distances[pair] >= LEAST, f"{eyes}: {pair} are {distances[pair]:.1f} apart"


def test_the_distance_is_what_it_is_said_to_be() -> None:
    # White is L* 100 and black L* 0; sRGB red is (53.24, 80.09, 67.20).
    assert np.allclose(lab(linear((1, 1, 1))), [100, 0, 0], atol=0.02)
    assert np.allclose(lab(linear((0, 0, 0))), [0, 0, 0], atol=0.02)
    assert np.allclose(lab(linear((1, 0, 0))), [53.24, 80.09, 67.20], atol=0.05)


def test_colors_are_read_as_fractions() -> None:
    assert parse_color("#ff0033") == (1.0, 0.0, 0.2)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_up_to_eight_together_differ_in_color_and_in_marker(count: int) -> None:
    looks = assign_looks([[f"arm {number}" for number in range(count)]])
    assert len({look.color for look in looks.values()}) == count
    assert len({look.marker for look in looks.values()}) == count


@pytest.mark.parametrize("count", [9, 20, 64])
def test_up_to_sixty_four_differ_in_one_of_them(count: int) -> None:
    looks = assign_looks([[f"arm {number}" for number in range(count)]])
    assert len(set(looks.values())) == count


def test_arms_of_one_table_differ_although_the_study_has_many() -> None:
    tables = [[f"arm {table}.{number}" for number in range(5)] + ["shared"] for table in range(12)]
    looks = assign_looks(tables)
    for table in tables:
        assert len({looks[name].color for name in table}) == len(table)
        assert len({looks[name].marker for name in table}) == len(table)


def test_a_look_belongs_to_the_name_and_not_to_the_order() -> None:
    tables = [["c", "a", "b"], ["e", "d", "a"]]
    looks = assign_looks(tables)
    assert assign_looks([list(reversed(table)) for table in reversed(tables)]) == looks
    assert assign_looks([]) == {}
    assert {look.marker for look in looks.values()} <= set(MARKERS)


def test_a_thousand_names_get_looks() -> None:
    looks = assign_looks([f"{table}/{number}" for number in range(100)] for table in range(10))
    assert len(looks) == 1000
