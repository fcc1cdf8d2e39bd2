"""Data sets that are made from their options."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from study.spec.base import LATER, Positive
from study.spec.datasets.base import DatasetSpec


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
    fold: Annotated[Positive, LATER] = 1
    """Which of several versions of the data set with other videos: the stand-in for an official fold."""


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
