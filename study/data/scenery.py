"""What synthetic scenes are made of: textures, colors, cameras and tracks, drawn at random."""

from __future__ import annotations

import numpy as np

from study.data.synthetic import Array, Fill, Sprite, Track

PLAIN_SHAPES = ("disk", "square", "triangle", "ring", "cross", "bar")
"""Shapes of objects that carry no class. Each is its own mirror image."""
WAVES = 4
"""Plane waves of a background texture."""


def draw_texture(rng: np.random.Generator, size: int) -> Array:
    """A dim background (size, size, 3): a color, and plane waves of other colors on it."""
    y, x = np.meshgrid(np.arange(size, dtype=np.float64), np.arange(size, dtype=np.float64), indexing="ij")
    texture = np.ones((size, size, 3)) * rng.uniform(0.15, 0.45, 3)
    for _ in range(WAVES):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        period = size * rng.uniform(0.12, 0.6)
        wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + phase)
        texture += wave[..., None] * rng.uniform(-0.08, 0.08, 3)
    return np.clip(texture, 0.0, 1.0)


def draw_bright_colors(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two colors of an object that stands out: a bright one and a darker shade of it."""
    first = rng.uniform(0.5, 1.0, 3)
    first[rng.integers(3)] = 1.0
    return first, first * rng.uniform(0.3, 0.7, 3)


def draw_dull_colors(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two colors of an object that stands out less."""
    first = rng.uniform(0.0, 0.7, 3)
    return first, (first + 0.35) % 0.7


def smooth_walk(rng: np.random.Generator, frames: int, width: int) -> Array:
    """A random smooth curve (T,) of mean 0 and deviation 1: white noise averaged over ``width`` frames."""
    raw = rng.standard_normal(frames + width - 1)
    kernel = np.hanning(width + 2)[1:-1]
    curve: Array = np.convolve(raw, kernel / np.sqrt(np.sum(kernel**2)), mode="valid")
    return curve


def draw_camera(rng: np.random.Generator, frames: int, deviation: float) -> Array:
    """Displacements (T, 2) of a shaking camera, smooth over three frames, of this standard deviation."""
    return deviation * np.stack([smooth_walk(rng, frames, 3) for _ in range(2)], axis=1)


def draw_still_track(rng: np.random.Generator, frames: int) -> Track:
    """An object near the center that stays where it is."""
    x, y = rng.uniform(0.35, 0.65, 2)
    scale, angle = rng.uniform(0.16, 0.22), rng.uniform(0, 2 * np.pi)
    ones = np.ones(frames)
    return Track(x * ones, y * ones, scale * ones, angle * ones, 0.0 * ones)


def draw_wandering_track(
    rng: np.random.Generator, frames: int, scale: float = 0.13, border: float = 0.15
) -> Track:
    """An object that moves, turns and changes its size at random.

    It moves around a place at least ``border`` from the edges, a fraction of the frame's size.
    """
    walks = [smooth_walk(rng, frames, max(frames // 2, 3)) for _ in range(4)]
    x, y = rng.uniform(border, 1 - border, 2)
    return Track(
        x=x + 0.12 * walks[0],
        y=y + 0.12 * walks[1],
        scale=scale * rng.uniform(0.8, 1.2) * np.exp(0.2 * walks[2]),
        angle=rng.uniform(0, 2 * np.pi) + 0.8 * walks[3],
        glow=np.zeros(frames),
    )


def draw_distractor(rng: np.random.Generator, frames: int) -> Sprite:
    """An object of no class."""
    return draw_sprite(rng, draw_dull_colors(rng), draw_wandering_track(rng, frames))


def draw_sprite(rng: np.random.Generator, colors: tuple[Array, Array], track: Track) -> Sprite:
    """An object of a random shape and fill."""
    shape = PLAIN_SHAPES[rng.integers(len(PLAIN_SHAPES))]
    fill: Fill = "striped" if rng.integers(2) else "dotted"
    return Sprite(shape, fill, colors, rng.uniform(0.4, 1.2), track)
