"""Any folder of videos, each shown forward and reversed (``arrow_of_time``).

No labels are needed, and no network that averages scores of single frames can be right more than half the
time: both directions of a video hold the same frames, since the reversal follows the sampling. So the task
tells apart what a network makes of the order of frames from everything else it may know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from study.data.catalog import FileSource, open_dataset
from study.data.datasets.video_list import split_rows
from study.data.folders import FolderIndex, walk_folders
from study.data.list_file import Problems, check_files, read_rows, relative_path
from study.data.manifest import Manifest, VideoEntry
from study.data.readers.base import Reading
from study.errors import DataError
from study.seeding import derive_seed
from study.spec.datasets import ArrowOfTime

CLASSES = ("forward", "reversed")
SUFFIXES = frozenset({".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg"})
"""Files that count as videos when a folder is searched."""


class ArrowOfTimeDataset(FileSource):
    """The data set that an :class:`~study.spec.datasets.ArrowOfTime` describes. A flip changes no label."""

    def __init__(self, spec: ArrowOfTime, cache_dir: Path) -> None:
        super().__init__(spec, cache_dir)
        self.spec = spec
        self._cache_dir = cache_dir

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    @property
    def root(self) -> Path:
        if self._other is not None:
            return self._other.root
        assert self.spec.root is not None
        return self.spec.root

    @property
    def manifest_path(self) -> Path:
        """The manifest of this data set; of the one whose videos it shows, where that is ``of`` another."""
        if self._other is not None and self.spec.manifest is None:
            return self._other.manifest_path
        return super().manifest_path

    def listing(self) -> Manifest:
        if self._other is not None:
            return self._reverse(self._other.listing())
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder (data.root)")
        train, val = self._read_list() if self.spec.split_list is not None else self._search_folder()
        for split, paths in (("train", train), ("val", val)):
            if not paths:
                raise DataError(f"{self.spec.split_list or self.root}: no videos for the split '{split}'")
        shown = [both_directions((path, path) for path in paths) for paths in (train, val)]
        return Manifest(
            self.root, CLASSES, {}, shown[0], shown[1], reading=Reading(decoder=self.spec.decoder)
        )

    def fold_listings(self) -> Mapping[int, Manifest]:
        if self._other is None:
            return super().fold_listings()
        return {fold: self._reverse(listing) for fold, listing in self._other.fold_listings().items()}

    def official_sizes(self, fold: int) -> Mapping[str, int]:
        return self._other.official_sizes(fold) if self._other is not None else {}

    @cached_property
    def _other(self) -> FileSource | None:
        """The data set whose videos are shown, if they are another's."""
        if self.spec.of is None:
            return None
        source = open_dataset(self.spec.of, self._cache_dir)
        assert isinstance(source, FileSource)
        return source

    def _reverse(self, listing: Manifest) -> Manifest:
        """The videos and splits of ``listing`` with the direction as their label."""
        train, val = (
            both_directions((entry.video_id, entry.path) for entry in split)
            for split in (listing.train, listing.val)
        )
        return replace(listing, classes=CLASSES, flip_map={}, train=train, val=val)

    def _read_list(self) -> tuple[list[str], list[str]]:
        assert self.spec.split_list is not None
        source = self.root / self.spec.split_list
        rows = [
            row._replace(path=relative_path(self.root, row.path))
            for row in read_rows(source, "csv", ("path", "split"))
        ]
        problems = Problems(source)
        check_files(FolderIndex(self.root), rows, problems)
        problems.raise_if_any()
        splits = split_rows(source, rows)
        return [row.path for row in splits["train"]], [row.path for row in splits["val"]]

    def _search_folder(self) -> tuple[list[str], list[str]]:
        """Every video below the root, split by group: those with the smallest hashes are held out."""
        found = (prefix + name for prefix, contents in walk_folders(self.root) for name in contents.files)
        groups: dict[str, list[str]] = {}
        for path in sorted(path for path in found if Path(path).suffix.lower() in SUFFIXES):
            groups.setdefault(self._group(path), []).append(path)
        if len(groups) < 2:
            raise DataError(
                f"{self.root}: {len(groups)} groups of videos (data.group '{self.spec.group}'); a training and "
                "a validation split need at least two"
            )
        count = min(max(1, round(self.spec.val_fraction * len(groups))), len(groups) - 1)
        held_out = set(sorted(groups, key=lambda group: derive_seed("arrow-of-time", group))[:count])
        train = [path for group, paths in groups.items() if group not in held_out for path in paths]
        val = [path for group in groups if group in held_out for path in groups[group]]
        return train, val

    def _group(self, path: str) -> str:
        """Which source video ``path`` belongs to."""
        pattern = self.spec.group
        try:
            match = re.search(pattern, path)
            return match["group"] if match else self._no_group(path)
        except (re.error, IndexError) as error:
            raise DataError(
                f"data.group '{pattern}': {error}; expected a regular expression with (?P<group>...)"
            ) from None

    def _no_group(self, path: str) -> str:
        raise DataError(f"{self.root / path}: data.group '{self.spec.group}' does not match this path")


def both_directions(videos: Iterable[tuple[str, str]]) -> tuple[VideoEntry, ...]:
    """Each video, given as its id and its path, forward, then reversed."""
    return tuple(
        VideoEntry(f"{video_id}#{name}", path, label, reverse=bool(label))
        for video_id, path in videos
        for label, name in enumerate(CLASSES)
    )
