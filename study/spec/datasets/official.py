"""The data sets of the paper, as their makers distribute them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from study.spec.base import LATER
from study.spec.datasets.base import FileDataset

Fold = Annotated[int, Field(ge=1, le=3)]


class OfficialDataset(FileDataset):
    """Base of the data sets that come with annotation files of their own format."""

    classes_count: ClassVar[int]

    root: Path
    """Folder with the videos: what the archives unpack to, or what ``data prepare`` made of it."""
    annotations: Annotated[Path | None, LATER] = None
    """Folder with the official annotation files; ``root`` when null."""
    files: Literal["auto", "official", "mp4", "frames"] = "auto"
    """What the videos are kept as: as distributed, transcoded to mp4, or as folders of frames (the latter two
    are what ``data prepare`` makes). ``auto``: whichever the first training video is found as."""
    missing: Literal["error", "exclude"] = "error"
    """What happens when listed videos are not there. ``exclude``: they are left out by name, as those of Kinetics
    always are, whose copies are never complete."""
    image_template: str | None = None
    """Names of the frames in a folder of frames, counted from 1; the data set's own when null."""

    @property
    def num_classes(self) -> int:
        """K, known without the files."""
        return self.classes_count


class SomethingV1(OfficialDataset):
    """Something-Something V1: 174 classes, folders of JPEG frames, 12 a second and 100 pixels high."""

    factory: ClassVar[str] = "study.data.datasets.something_v1:SomethingV1Dataset"
    classes_count: ClassVar[int] = 174

    type: Literal["something_v1"]
    label_order: Literal["sorted", "file"] = "sorted"
    """Order of the classes: alphabetical, as in V2 and in the lists of TSN, TSM and TRN; or that of the labels
    file, which MMAction2 follows. Both name the same classes; stored scores differ in their columns."""


class SomethingV2(OfficialDataset):
    """Something-Something V2: 174 classes, webm files of 240 pixels' height."""

    factory: ClassVar[str] = "study.data.datasets.something_v2:SomethingV2Dataset"
    classes_count: ClassVar[int] = 174

    type: Literal["something_v2"]


class Jester(OfficialDataset):
    """Jester: 27 classes of hand gestures, folders of JPEG frames."""

    factory: ClassVar[str] = "study.data.datasets.jester:JesterDataset"
    classes_count: ClassVar[int] = 27

    type: Literal["jester"]


class Kinetics400(OfficialDataset):
    """Kinetics-400: 400 classes, mp4 files of ten seconds, official CSV lists."""

    factory: ClassVar[str] = "study.data.datasets.kinetics400:Kinetics400Dataset"
    classes_count: ClassVar[int] = 400

    type: Literal["kinetics400"]


class UCF101(OfficialDataset):
    """UCF-101: 101 classes, avi files, three folds."""

    factory: ClassVar[str] = "study.data.datasets.ucf101:UCF101Dataset"
    classes_count: ClassVar[int] = 101

    type: Literal["ucf101"]
    fold: Fold = 1
    """Official split, 1 to 3."""


class HMDB51(OfficialDataset):
    """HMDB-51: 51 classes, avi files, three folds."""

    factory: ClassVar[str] = "study.data.datasets.hmdb51:HMDB51Dataset"
    classes_count: ClassVar[int] = 51

    type: Literal["hmdb51"]
    fold: Fold = 1
    """Official split, 1 to 3."""
