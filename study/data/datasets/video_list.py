"""Any folder of videos with a list file for each split, or one list with a column ``split``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from study.data.catalog import FileSource
from study.data.datasets.labels import build_flip_map, explain_unknown
from study.data.folders import FolderIndex, check_frames
from study.data.list_file import Problems, Row, check_files, read_names, read_rows, relative_path
from study.data.manifest import Manifest, VideoEntry
from study.data.readers.base import Reading
from study.errors import DataError, suggest
from study.spec.datasets import VideoList

SPLITS = ("train", "val")
UNUSED_SPLIT = "test"


class VideoListDataset(FileSource):
    """The data set that a :class:`~study.spec.datasets.VideoList` describes.

    A label is a number from 0 or the name of a class. Without a file of class names, numbers are their own
    names, and names are put in alphabetical order; the first row of the training list decides which of the
    two they are. Paths are of video files, or all of them of folders of frames.
    """

    def __init__(self, spec: VideoList, cache_dir: Path) -> None:
        super().__init__(spec, cache_dir)
        self.spec = spec

    @property
    def root(self) -> Path:
        return self.spec.root

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

    def listing(self) -> Manifest:
        """The videos of both lists, in the order of their lines."""
        spec = self.spec
        if not spec.root.is_dir():
            raise DataError(f"{spec.root}: no such folder (data.root)")
        self._check_overlap()
        template = spec.image_template if self._are_folders() else ""
        train, val = (self._build_entries(split) for split in SPLITS)
        flips = build_flip_map(self.classes, spec.flip_pairs, "data.flip_pairs")
        reading = Reading(decoder=spec.decoder, image_template=template)
        return Manifest(spec.root, self.classes, flips, train, val, reading=reading)

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        """Rows of each split, with paths relative to the root."""
        spec = self.spec
        if spec.train_list != spec.val_list:
            lists = {split: read_rows(self._source(split), spec.format) for split in SPLITS}
        else:
            rows = read_rows(spec.train_list, "csv", ("path", "label", "split"))
            lists = split_rows(spec.train_list, rows)
        for split, rows in lists.items():
            if not rows:
                raise DataError(f"{self._source(split)}: no videos for the split '{split}'")
        return {split: self._localize(self._source(split), rows) for split, rows in lists.items()}

    def _source(self, split: str) -> Path:
        return self.spec.train_list if split == "train" else self.spec.val_list

    def _localize(self, source: Path, rows: Sequence[Row]) -> list[Row]:
        """``rows`` with the prefix of another machine cut off."""
        prefix, problems, found = self.spec.strip_prefix, Problems(source), []
        for row in rows:
            path = row.path
            if prefix:
                if not path.startswith(prefix):
                    problems.add(row.line, f"'{path}' does not begin with data.strip_prefix, '{prefix}'")
                path = path.removeprefix(prefix).lstrip("/")
            found.append(row._replace(path=relative_path(self.root, path)))
        problems.raise_if_any()
        return found

    def _check_overlap(self) -> None:
        train = {row.path: row.line for row in self._rows["train"]}
        problems = Problems(self.spec.val_list)
        for row in self._rows["val"]:
            if row.path in train:
                where = f"{self.spec.train_list}:{train[row.path]}"
                problems.add(row.line, f"'{row.path}' is a training video too ({where})")
        problems.raise_if_any()

    def _are_folders(self) -> bool:
        """Whether the lists name folders of frames; every path is looked for."""
        index, folders = FolderIndex(self.root), dict[str, bool]()
        for split in SPLITS:
            problems = Problems(self._source(split))
            folders[split] = check_files(index, self._rows[split], problems, folders=True)
            problems.raise_if_any()
            if folders[split]:
                check_frames(self.root / self._rows[split][0].path, self.spec.image_template)
        if folders["train"] != folders["val"]:
            kinds = [("folders of frames" if folders[split] else "video files") for split in SPLITS]
            raise DataError(
                f"{self.spec.val_list}: names {kinds[1]}, but {self.spec.train_list} names {kinds[0]}"
            )
        return folders["train"]

    def _build_entries(self, split: str) -> tuple[VideoEntry, ...]:
        problems = Problems(self._source(split))
        labels = {name: label for label, name in enumerate(self.classes)}
        entries = [
            VideoEntry(row.path, row.path, self._label(row, labels, problems)) for row in self._rows[split]
        ]
        problems.raise_if_any()
        return tuple(entries)

    def _label(self, row: Row, labels: dict[str, int], problems: Problems) -> int:
        """The index of the class of ``row``; 0 with the defect noted when there is none."""
        if row.label.isdecimal():
            if int(row.label) < len(labels):
                return int(row.label)
            problems.add(row.line, f"label {row.label}; the labels are 0 to {len(labels) - 1}")
        elif row.label in labels:
            return labels[row.label]
        else:
            problems.add(row.line, "" if problems.many else explain_unknown(row.label, self.classes))
        return 0

    def _derive_names(self) -> tuple[str, ...]:
        train = self._rows["train"]
        labels = [row.label for row in (*train, *self._rows["val"])]
        if train[0].label.isdecimal():
            count = self.spec.num_classes or 1 + max(int(text) for text in labels if text.isdecimal())
            return tuple(str(number) for number in range(count))
        return tuple(sorted({row.label for row in train}))


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
