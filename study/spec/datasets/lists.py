"""Data sets described by list files, or by nothing but a folder of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from study.spec.base import LATER, Positive
from study.spec.datasets.base import FileDataset
from study.spec.datasets.official import (
    HMDB51,
    UCF101,
    Jester,
    Kinetics400,
    SomethingV1,
    SomethingV2,
)


class VideoList(FileDataset):
    """Any folder of videos, or of folders of frames, with list files."""

    factory: ClassVar[str] = "study.data.datasets.video_list:VideoListDataset"

    type: Literal["video_list"]
    root: Path
    """Folder that the paths in the lists are relative to."""
    train_list: Path
    """List of training videos."""
    val_list: Path
    """List of validation videos."""
    format: Literal["auto", "tsn", "csv"] = "auto"
    """``tsn``: ``path [num_frames] label`` a line, split at spaces: the lists of TSN, TSM and MMAction2.
    ``csv``: a header with ``path`` and ``label``, other columns ignored except ``split``, which selects rows
    where both lists are one file."""
    strip_prefix: Annotated[str, LATER] = ""
    """What the lists' paths begin with on the machine where they were made; cut off before ``root`` is put in
    front."""
    image_template: Annotated[str, LATER] = "img_{:05d}.jpg"
    """Names of the frames where a path is a folder of frames, counted from 1."""
    classes: Path | None = None
    """Class names, one a line in label order; labels are their own names when absent."""
    num_classes: Positive | None = None
    """Number of classes, checked against the lists; lets costs be counted where the data are not at hand."""
    flip_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of class names that a horizontal flip turns into each other ("left to right", "right to left")."""


ListedDataset = Annotated[
    VideoList | SomethingV1 | SomethingV2 | Jester | Kinetics400 | UCF101 | HMDB51,
    Field(discriminator="type"),
]
"""A data set that lists the videos of its splits."""


class ArrowOfTime(FileDataset):
    """Any videos, each shown forward (class 0) and reversed (class 1); no labels are needed.

    Both directions hold the same frames (the reversal follows the sampling), so a network that ignores the
    order of frames gives both the same scores and is right exactly half the time.
    """

    factory: ClassVar[str] = "study.data.datasets.arrow_of_time:ArrowOfTimeDataset"

    type: Literal["arrow_of_time"]
    root: Path | None = None
    """Folder with the videos, at any depth; or ``of``."""
    of: Annotated[ListedDataset | None, LATER] = None
    """A data set whose videos and splits are used, without its labels; or ``root``."""
    split_list: Path | None = None
    """CSV with ``path`` and ``split`` (train or val), relative to ``root`` unless absolute. Without it every
    video below ``root`` is used and the split follows ``group``."""
    group: str = r"(?P<group>.+)"
    """Regular expression on the path below ``root``; videos with the same ``group`` stay in one split, so
    that parts of one source video never stand on both sides."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Fraction of groups put in validation when no list gives the split."""

    @model_validator(mode="after")
    def _check(self) -> ArrowOfTime:
        if (self.root is None) == (self.of is None):
            raise ValueError("give either 'root', a folder of videos, or 'of', another data set")
        return self
