"""What an open video is to everything that reads one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from study.errors import DataError
from study.spec.datasets import DecoderName

Frames = npt.NDArray[np.uint8]
"""Frames (T, H, W, C): RGB, or x and y of optical flow."""
Indices = Sequence[int] | npt.NDArray[np.int64]
"""Numbers of frames, from 0."""


class VideoReader(Protocol):
    """An open video."""

    @property
    def num_frames(self) -> int:
        """Frames of the video; with a damaged file, those its header promises."""

    def read(self, indices: Indices) -> Frames:
        """The frames at ``indices``, (len(indices), H, W, C); an index may repeat.

        Raises:
            DataError: when one of them cannot be decoded.
        """


Opening = Callable[[], VideoReader]
"""Opens one video. Raises DataError when it cannot."""


@dataclass(frozen=True)
class Reading:
    """How the files of a data set are read. Part of what identifies the data.

    Attributes:
        decoder: what decodes video files.
        image_template: names of the frames in a folder of frames, counted from 1; "" where there are none.
    """

    decoder: DecoderName = "auto"
    image_template: str = ""


class ArrayReader:
    """A video that is decoded already."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    def read(self, indices: Indices) -> Frames:
        return self._frames[np.asarray(indices, dtype=np.int64)]


class ShortenedReader:
    """A video of which only the first frames count: those that decode, where the header promises more.

    Args:
        reader: the video.
        num_frames: how many count.
    """

    def __init__(self, reader: VideoReader, num_frames: int) -> None:
        self._reader = reader
        self._num_frames = num_frames

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def read(self, indices: Indices) -> Frames:
        check_indices(indices, self._num_frames, "a video")
        return self._reader.read(indices)


def check_indices(indices: Indices, num_frames: int, what: object) -> npt.NDArray[np.int64]:
    """``indices`` as an array.

    Raises:
        DataError: when there are none, or one is not below ``num_frames``; ``what`` names the video.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    if wanted.size == 0 or wanted.min() < 0 or wanted.max() >= num_frames:
        raise DataError(f"{what}: frames {wanted.tolist()} asked for, it has {num_frames}")
    return wanted


def check_file(path: Path) -> None:
    """Raise DataError unless there is something to be read at ``path``: what decoders say of that is no help."""
    try:
        str(path).encode()
        if path.is_dir():
            raise DataError(f"{path}: is a folder, not a video file")
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path}: cannot be opened as a video: the file is empty")
    except FileNotFoundError:
        fault = "is a symbolic link that leads nowhere" if path.is_symlink() else "no such file"
        raise DataError(f"{path}: {fault}") from None
    except UnicodeEncodeError:
        raise DataError(f"{str(path)!a}: the name is not valid UTF-8; decoders cannot open it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
