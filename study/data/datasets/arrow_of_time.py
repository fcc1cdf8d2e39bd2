"""Any folder of videos, each shown forward and reversed (``arrow_of_time``).

No labels are needed, and no network that averages scores of single frames can be right more than half the
time: both directions of a video hold the same frames, since the reversal follows the sampling. So the task
tells apart what a network makes of the order of frames from everything else it may know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from study.data.catalog import VideoSource
from study.data.datasets.video_list import split_rows
from study.data.list_file import Problems, check_files, read_rows, relative_path
from study.data.manifest import Manifest, VideoEntry
from study.errors import DataError
from study.seeding import derive_seed
from study.spec.data import ArrowOfTime

CLASSES = ("forward", "reversed")
SUFFIXES = frozenset({".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg"})
"""Files that count as videos when a folder is searched."""


class ArrowOfTimeDataset(VideoSource):
    """The data set that an :class:`~study.spec.data.ArrowOfTime` describes. A flip changes no label."""

    def __init__(self, spec: ArrowOfTime, cache_dir: Path) -> None:
        self.spec = spec

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def manifest(self) -> Manifest:
        root = self.spec.root
        if not root.is_dir():
            raise DataError(f"{root}: no such folder (data.root)")
        train, val = self._read_manifest() if self.spec.manifest is not None else self._search_folder()
        for split, paths in (("train", train), ("val", val)):
            if not paths:
                raise DataError(f"{self.spec.manifest or root}: no videos for the split '{split}'")
        return Manifest(root, CLASSES, {}, both_directions(train), both_directions(val))

    def _read_manifest(self) -> tuple[list[str], list[str]]:
        assert self.spec.manifest is not None
        source = self.spec.root / self.spec.manifest
        rows = read_rows(source, "csv", ("path", "split"))
        problems = Problems(source)
        check_files(self.spec.root, rows, problems)
        problems.raise_if_any()
        splits = split_rows(source, rows)
        train, val = ([relative_path(self.spec.root, row.path) for row in splits[name]] for name in splits)
        return train, val

    def _search_folder(self) -> tuple[list[str], list[str]]:
        """Every video below the root, split by group: those with the smallest hashes are held out."""
        root = self.spec.root
        found = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        groups: dict[str, list[str]] = {}
        for path in sorted(path.relative_to(root).as_posix() for path in found):
            groups.setdefault(self._group(path), []).append(path)
        if len(groups) < 2:
            raise DataError(
                f"{root}: {len(groups)} groups of videos (data.group '{self.spec.group}'); a training and a "
                "validation split need at least two"
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
        raise DataError(f"{self.spec.root / path}: data.group '{self.spec.group}' does not match this path")


def both_directions(paths: Iterable[str]) -> tuple[VideoEntry, ...]:
    """Each video forward, then reversed."""
    return tuple(
        VideoEntry(f"{path}#{name}", path, label, reverse=bool(label))
        for path in paths
        for label, name in enumerate(CLASSES)
    )
