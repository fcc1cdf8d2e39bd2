"""From files to frames: decord behind an interface of our own, and a cache for small videos.

decord 0.6 seeks wrongly, without an error, in containers whose index does not name the frames that decoding
can start from: AVI (UCF-101 and HMDB-51 as distributed), MPEG program streams, open GOPs. Reading such a file
from its first frame on is right. So random access is used for mp4, mkv and webm only, and everything else is
read in order up to the last frame that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from study.errors import DataError

Frames = npt.NDArray[np.uint8]
"""Frames (T, H, W, 3), RGB."""

SEEKABLE = frozenset({".mp4", ".m4v", ".mkv", ".webm"})
"""Containers that are read by random access."""
CHUNK = 32
"""Frames decoded at a time when a file is read in order."""


class VideoReader(Protocol):
    """An open video."""

    @property
    def num_frames(self) -> int:
        """Frames of the video; with a damaged file, those its header promises."""

    def read(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Frames:
        """The frames at ``indices``, (len(indices), H, W, 3); an index may repeat.

        Raises:
            DataError: when one of them cannot be decoded.
        """


Decoder = Callable[[Path], VideoReader]
"""Opens a video. Raises DataError when it cannot."""


class DecordReader:
    """A video opened by decord.

    Open it in the process that reads it: a reader opened before a fork hangs.

    Args:
        path: the file.
        in_order: read from the first frame on instead of seeking; by default for all but :data:`SEEKABLE`.
    """

    def __init__(self, path: Path, *, in_order: bool | None = None) -> None:
        import decord

        self._path = path
        self._errors: tuple[type[Exception], ...] = (RuntimeError, decord.DECORDError, IndexError)
        self._in_order = path.suffix.lower() not in SEEKABLE if in_order is None else in_order
        if not path.is_file():
            raise DataError(f"{path}: no such file")
        try:
            self._reader: Any = decord.VideoReader(str(path), num_threads=1)
            self._num_frames = len(self._reader)
        except self._errors as error:
            raise DataError(f"{path}: cannot be opened as a video: {_first_line(error)}") from None
        if self._num_frames < 1:
            raise DataError(f"{path}: holds no frames")

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def read(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Frames:
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size == 0 or wanted.min() < 0 or wanted.max() >= self._num_frames:
            raise DataError(f"{self._path}: frames {wanted.tolist()} asked for, it has {self._num_frames}")
        unique, inverse = np.unique(wanted, return_inverse=True)
        frames = self._read_in_order(unique) if self._in_order else self._batch(unique)
        return frames[inverse]

    def _read_in_order(self, unique: npt.NDArray[np.int64]) -> Frames:
        """Decode from the first frame to the last wanted one, keeping the wanted ones."""
        kept = []
        for start in range(0, int(unique[-1]) + 1, CHUNK):
            chunk = np.arange(start, min(start + CHUNK, int(unique[-1]) + 1))
            frames = self._batch(chunk)
            kept.append(frames[np.isin(chunk, unique)])
        return np.concatenate(kept)

    def _batch(self, indices: npt.NDArray[np.int64]) -> Frames:
        try:
            frames: Frames = self._reader.get_batch(indices.tolist()).asnumpy()
        except self._errors as error:
            first, last = int(indices[0]), int(indices[-1])
            raise DataError(f"{self._path}: frames {first} to {last}: {_first_line(error)}") from None
        return frames


class ArrayReader:
    """A video that is decoded already."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    def read(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Frames:
        return self._frames[np.asarray(indices, dtype=np.int64)]


class FrameCache:
    """Opens videos and keeps the decoded frames of as many as fit into memory.

    A video stays once it is in: an epoch touches every video once, so evicting the oldest would evict exactly
    what is needed next. Videos that do not fit are decoded anew each time.

    Args:
        limit_mib: memory for frames, mebibytes; 0 keeps none.
        decoder: opens the videos.
    """

    def __init__(self, limit_mib: int, decoder: Decoder = DecordReader) -> None:
        self._free = limit_mib * 2**20
        self._decoder = decoder
        self._kept: dict[Path, ArrayReader] = {}
        self._too_large: set[Path] = set()

    def open(self, path: Path) -> VideoReader:
        """The video at ``path``. Raises DataError when it cannot be opened or, if it is kept, decoded."""
        if path in self._kept:
            return self._kept[path]
        reader = self._decoder(path)
        if not self._free or path in self._too_large:
            return reader
        frames = self._decode_if_it_fits(reader)
        if frames is None:
            self._too_large.add(path)
            return self._decoder(path)
        self._free -= frames.nbytes
        self._kept[path] = ArrayReader(frames)
        return self._kept[path]

    def _decode_if_it_fits(self, reader: VideoReader) -> Frames | None:
        """All frames, read in order; the first part tells how much memory they take."""
        head = reader.read(range(min(CHUNK, reader.num_frames)))
        if head[0].nbytes * reader.num_frames > self._free:
            return None
        if len(head) == reader.num_frames:
            return head
        return np.concatenate([head, reader.read(range(len(head), reader.num_frames))])


def _first_line(error: Exception) -> str:
    """What a decoder says, without the stack trace that decord appends."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
