"""Kinetics-400: mp4 files named by YouTube's id and the time, lists in CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from study.data.datasets.official import OfficialSource
from study.data.datasets.pairing import Listed
from study.data.list_file import Problems, read_table
from study.spec.datasets import Kinetics400

TRAIN = ("train.csv", "kinetics_train.csv", "kinetics-400_train.csv", "kinetics400_train.csv")
VAL = ("validate.csv", "val.csv", "kinetics_val.csv", "kinetics-400_val.csv", "kinetics400_val.csv")
COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
SPLIT_NAMES = {"train": ("train",), "val": ("validate", "val", "validation")}


class Kinetics400Dataset(OfficialSource[Kinetics400]):
    """The data set that a :class:`~study.spec.datasets.Kinetics400` describes.

    Classes are those of the training list in alphabetical order. Videos vanish from YouTube, so no copy is
    complete: what is not there is excluded by name.
    """

    title = "Kinetics-400"
    extension = ".mp4"
    template = "img_{:05d}.jpg"
    subfolders = ("labels", "annotations", "kinetics400")
    sizes: ClassVar[Mapping[int, Mapping[str, int]]] = {1: {"train": 246_535, "val": 19_907}}
    class_folders = True
    complete = False

    @cached_property
    def classes(self) -> tuple[str, ...]:
        path = self._path("train")
        return self.check_classes(path, sorted({values[0] for _, values in read_table(path, COLUMNS)}))

    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        path = self._path(split)
        problems, listed = Problems(path), list[Listed]()
        for line, (name, youtube_id, start, end, found) in read_table(path, COLUMNS):
            if found not in SPLIT_NAMES[split]:
                problems.add(
                    line, f"split '{found}'; expected {' or '.join(SPLIT_NAMES[split])} in this file"
                )
            elif not youtube_id or not (start.isdecimal() and end.isdecimal()):
                problems.add(
                    line, f"expected an id and two times in seconds, got '{youtube_id}', '{start}', '{end}'"
                )
            else:
                video = f"{youtube_id}_{int(start):06d}_{int(end):06d}"
                listed.append(Listed(path, line, video, video, self.label(name, line, problems)))
        problems.raise_if_any()
        return listed

    def _path(self, split: str) -> Path:
        return self.find_annotations(TRAIN, VAL)[0 if split == "train" else 1]
