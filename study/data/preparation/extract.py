"""The pictures of a source as they are to be seen, their size, and writing them as JPEG frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from study.data.readers.base import Frames, Reading
from study.data.readers.frame_folder import FrameFolderReader
from study.data.readers.pyav_reader import iter_frames
from study.errors import DataError

JPEG_QUALITY = 95
"""Of frames and of flow images; what the field's tools write."""
FOLDER_RATE = Fraction(12)
"""Frames a second of a folder of frames, which does not say: that of Something-Something V1 and Jester."""
UNKNOWN_RATE = Fraction(25)
"""Frames a second of a video whose header gives none, or none between 1 and 240."""
VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".divx", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".ogv", ".swf", ".ts", ".vob", ".webm", ".wmv"}
)
"""Endings that are no part of a video's name. Others stay: a folder of frames may have a dot in its name."""


def strip_suffix(path: str) -> str:
    """``path``, with forward slashes, without the ending of a video file."""
    pure = PurePosixPath(path)
    return pure.with_suffix("").as_posix() if pure.suffix.lower() in VIDEO_SUFFIXES else pure.as_posix()


def iter_pictures(source: Path, reading: Reading) -> Iterator[Frames]:
    """The frames of a video in the order in which they are shown, (H, W, 3) each, upright.

    A file is decoded in order and by PyAV, which is right for every file that can be decoded at all. The
    rotation that phones write into a file's header is applied to the pixels, as decord does.

    Args:
        source: a video file, or a folder of frames where ``reading`` names a template.
        reading: how it is read; only its template matters.

    Raises:
        DataError: naming the file, when it cannot be decoded, holds no frames or frames of several sizes.
    """
    shape: tuple[int, ...] | None = None
    for picture in _iter_any(source, reading):
        if shape is not None and picture.shape != shape:
            was, now = (f"{s[1]}x{s[0]}" for s in (shape, picture.shape))
            raise DataError(f"{source}: frames differ in size: {was}, then {now}")
        shape = picture.shape
        yield picture
    if shape is None:
        raise DataError(f"{source}: holds no frames")


def _iter_any(source: Path, reading: Reading) -> Iterator[Frames]:
    if reading.image_template:
        folder = FrameFolderReader(source, reading.image_template)
        for number in range(folder.num_frames):
            yield folder.read([number])[0]
        return
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    # One for all frames: setting up a conversion costs more than converting a small frame.
    reformatter = VideoReformatter()
    for frame in iter_frames(source):
        # Quarter turns counterclockwise, as numpy counts them.
        turns = round(frame.rotation / 90) % 4
        picture = np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), dtype=np.uint8)
        yield np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def find_rate(source: Path, reading: Reading) -> Fraction:
    """Frames a second that the header of ``source`` claims on average; a plausible rate where it does not.

    Raises:
        DataError: when the file cannot be opened as a video.
    """
    if reading.image_template:
        return FOLDER_RATE
    try:
        with av.open(str(source)) as container:
            rate = container.streams.video[0].average_rate if container.streams.video else None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{source}: cannot be opened as a video: {error}") from None
    if rate is None or not 1 <= rate <= 240:
        return UNKNOWN_RATE
    return Fraction(rate).limit_denominator(1001)


def fit_size(
    shape: tuple[int, ...], short_side: int | None, *, upscale: bool = False, even: bool = False
) -> tuple[int, int]:
    """(height, width) that a picture of ``shape`` (H, W, ...) gets.

    Args:
        shape: of the picture.
        short_side: pixels of the shorter side; None leaves the size.
        upscale: whether smaller pictures grow to it.
        even: whether both are to be even, as 4:2:0 video has to be: one pixel more where they are odd.
    """
    height, width = shape[:2]
    shorter = min(height, width)
    if short_side is not None and (short_side < shorter or upscale):
        scale = short_side / shorter
        height, width = (
            short_side if side == shorter else max(1, round(side * scale)) for side in (height, width)
        )
    return (height + height % 2, width + width % 2) if even else (height, width)


def fit_picture(picture: Frames, size: tuple[int, int]) -> Frames:
    """``picture`` (H, W, 3) at ``size`` (height, width).

    A single row or column that is lacking repeats its neighbor, so that the others stay as they are; every other
    change of size averages over areas (bicubic where it grows).
    """
    height, width = picture.shape[:2]
    down, right = size[0] - height, size[1] - width
    if (down, right) == (0, 0):
        return picture
    if down in (0, 1) and right in (0, 1):
        return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")
    shrinks = size[0] < height or size[1] < width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size[1], size[0]), interpolation=interpolation), dtype=np.uint8)


def write_frames(folder: Path, template: str, pictures: Iterable[Frames]) -> None:
    """Write ``pictures`` (H, W, 3) into a new ``folder`` as JPEGs named by ``template``, counted from 1.

    Raises:
        OSError: when the folder exists or cannot be written.
    """
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, 1):
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / template.format(number)).write_bytes(data.tobytes())
