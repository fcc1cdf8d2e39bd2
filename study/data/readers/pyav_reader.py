"""Videos through PyAV, always from the first frame on: slower, and right where seeking is not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import cast

import av
import numpy as np

from study.data.readers.base import Frames, Indices, check_file, check_indices
from study.errors import DataError


class PyavReader:
    """A video decoded in order by PyAV. Frames are counted by decoding, so none is promised that cannot be had.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        self._path = path

    @cached_property
    def num_frames(self) -> int:
        """Frames of the video.

        Raises:
            DataError: when not all of it can be decoded.
        """
        count = sum(1 for _ in iter_frames(self._path))
        if not count:
            raise DataError(f"{self._path}: holds no frames")
        return count

    def read(self, indices: Indices) -> Frames:
        wanted = np.asarray(indices, dtype=np.int64)
        if not wanted.size or wanted.min() < 0:
            check_indices(wanted, self.num_frames, self._path)
        unique, inverse = np.unique(wanted, return_inverse=True)
        last, keep = int(unique[-1]), {int(number) for number in unique}
        frames, count = [], 0
        for number, frame in enumerate(iter_frames(self._path)):
            count = number + 1
            if number in keep:
                frames.append(to_rgb(frame))
            if number == last:
                break
        # Only now, since counting beforehand would take as long again; more than ``last`` are never counted.
        check_indices(wanted, count, self._path)
        if len({frame.shape for frame in frames}) > 1:
            raise DataError(f"{self._path}: its frames differ in size")
        return np.stack(frames)[inverse]


def iter_frames(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a file in the order in which they are shown; :func:`to_rgb` makes arrays of them.

    Raises:
        DataError: when it cannot be opened as a video, or, after the frames before it, at one that cannot be
            decoded.
    """
    try:
        with open_container(path) as container:
            yield from container.decode(pick_stream(path, container))
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be decoded: {describe_error(error)}") from None


def open_container(path: Path) -> av.container.InputContainer:
    """``path``, opened.

    Raises:
        av.FFmpegError: when FFmpeg does not know what it is.
        DataError: when it is text or a single image, which FFmpeg shows as a video.
    """
    container = av.open(str(path))
    name = container.format.name
    if name == "tty" or name == "image2" or name.endswith("_pipe"):
        container.close()
        raise DataError(f"{path}: is {'text' if name == 'tty' else 'an image'}, not a video")
    return container


def pick_stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The video stream that players, and decord, choose where there are several.

    Raises:
        DataError: when there is none.
    """
    stream = container.streams.best("video")
    if stream is None:
        raise DataError(f"{path}: holds no video")
    assert isinstance(stream, av.VideoStream)
    stream.codec_context.thread_count = 1
    return stream


def to_rgb(frame: av.VideoFrame) -> Frames:
    """(H, W, 3), turned as the file says that it is to be shown: phones store how they were held."""
    pixels = cast(Frames, frame.to_ndarray(format="rgb24"))
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def describe_error(error: Exception) -> str:
    """What FFmpeg says, without number and path; with what it logged, where PyAV was told to keep that."""
    text = str(getattr(error, "strerror", None) or error).strip().splitlines()[0]
    log = getattr(error, "log", None)
    return f"{text} ({log[2].strip()})" if log else text
