"""Videos through decord.

decord 0.6 seeks wrongly, without an error, in containers whose index does not name the frames that decoding
can start from: AVI (UCF-101 and HMDB-51 as distributed), MPEG program streams, open GOPs. Reading such a file
from its first frame on is right. So random access is used for mp4, mkv and webm only, and everything else is
read in order up to the last frame that is wanted. ``data check`` finds the mp4 files in which seeking is wrong.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from study.data.readers.base import Frames, Indices, check_file, check_indices
from study.errors import DataError

SEEKABLE = frozenset({".mp4", ".m4v", ".mkv", ".webm"})
"""Containers that are read by random access."""
CHUNK = 32
"""Frames decoded at a time when a file is read in order."""
PLACE = re.compile(r"\[[\d:]+\] \S+\.cc:\d+: ")
TEXT = frozenset({".txt", ".nfo", ".asc", ".ans", ".art", ".diz", ".ice", ".vt"})
"""Endings by which FFmpeg takes a file for text and shows it as a video of a terminal, whatever it holds."""


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
        self._position = 0
        check_file(path)
        if path.suffix.lower() in TEXT:
            raise DataError(f"{path}: cannot be opened as a video: '{path.suffix}' stands for text")
        self._reader: Any = self._open()
        self._num_frames = len(self._reader)
        if self._num_frames < 1:
            raise DataError(f"{path}: holds no frames")

    def _open(self) -> Any:
        import decord

        try:
            return decord.VideoReader(str(self._path), num_threads=1)
        except self._errors as error:
            raise DataError(f"{self._path}: cannot be opened as a video: {_first_line(error)}") from None

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def read(self, indices: Indices) -> Frames:
        wanted = check_indices(indices, self._num_frames, self._path)
        unique, inverse = np.unique(wanted, return_inverse=True)
        frames = self._read_in_order(unique) if self._in_order else self._batch(unique)
        return frames[inverse]

    def _read_in_order(self, unique: npt.NDArray[np.int64]) -> Frames:
        """Decode up to the last wanted frame, keeping the wanted ones; go on from where the last call ended."""
        if unique[0] < self._position:
            # Going back is seeking. A reader that is opened anew has not been anywhere yet.
            self._reader, self._position = self._open(), 0
        begin, end = self._position, int(unique[-1]) + 1
        # Until it has gone well: nobody knows where a decoder stands after an error.
        self._position = self._num_frames
        kept = []
        for start in range(begin, end, CHUNK):
            chunk = np.arange(start, min(start + CHUNK, end))
            frames = self._batch(chunk)
            kept.append(frames[np.isin(chunk, unique)])
        self._position = end
        return np.concatenate(kept)

    def _batch(self, indices: npt.NDArray[np.int64]) -> Frames:
        try:
            frames: Frames = self._reader.get_batch(indices.tolist()).asnumpy()
        except self._errors as error:
            first, last = int(indices[0]), int(indices[-1])
            raise DataError(f"{self._path}: frames {first} to {last}: {_first_line(error)}") from None
        return frames


def _first_line(error: Exception) -> str:
    """What a decoder says, without the stack trace that decord appends and the places in its source."""
    text = str(error).strip() or type(error).__name__
    return PLACE.sub("", text.splitlines()[0]) or text.splitlines()[-1]
