"""Opening a data set by its specification."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from study.data.manifest import Manifest
from study.spec.data import AnyDataset

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


def open_dataset(spec: AnyDataset, cache_dir: Path) -> VideoSource:
    """The data set that ``spec`` describes.

    Args:
        spec: the data set.
        cache_dir: folder for videos that are generated; shared by all data sets.
    """
    module, attribute = spec.factory.split(":")
    factory = cast(Callable[[AnyDataset, Path], VideoSource], getattr(import_module(module), attribute))
    return factory(spec, cache_dir)
