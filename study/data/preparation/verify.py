"""Looking at what was written as training will, before it gets its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from study.data.readers import VideoReader, open_video
from study.data.readers.base import Frames, Reading
from study.errors import DataError

KEPT = 16
"""Pictures that are kept for comparison, at most, besides the last one; at least half as many where there are."""
LOWEST_PSNR_DB = 30.0
"""Of the luma of a written picture against what was to be written. Encoding stays above 36 on real clips, and
the picture of another place of a video that moves falls to 22."""


class Samples:
    """A few pictures of a video, evenly spaced whatever its length, kept while it passes by.

    Attributes:
        count: pictures that have passed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kept: dict[int, Frames] = {}
        self._last: dict[int, Frames] = {}
        self._step = 1

    @property
    def pictures(self) -> dict[int, Frames]:
        """Those kept, by their number from 0; the first and the last are among them."""
        return self._kept | self._last

    def watch(self, pictures: Iterable[Frames]) -> Iterator[Frames]:
        """``pictures`` as they are."""
        for picture in pictures:
            if self.count % self._step == 0:
                self._kept[self.count] = picture
            if len(self._kept) > KEPT:
                self._step *= 2
                self._kept = {n: kept for n, kept in self._kept.items() if n % self._step == 0}
            self._last = {self.count: picture}
            self.count += 1
            yield picture


def verify_mp4(path: Path, samples: Samples) -> None:
    """Check that a written video holds what ``samples`` saw, and that seeking in it is right.

    Raises:
        DataError: when frames are missing or in excess, a random access gives another frame than reading in
            order, or a picture is not what was written.
    """
    in_order = open_video(path, Reading(), in_order=True)
    _check_count(path, in_order, samples)
    pictures = samples.pictures
    numbers = sorted(pictures)
    seeking = open_video(path, Reading(), in_order=False)
    # From the last to the first: no frame follows the one read before it.
    backward = {number: seeking.read([number])[0] for number in reversed(numbers)}
    for number, picture in zip(numbers, in_order.read(numbers), strict=True):
        if not np.array_equal(picture, backward[number]):
            raise DataError(f"{path}: seeking frame {number} gives another picture than reading in order")
        _check_picture(path, number, picture, pictures[number])


def verify_frames(folder: Path, template: str, samples: Samples) -> None:
    """Check that a written folder of frames holds what ``samples`` saw.

    Raises:
        DataError: when frames are missing or in excess, or a picture is not what was written.
    """
    # It imports torch, which takes seconds; videos are verified without.
    from study.data.readers.frame_folder import FrameFolderReader

    reader = FrameFolderReader(folder, template)
    _check_count(folder, reader, samples)
    for number, picture in samples.pictures.items():
        _check_picture(folder, number, reader.read([number])[0], picture)


def _check_count(path: Path, reader: VideoReader, samples: Samples) -> None:
    if reader.num_frames != samples.count:
        raise DataError(f"{path}: {reader.num_frames} frames were written, the source has {samples.count}")


def _check_picture(path: Path, number: int, written: Frames, source: Frames) -> None:
    if written.shape != source.shape:
        raise DataError(f"{path}: frame {number} is {written.shape}, not {source.shape}")
    psnr = measure_luma_psnr(written, source)
    if psnr < LOWEST_PSNR_DB:
        raise DataError(
            f"{path}: frame {number} differs from the source: {psnr:.1f} dB, allowed: {LOWEST_PSNR_DB:g} or more"
        )


def measure_luma_psnr(first: Frames, second: Frames) -> float:
    """Peak signal-to-noise ratio of the luma of two pictures (H, W, 3), decibels; infinite where equal.

    Luma only: 4:2:0 halves the resolution of color, which says nothing about the place of a picture.
    """
    lumas = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (first, second)]
    error = float(np.mean((lumas[0] - lumas[1]) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))
