"""UCF-101: avi files in folders by class, three folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from study.data.datasets.official import OfficialSource
from study.data.datasets.pairing import Listed
from study.data.list_file import Problems, read_lines
from study.spec.datasets import UCF101

CLASSES = ("classInd.txt",)


class UCF101Dataset(OfficialSource[UCF101]):
    """The data set that a :class:`~study.spec.datasets.UCF101` describes."""

    title = "UCF-101"
    extension = ".avi"
    template = "img_{:05d}.jpg"
    subfolders = ("ucfTrainTestlist", "labels", "annotations")
    sizes: ClassVar[Mapping[int, Mapping[str, int]]] = {
        1: {"train": 9_537, "val": 3_783},
        2: {"train": 9_586, "val": 3_734},
        3: {"train": 9_624, "val": 3_696},
    }
    class_folders = True

    @property
    def fold(self) -> int:
        return self.spec.fold

    @cached_property
    def classes(self) -> tuple[str, ...]:
        (path,) = self.find_annotations(CLASSES)
        problems, names = Problems(path), list[str]()
        for line, text in read_lines(path):
            number, _, name = text.partition(" ")
            if number != str(len(names) + 1) or not name or name in names:
                problems.add(line, f"expected '{len(names) + 1} ClassName' with a new name, got '{text}'")
            names.append(name.strip())
        problems.raise_if_any()
        return self.check_classes(path, names)

    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        """The videos of a fold; the official test list is ``val``, its labels are the folders' names."""
        lists = (f"trainlist{fold:02d}.txt",), (f"testlist{fold:02d}.txt",)
        path = self.find_annotations(CLASSES, *lists)[1 if split == "train" else 2]
        problems, listed = Problems(path), list[Listed]()
        for line, text in read_lines(path):
            video, _, number = text.partition(" ") if split == "train" else (text, "", "")
            folder, _, file = video.partition("/")
            if not file.endswith(self.extension) or "/" in file or (split == "train") != number.isdecimal():
                expected = "Class/name.avi number" if split == "train" else "Class/name.avi"
                problems.add(line, f"expected '{expected}', got '{text}'")
                continue
            label = self.label(folder, line, problems)
            if number and int(number) != label + 1:
                problems.add(line, f"label {number}, but {folder} has {label + 1}")
            video_id = video.removesuffix(self.extension)
            listed.append(Listed(path, line, video_id, file.removesuffix(self.extension), label))
        problems.raise_if_any()
        return listed

    def key(self, name: str) -> str:
        # Lists and copies differ in v_HandstandPushups and v_HandStandPushups.
        return name.casefold()
