"""What all data sets share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from study.spec.base import LATER, Spec

DecoderName = Literal["auto", "decord", "pyav"]


class DatasetSpec(Spec):
    """Base of the data sets; ``factory`` is imported when the data are first needed."""

    factory: ClassVar[str]


class FileDataset(DatasetSpec):
    """Base of the data sets whose files the user has."""

    manifest: Annotated[Path | None, LATER] = None
    """Manifest that ``data check`` wrote: real frame counts, digests, and the videos that are left out. Without
    it every listed video is used as its file's header describes it."""
    decoder: Annotated[DecoderName, LATER] = "auto"
    """What decodes video files. ``decord`` seeks in mp4, mkv and webm and reads everything else in order;
    ``pyav`` always reads in order. ``auto``: decord where it is installed. Folders of frames need no decoder."""
