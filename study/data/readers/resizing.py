"""Resizing frames as they are read, so that what a cache keeps is small."""

from __future__ import annotations

import numpy as np

from study.data.readers.base import Frames, Indices, Opening, VideoReader
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

    def read(self, indices: Indices) -> Frames:
        resized = resize_frames(to_frames(self._reader.read(indices)), self._target)
        frames: Frames = np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())
        return frames


def resizing(opening: Opening, target: tuple[int, int] | int | None) -> Opening:
    """``opening``, with frames resized to ``target``; None leaves them as they are."""
    if target is None:
        return opening
    size = target
    return lambda: ResizedReader(opening(), size)
