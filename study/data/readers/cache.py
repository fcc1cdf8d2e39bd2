"""Decoded videos in memory, as many as fit."""

from __future__ import annotations

import numpy as np

from study.data.readers.base import ArrayReader, Frames, Opening, VideoReader

CHUNK = 32
"""Frames read at a time while it is not known how much memory a video takes."""


class FrameCache:
    """Opens videos and keeps the decoded frames of as many as fit into memory.

    A video stays once it is in: an epoch touches every video once, so evicting the oldest would evict exactly
    the one that is wanted next. Each process of a loader has a cache of its own.

    Args:
        limit_mib: memory for frames, mebibytes; 0 keeps none.
    """

    def __init__(self, limit_mib: int) -> None:
        self._free = limit_mib * 2**20
        self._kept: dict[str, ArrayReader] = {}
        self._too_large: set[str] = set()

    def open(self, key: str, opening: Opening) -> VideoReader:
        """The video called ``key``, from memory or through ``opening``.

        Raises:
            DataError: when it cannot be opened or, if it is kept, decoded.
        """
        if key in self._kept:
            return self._kept[key]
        reader = opening()
        if not self._free or key in self._too_large:
            return reader
        frames = self._decode_if_it_fits(reader)
        if frames is None:
            self._too_large.add(key)
            return opening()
        self._free -= frames.nbytes
        self._kept[key] = ArrayReader(frames)
        return self._kept[key]

    def _decode_if_it_fits(self, reader: VideoReader) -> Frames | None:
        """All frames, read in order; the first part tells how much memory they take."""
        head = reader.read(range(min(CHUNK, reader.num_frames)))
        if head[0].nbytes * reader.num_frames > self._free:
            return None
        if len(head) == reader.num_frames:
            return head
        return np.concatenate([head, reader.read(range(len(head), reader.num_frames))])
