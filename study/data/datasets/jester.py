"""Jester: folders of frames, lists of ``id;label``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from study.data.datasets.official import OfficialSource
from study.data.datasets.pairing import Listed
from study.data.datasets.something import read_id_list
from study.spec.datasets import Jester

LABELS, TRAIN, VAL = ((f"jester-v1-{part}.csv",) for part in ("labels", "train", "validation"))


class JesterDataset(OfficialSource[Jester]):
    """The data set that a :class:`~study.spec.datasets.Jester` describes.

    Classes are in alphabetical order, as in the lists of TSM; the official file of labels has no order.
    """

    title = "Jester"
    extension = ""
    template = "{:05d}.jpg"
    mirrored = (
        ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
        ("Swiping Left", "Swiping Right"),
        ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
    )
    sizes: ClassVar[Mapping[int, Mapping[str, int]]] = {1: {"train": 118_562, "val": 14_787}}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        return tuple(sorted(self.read_classes(self.find_annotations(LABELS, TRAIN, VAL)[0])))

    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        _, train, val = self.find_annotations(LABELS, TRAIN, VAL)
        return read_id_list(train if split == "train" else val, self.label)
