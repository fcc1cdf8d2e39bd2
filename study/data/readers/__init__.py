"""From files to frames: decoders and folders of frames behind one interface."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from study.data.readers.base import Frames, Reading, VideoReader
from study.errors import DataError

__all__ = ["Frames", "Reading", "VideoReader", "find_decoder", "open_video"]


def find_decoder(reading: Reading) -> Literal["frames", "decord", "pyav"]:
    """What reads the files here: ``auto`` is decord where it is installed; ``frames`` needs no decoder."""
    if reading.image_template:
        return "frames"
    if reading.decoder == "auto":
        return "pyav" if find_spec("decord") is None else "decord"
    return reading.decoder


def open_video(path: Path, reading: Reading, *, in_order: bool = False) -> VideoReader:
    """Open a video file, or a folder of frames where ``reading`` names a template.

    Open it in the process that reads it.

    Args:
        path: the file or folder.
        reading: how it is read.
        in_order: never seek, because a check has found that seeking gives wrong frames.

    Raises:
        DataError: naming the file, when it is missing or no video, or its decoder is not installed.
    """
    decoder = find_decoder(reading)
    if decoder == "frames":
        from study.data.readers.frame_folder import FrameFolderReader

        return FrameFolderReader(path, reading.image_template)
    if decoder == "pyav":
        from study.data.readers.pyav_reader import PyavReader

        return PyavReader(path)
    if find_spec("decord") is None:
        raise DataError(f"{path}: data.decoder 'decord' is not installed here; allowed: auto, pyav")
    from study.data.readers.decord_reader import DecordReader

    return DecordReader(path, in_order=True if in_order else None)
