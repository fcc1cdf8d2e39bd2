"""Something-Something V1: folders of frames, lists of ``id;label``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from study.data.datasets.official import OfficialSource
from study.data.datasets.pairing import Listed
from study.data.datasets.something import MIRRORED, read_id_list
from study.spec.datasets import SomethingV1

LABELS, TRAIN, VAL = ((f"something-something-v1-{part}.csv",) for part in ("labels", "train", "validation"))


class SomethingV1Dataset(OfficialSource[SomethingV1]):
    """The data set that a :class:`~study.spec.datasets.SomethingV1` describes."""

    title = "Something-Something V1"
    extension = ""
    template = "{:05d}.jpg"
    mirrored = MIRRORED
    sizes: ClassVar[Mapping[int, Mapping[str, int]]] = {1: {"train": 86_017, "val": 11_522}}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        names = self.read_classes(self.find_annotations(LABELS, TRAIN, VAL)[0])
        return names if self.spec.label_order == "file" else tuple(sorted(names))

    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        _, train, val = self.find_annotations(LABELS, TRAIN, VAL)
        return read_id_list(train if split == "train" else val, self.label)
