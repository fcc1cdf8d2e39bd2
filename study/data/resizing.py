"""Resizing frames as they are read, so that what a cache keeps is small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from study.data.decoding import Decoder, Frames, VideoReader
from study.data.transforms import resize_frames, to_frames


class ResizedReader:
    """A video whose frames come out at another size. Each frame is resized by itself, so it does not matter
    whether one or all are read.

    Args:
        reader: the video.
        target: (height, width), or the short side, pixels.
    """

    def __init__(self, reader: VideoReader, target: tuple[int, int] | int) -> None:
        self._reader = reader
        self._target = target

    @property
    def num_frames(self) -> int:
        return self._reader.num_frames

    def read(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Frames:
        resized = resize_frames(to_frames(self._reader.read(indices)), self._target)
        frames: Frames = np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())
        return frames


def resizing(decoder: Decoder, target: tuple[int, int] | int | None) -> Decoder:
    """``decoder``, with frames resized to ``target``; None leaves them as they are."""
    if target is None:
        return decoder
    size = target

    def open_resized(path: Path) -> VideoReader:
        return ResizedReader(decoder(path), size)

    return open_resized
