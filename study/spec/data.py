"""Data sets as a user names them, and how clips are drawn from their videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from study.spec.base import Spec

Positive = Annotated[int, Field(ge=1)]
Fraction01 = Annotated[float, Field(ge=0, le=1)]


class DatasetSpec(Spec):
    """Base of the data sets; ``factory`` is imported when the data are first needed."""

    factory: ClassVar[str]


class SyntheticDataset(DatasetSpec):
    """What the two synthetic families share. Videos are real files: closed-GOP H.264 in mp4."""

    train_videos: Positive = 960
    """Training videos, spread evenly over the classes."""
    val_videos: Positive = 480
    """Validation videos, disjoint in textures from the training videos."""
    size: Annotated[int, Field(ge=16, le=512, multiple_of=2)] = 40
    """Height and width of a video, pixels; even, as 4:2:0 video has to be."""
    frames: Annotated[int, Field(ge=8, le=512)] = 24
    """Frames of a video."""
    fps: Positive = 12
    """Frames per second written to the file."""
    distractors: Annotated[int, Field(ge=0, le=8)] = 3
    """Duller objects of no class that move at random beside the one that carries the class."""
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.06
    """Standard deviation of the camera's position, as a fraction of the frame's size."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.18
    """Standard deviation of the pixel noise, as a fraction of the full range."""
    seed: int = 0
    """Seed of the whole data set. It does not follow ``repeat``: all repeats see the same videos."""


class SyntheticMotion(SyntheticDataset):
    """Videos whose class is the order of events: every class has a time-reversed twin, so a network that
    ignores the order of frames cannot pass 50 %.
    """

    factory: ClassVar[str] = "study.data.datasets.motion:MotionDataset"

    type: Literal["motion"]


class SyntheticAppearance(SyntheticDataset):
    """Videos whose class is the texture and shape of the object; its motion is random."""

    factory: ClassVar[str] = "study.data.datasets.appearance:AppearanceDataset"

    type: Literal["appearance"]


class VideoList(DatasetSpec):
    """Any folder of videos with list files."""

    factory: ClassVar[str] = "study.data.datasets.video_list:VideoListDataset"

    type: Literal["video_list"]
    root: Path
    """Folder that the paths in the lists are relative to."""
    train_list: Path
    """List of training videos."""
    val_list: Path
    """List of validation videos."""
    format: Literal["auto", "tsn", "csv"] = "auto"
    """``tsn``: ``path [num_frames] label`` a line, split at spaces. ``csv``: a header with ``path`` and
    ``label``, other columns ignored except ``split``, which selects rows where both lists are one file."""
    classes: Path | None = None
    """Class names, one a line in label order; labels are their own names when absent."""
    num_classes: Positive | None = None
    """Number of classes, checked against the lists; lets costs be counted where the data are not at hand."""
    flip_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of class names that a horizontal flip turns into each other ("left to right", "right to left")."""


class ArrowOfTime(DatasetSpec):
    """Any folder of videos, each shown forward (class 0) and reversed (class 1); no labels are needed.

    Both directions hold the same frames (the reversal follows the sampling), so a network that ignores the
    order of frames gives both the same scores and is right exactly half the time.
    """

    factory: ClassVar[str] = "study.data.datasets.arrow_of_time:ArrowOfTimeDataset"

    type: Literal["arrow_of_time"]
    root: Path
    """Folder with the videos, at any depth."""
    manifest: Path | None = None
    """CSV with ``path`` and ``split`` (train or val), relative to ``root`` unless absolute. Without it every
    video below ``root`` is used and the split follows ``group``."""
    group: str = r"(?P<group>.+)"
    """Regular expression on the path below ``root``; videos with the same ``group`` stay in one split, so
    that parts of one source video never stand on both sides."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Fraction of groups put in validation when no manifest gives the split."""


AnyDataset = Annotated[
    SyntheticMotion | SyntheticAppearance | VideoList | ArrowOfTime, Field(discriminator="type")
]
"""Any data set; ``type`` chooses."""


class ClipSpec(Spec):
    """How a clip (C, T, H, W) is drawn from a video."""

    frames: Annotated[int, Field(ge=1, le=256)] = 8
    """T: frames of a clip."""
    size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Height and width of a training crop, pixels."""
    resize: tuple[Positive, Positive] | Positive | None = (256, 340)
    """Frames are first resized to (height, width), or to this short side; left as they are when null."""
    sampling: Literal["tsn"] = "tsn"
    """``tsn``: T equal segments, a random frame of each in training, its centre in test (TSN)."""
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0, 0.875, 0.75, 0.66)
    """Multi-scale crop: sides of the crop as fractions of the short side (TSN). Empty: a random crop of
    ``size``."""
    flip: bool = True
    """Flip half of the training clips, swapping the labels of direction-dependent classes."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Channel means subtracted, on the scale 0 to 1 (ImageNet's)."""
    std: tuple[Annotated[float, Field(gt=0)], ...] = (0.229, 0.224, 0.225)
    """Channel standard deviations divided by, on the scale 0 to 1 (ImageNet's)."""

    @model_validator(mode="after")
    def _check(self) -> ClipSpec:
        short = min(self.resize) if isinstance(self.resize, tuple) else self.resize
        if short is not None and short < self.size:
            raise ValueError(f"size {self.size} does not fit into frames resized to a short side of {short}")
        return self
