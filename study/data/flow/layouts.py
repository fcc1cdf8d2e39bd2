"""How the flow images of a video are named: as TSN, TSM and TRN keep them.

TSN (also UCF-101, HMDB-51 and MMAction2): ``VIDEO/flow_x_00001.jpg`` and ``VIDEO/flow_y_00001.jpg``, gray.
TSM, for Something-Something V1: ``000012/000012-x_00001.jpg`` and ``000012/000012-y_00001.jpg``, gray; videos are
numbers. Its lists count x and y images together; here images are counted on the disk, pairs once.
TRN, for Something-Something V2: ``VIDEO/000001.jpg``, a color image with x and y as red and green; blue is blank.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import cv2
import numpy as np

from study.data.preparation.extract import JPEG_QUALITY, strip_suffix
from study.data.readers.base import Frames
from study.data.readers.frame_folder import read_jpeg
from study.errors import DataError

BLANK = 128
"""Third channel of TRN's images: with it, an image without motion is gray, which JPEG keeps best."""


class FlowImages(Protocol):
    """The flow images of one video, numbered from 1."""

    @property
    def folder(self) -> Path:
        """Where they lie."""

    def at(self, folder: Path) -> Self:
        """The same names in another folder."""

    def count(self) -> int:
        """How many there are, x and y counted once.

        Raises:
            DataError: when the folder is missing or holds none, a number is missing, or x has one that y lacks.
        """

    def read(self, number: int) -> Frames:
        """Image ``number``, (H, W, 2): x and y. Raises DataError when it cannot be read."""

    def write(self, number: int, image: Frames) -> None:
        """Write ``image`` (H, W, 2). Raises OSError when the disk does not take it."""


@dataclass(frozen=True)
class PairedImages:
    """A gray image for x and one for y.

    Attributes:
        folder: where they lie.
        prefix: what names begin with, before "x" or "y".
    """

    folder: Path
    prefix: str

    def at(self, folder: Path) -> PairedImages:
        return replace(self, folder=folder)

    def count(self) -> int:
        found = {axis: self._numbers(axis) for axis in "xy"}
        for axis, other in ("xy", "yx"):
            lacking = found[axis] - found[other]
            if lacking:
                raise DataError(
                    f"{self.folder}: {len(found['x'])} flow images for x and {len(found['y'])} for y: "
                    f"{self._name(other, min(lacking))} is missing"
                )
        return check_numbers(self.folder, found["x"], lambda number: self._name("x", number))

    def read(self, number: int) -> Frames:
        planes = [read_jpeg(self.folder / self._name(axis, number), "L") for axis in "xy"]
        if planes[0].shape != planes[1].shape:
            raise DataError(f"{self.folder}: {self._name('x', number)} and its y image differ in size")
        return np.concatenate(planes, axis=2)

    def write(self, number: int, image: Frames) -> None:
        for channel, axis in enumerate("xy"):
            write_jpeg(self.folder / self._name(axis, number), image[..., channel])

    def _name(self, axis: str, number: int) -> str:
        return f"{self.prefix}{axis}_{number:05d}.jpg"

    def _numbers(self, axis: str) -> set[int]:
        return list_numbers(self.folder, rf"{re.escape(self.prefix)}{axis}_(\d{{5,}})\.jpg")


@dataclass(frozen=True)
class JoinedImages:
    """One color image for x and y.

    Attributes:
        folder: where they lie.
    """

    folder: Path

    def at(self, folder: Path) -> JoinedImages:
        return replace(self, folder=folder)

    def count(self) -> int:
        return check_numbers(self.folder, list_numbers(self.folder, r"(\d{6,})\.jpg"), self._name)

    def read(self, number: int) -> Frames:
        image = read_jpeg(self.folder / self._name(number))
        return np.ascontiguousarray(image[..., :2])

    def write(self, number: int, image: Frames) -> None:
        blank = np.full_like(image[..., :1], BLANK)
        # OpenCV wants blue first. Without 4:4:4, JPEG would halve the resolution of what tells x from y.
        bgr = np.concatenate([blank, image[..., 1:], image[..., :1]], axis=2)
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        write_jpeg(self.folder / self._name(number), bgr, sampling)

    @staticmethod
    def _name(number: int) -> str:
        return f"{number:06d}.jpg"


def locate_tsn(root: Path, video: str) -> FlowImages:
    """Where TSN keeps the flow of the video at the path ``video``."""
    return PairedImages(root / strip_suffix(video), "flow_")


def locate_tsm(root: Path, video: str) -> FlowImages:
    """Where TSM keeps the flow of the video at the path ``video``, whose name is a number.

    Raises:
        DataError: when it is not.
    """
    place = root / strip_suffix(video)
    if not (place.name.isascii() and place.name.isdigit()):
        raise DataError(
            f"'{video}': clip.modality.layout 'tsm' is for videos whose names are numbers; allowed: tsn, trn"
        )
    name = f"{int(place.name):06d}"
    return PairedImages(place.with_name(name), f"{name}-")


def locate_trn(root: Path, video: str) -> FlowImages:
    """Where TRN keeps the flow of the video at the path ``video``."""
    return JoinedImages(root / strip_suffix(video))


LAYOUTS: dict[str, Callable[[Path, str], FlowImages]] = {
    "tsn": locate_tsn,
    "tsm": locate_tsm,
    "trn": locate_trn,
}
"""Where the flow of a video lies, from the root of the flow and the video's path."""


def list_numbers(folder: Path, pattern: str) -> set[int]:
    """Numbers of the files in ``folder`` whose names match ``pattern``, its first group.

    Raises:
        DataError: when there is no such folder.
    """
    expression = re.compile(pattern, re.ASCII)
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read as a folder of flow images: {error.strerror or error}"
        ) from None
    return {int(match[1]) for match in map(expression.fullmatch, names) if match}


def check_numbers(folder: Path, numbers: set[int], name: Callable[[int], str]) -> int:
    """How many images there are, once it is sure that they are numbered 1, 2, 3, ...

    Raises:
        DataError: when there are none or one is missing.
    """
    if not numbers:
        raise DataError(f"{folder}: holds no flow images named like {name(1)}")
    if 0 in numbers:
        raise DataError(f"{folder}: {name(0)}: flow images are counted from 1")
    missing = next((number for number in range(1, max(numbers)) if number not in numbers), None)
    if missing is not None:
        raise DataError(
            f"{folder}: flow image {name(missing)} is missing, there are others up to {max(numbers)}"
        )
    return len(numbers)


def write_jpeg(path: Path, image: Frames, options: list[int] | None = None) -> None:
    """Write ``image``, gray (H, W) or blue first (H, W, 3). Raises OSError when the disk does not take it."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *(options or ())])
    path.write_bytes(data.tobytes())
