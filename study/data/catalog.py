"""Opening a data set by its specification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from study.data.manifest import Manifest
from study.spec.datasets import AnyDataset, FileDataset

Progress = Callable[[int, int], None]
"""Called with (done, total) while videos are made."""


class VideoSource(ABC):
    """A data set that can say what it consists of."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names in label order. Raises DataError when they cannot be read."""

    @property
    def num_classes(self) -> int:
        """Number of classes. Data sets that state it in their specification do not touch the disk."""
        return len(self.classes)

    @abstractmethod
    def manifest(self) -> Manifest:
        """The videos of the data set; cheap. The files of a synthetic data set need not exist yet.

        Raises:
            DataError: when a list is missing or has a defect; the message names file and line.
        """

    def prepare(self, progress: Progress | None = None) -> None:  # noqa: B027 - few have anything to make
        """Make the files that can be made.

        Does nothing when they are there; safe to call from many processes.
        """


class FileSource(VideoSource):
    """A data set of files that the user has.

    Args:
        spec: the data set.
    """

    def __init__(self, spec: FileDataset, cache_dir: Path) -> None:
        self._spec = spec

    @property
    @abstractmethod
    def root(self) -> Path:
        """Folder that paths are relative to."""

    @abstractmethod
    def listing(self) -> Manifest:
        """The videos as the lists name them, before any check.

        Raises:
            DataError: when a list is missing or has a defect; the message names file and line.
        """

    def fold_listings(self) -> Mapping[int, Manifest]:
        """The listing of every fold, by its number; a data set without folds has one, 1."""
        return {1: self.listing()}

    def official_sizes(self, fold: int) -> Mapping[str, int]:
        """Videos of ``train`` and ``val`` as distributed; empty where nobody has said."""
        return {}

    @property
    def manifest_path(self) -> Path:
        """Where ``data check`` leaves its manifest and training looks for it."""
        return self._spec.manifest or self.root / default_manifest_name(self._spec)

    def manifest(self) -> Manifest:
        """The listed videos less those that a check has found unfit, as far as there was one."""
        from study.data.health.manifest_file import apply_check

        listing = self.listing()
        if self._spec.manifest is None and not self.manifest_path.exists():
            return listing
        return apply_check(listing, self.manifest_path)


def default_manifest_name(spec: FileDataset) -> str:
    """Name of the manifest that ``data check`` writes into the root of a data set of this type; folds share it."""
    return f"{getattr(spec, 'type')}.manifest.csv"  # noqa: B009 - the type is each subclass's own


def open_dataset(spec: AnyDataset, cache_dir: Path) -> VideoSource:
    """The data set that ``spec`` describes.

    Args:
        spec: the data set.
        cache_dir: folder for videos that are generated; shared by all data sets.
    """
    module, attribute = spec.factory.split(":")
    factory = cast(Callable[[AnyDataset, Path], VideoSource], getattr(import_module(module), attribute))
    return factory(spec, cache_dir)
