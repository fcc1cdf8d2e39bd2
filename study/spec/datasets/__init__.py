"""Data sets as a user names them; ``type`` chooses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from study.spec.datasets.base import DatasetSpec, DecoderName, FileDataset
from study.spec.datasets.lists import ArrowOfTime, VideoList
from study.spec.datasets.official import (
    HMDB51,
    UCF101,
    Jester,
    Kinetics400,
    OfficialDataset,
    SomethingV1,
    SomethingV2,
)
from study.spec.datasets.synthetic import SyntheticAppearance, SyntheticDataset, SyntheticMotion

AnyDataset = Annotated[
    SyntheticMotion
    | SyntheticAppearance
    | VideoList
    | SomethingV1
    | SomethingV2
    | Jester
    | Kinetics400
    | UCF101
    | HMDB51
    | ArrowOfTime,
    Field(discriminator="type"),
]
"""Any data set."""

__all__ = [
    "HMDB51",
    "UCF101",
    "AnyDataset",
    "ArrowOfTime",
    "DatasetSpec",
    "DecoderName",
    "FileDataset",
    "Jester",
    "Kinetics400",
    "OfficialDataset",
    "SomethingV1",
    "SomethingV2",
    "SyntheticAppearance",
    "SyntheticDataset",
    "SyntheticMotion",
    "VideoList",
]
