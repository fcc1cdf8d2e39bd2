"""Synthetic videos whose class is the order of events (``motion``).

The classes come in pairs. A video of the second class of a pair is made like one of the first and shown
backward. So the two have exactly the same distribution of frames, and a network that scores frames one by one
and averages cannot tell them apart, whatever it learns: it is right half of the time at best. For the other
half it has to relate frames: neighbors for the plain motions, distant ones for the events in two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from study.data.generation import GeneratedDataset, VideoPlan
from study.data.scenery import draw_bright_colors, draw_sprite, draw_still_track
from study.data.synthetic import Array, Frames, Track, render_scene
from study.spec.datasets import SyntheticMotion

Event = Callable[[np.random.Generator, Track], Track]
"""Draws what an object does, given where it rests."""


@dataclass(frozen=True)
class Pair:
    """Two classes that are each other's reversal.

    Attributes:
        forward: name of the first.
        backward: name of the second.
        mirrored: whether a horizontal flip turns one into the other; otherwise it leaves both what they are.
        event: what the object of the first does.
    """

    forward: str
    backward: str
    mirrored: bool
    event: Event


def _slide(rng: np.random.Generator, rest: Track) -> Track:
    return replace(rest, x=rest.x + _rise(rng, len(rest.x)) * rng.uniform(0.3, 0.45))


def _approach(rng: np.random.Generator, rest: Track) -> Track:
    return replace(rest, scale=rest.scale * np.exp(_rise(rng, len(rest.x)) * rng.uniform(0.5, 0.9)))


def _dodge(rng: np.random.Generator, rest: Track) -> Track:
    first, second = _two_bumps(rng, len(rest.x))
    return replace(rest, x=rest.x + (second - first) * rng.uniform(0.22, 0.32))


def _flash_then_swell(rng: np.random.Generator, rest: Track) -> Track:
    first, second = _two_bumps(rng, len(rest.x))
    return _swell(rng, _flash(rng, rest, first), second)


def _hop_then_flash(rng: np.random.Generator, rest: Track) -> Track:
    first, second = _two_bumps(rng, len(rest.x))
    return _flash(rng, _hop(rng, rest, first), second)


def _swell_then_hop(rng: np.random.Generator, rest: Track) -> Track:
    first, second = _two_bumps(rng, len(rest.x))
    return _hop(rng, _swell(rng, rest, first), second)


PAIRS = (
    Pair("moving left to right", "moving right to left", True, _slide),
    Pair("coming closer", "going away", False, _approach),
    Pair("dodging left, then right", "dodging right, then left", True, _dodge),
    Pair("flashing, then swelling", "swelling, then flashing", False, _flash_then_swell),
    Pair("hopping, then flashing", "flashing, then hopping", False, _hop_then_flash),
    Pair("swelling, then hopping", "hopping, then swelling", False, _swell_then_hop),
)


class MotionDataset(GeneratedDataset[SyntheticMotion]):
    """The ``motion`` family."""

    family = "motion"

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(name for pair in PAIRS for name in (pair.forward, pair.backward))

    @property
    def flip_map(self) -> dict[int, int]:
        mirrored = [number for number, pair in enumerate(PAIRS) if pair.mirrored]
        return {label: label ^ 1 for number in mirrored for label in (2 * number, 2 * number + 1)}

    def render(self, plan: VideoPlan) -> Frames:
        rng = self.rng(plan, "actor")
        track = PAIRS[plan.label // 2].event(rng, draw_still_track(rng, self.spec.frames))
        actor = draw_sprite(rng, draw_bright_colors(rng), track)
        frames = render_scene(self.build_scene(plan, actor), self.rng(plan, "noise"))
        return frames[::-1] if plan.label % 2 else frames


def _flash(rng: np.random.Generator, track: Track, when: Array) -> Track:
    return replace(track, glow=track.glow + when * rng.uniform(0.7, 1.0))


def _swell(rng: np.random.Generator, track: Track, when: Array) -> Track:
    return replace(track, scale=track.scale * (1.0 + when * rng.uniform(0.5, 0.9)))


def _hop(rng: np.random.Generator, track: Track, when: Array) -> Track:
    return replace(track, y=track.y - when * rng.uniform(0.25, 0.35))


def _rise(rng: np.random.Generator, frames: int) -> Array:
    """A rise from -1 to 1, (T,), that begins and ends at random and is smooth at both ends."""
    begin, end = rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)
    progress = np.clip((np.linspace(0, 1, frames) - begin) / (end - begin), 0.0, 1.0)
    rise: Array = 2.0 * progress * progress * (3.0 - 2.0 * progress) - 1.0
    return rise


def _two_bumps(rng: np.random.Generator, frames: int) -> tuple[Array, Array]:
    """Two rises from 0 to 1 and back, (T,) each, the second after the first; each is its own reversal."""
    times = np.linspace(0, 1, frames)
    width = rng.uniform(0.3, 0.4)
    first = rng.uniform(0.0, 1.0 - 2 * width)
    second = rng.uniform(first + width, 1.0 - width)

    def bump(begin: float) -> Array:
        value: Array = np.sin(np.pi * np.clip((times - begin) / width, 0.0, 1.0)) ** 2
        return value

    return bump(first), bump(second)
