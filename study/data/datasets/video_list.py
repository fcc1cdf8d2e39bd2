"""Any folder of videos with a list file for each split, or one list with a column ``split``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from study.data.catalog import VideoSource
from study.data.list_file import Problems, Row, check_files, read_names, read_rows, relative_path
from study.data.manifest import Manifest, VideoEntry
from study.errors import DataError, suggest
from study.spec.data import VideoList

SPLITS = ("train", "val")
UNUSED_SPLIT = "test"


class VideoListDataset(VideoSource):
    """The data set that a :class:`~study.spec.data.VideoList` describes.

    A label is a number from 0 or the name of a class. Without a file of class names, numbers are their own
    names, and names are put in alphabetical order; the first row of the training list decides which of the
    two they are.
    """

    def __init__(self, spec: VideoList, cache_dir: Path) -> None:
        self.spec = spec

    @property
    def num_classes(self) -> int:
        return self.spec.num_classes if self.spec.num_classes is not None else len(self.classes)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        spec = self.spec
        if spec.classes is not None:
            names = read_names(spec.classes)
            source = spec.classes
        else:
            names, source = self._derive_names(), spec.train_list
        if spec.num_classes is not None and len(names) != spec.num_classes:
            raise DataError(f"{source}: {len(names)} classes, but num_classes is {spec.num_classes}")
        return names

    def manifest(self) -> Manifest:
        """The videos of both lists, in the order of their lines."""
        if not self.spec.root.is_dir():
            raise DataError(f"{self.spec.root}: no such folder (data.root)")
        train, val = (self._read_split(split) for split in SPLITS)
        lines = {entry.path for entry in train}
        both = [entry.path for entry in val if entry.path in lines]
        if both:
            raise DataError(
                f"{self.spec.val_list}: {len(both)} videos stand in the training list too, "
                f"the first is '{both[0]}'"
            )
        return Manifest(self.spec.root, self.classes, self._flip_map(), train, val)

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        """Rows of each split."""
        spec = self.spec
        if spec.train_list != spec.val_list:
            return {
                "train": read_rows(spec.train_list, spec.format),
                "val": read_rows(spec.val_list, spec.format),
            }
        rows = read_rows(spec.train_list, "csv", ("path", "label", "split"))
        return split_rows(spec.train_list, rows)

    def _read_split(self, split: str) -> tuple[VideoEntry, ...]:
        source = self.spec.train_list if split == "train" else self.spec.val_list
        problems, entries = Problems(source), []
        rows = self._rows[split]
        if not rows:
            raise DataError(f"{source}: no videos for the split '{split}'")
        check_files(self.spec.root, rows, problems)
        for row in rows:
            label = self._label(row, problems)
            path = relative_path(self.spec.root, row.path)
            entries.append(VideoEntry(path, path, label))
        problems.raise_if_any()
        return tuple(entries)

    def _label(self, row: Row, problems: Problems) -> int:
        """The index of the class of ``row``; 0 with the defect noted when there is none."""
        if row.label.isdecimal():
            if int(row.label) < len(self.classes):
                return int(row.label)
            problems.add(row.line, f"label {row.label}; the labels are 0 to {len(self.classes) - 1}")
        elif row.label in self.classes:
            return self.classes.index(row.label)
        else:
            hint = suggest(row.label, self.classes) if len(self.classes) <= 20 else "it is no class name"
            problems.add(row.line, f"label '{row.label}': {hint}")
        return 0

    def _derive_names(self) -> tuple[str, ...]:
        train = self._rows["train"]
        labels = [row.label for row in (*train, *self._rows["val"])]
        if train and train[0].label.isdecimal():
            count = self.spec.num_classes or 1 + max(int(text) for text in labels if text.isdecimal())
            return tuple(str(number) for number in range(count))
        return tuple(sorted({row.label for row in train}))

    def _flip_map(self) -> dict[int, int]:
        flips: dict[int, int] = {}
        for pair in self.spec.flip_pairs:
            for name in pair:
                if name not in self.classes:
                    raise DataError(f"data.flip_pairs: '{name}' is no class; {suggest(name, self.classes)}")
            first, second = (self.classes.index(name) for name in pair)
            if first == second or first in flips or second in flips:
                raise DataError(
                    f"data.flip_pairs: {pair[0]}, {pair[1]}: a class has one partner, another class"
                )
            flips |= {first: second, second: first}
        return flips


def split_rows(source: Path, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of one file by their column ``split``; those of a test split are left out.

    Raises:
        DataError: naming the line of any other value.
    """
    problems, splits = Problems(source), {split: list[Row]() for split in SPLITS}
    for row in rows:
        if row.split in splits:
            splits[row.split].append(row)
        elif row.split != UNUSED_SPLIT:
            problems.add(row.line, f"split '{row.split}'; {suggest(row.split, (*SPLITS, UNUSED_SPLIT))}")
    problems.raise_if_any()
    return splits
