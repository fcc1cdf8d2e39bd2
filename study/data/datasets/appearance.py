"""Synthetic videos whose class is what the object looks like; its motion is random (``appearance``)."""

from __future__ import annotations

from study.data.generation import GeneratedDataset, VideoPlan
from study.data.scenery import draw_bright_colors, draw_wandering_track
from study.data.synthetic import Fill, Frames, Sprite, render_scene
from study.spec.datasets import SyntheticAppearance

CLASS_SHAPES = ("disk", "square", "triangle", "left hook", "right hook")
CLASS_FILLS: tuple[Fill, ...] = ("striped", "dotted")
CLASS_LOOKS = tuple((shape, fill) for shape in CLASS_SHAPES for fill in CLASS_FILLS)
"""Shape and fill of each class, in label order."""


class AppearanceDataset(GeneratedDataset[SyntheticAppearance]):
    """The ``appearance`` family: a shape and a fill make a class. A flip exchanges the two hooks."""

    family = "appearance"

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"{fill} {shape}" for shape, fill in CLASS_LOOKS)

    @property
    def flip_map(self) -> dict[int, int]:
        names = self.classes
        pairs = [(f"{fill} left hook", f"{fill} right hook") for fill in CLASS_FILLS]
        numbers = [(names.index(left), names.index(right)) for left, right in pairs]
        return {a: b for left, right in numbers for a, b in ((left, right), (right, left))}

    def render(self, plan: VideoPlan) -> Frames:
        rng = self.rng(plan, "actor")
        shape, fill = CLASS_LOOKS[plan.label]
        track = draw_wandering_track(rng, self.spec.frames, scale=0.22, border=0.35)
        actor = Sprite(shape, fill, draw_bright_colors(rng), rng.uniform(0.4, 0.7), track)
        return render_scene(self.build_scene(plan, actor), self.rng(plan, "noise"))
