"""Videos kept as a folder of JPEG images."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from study.data.readers.base import Frames, Indices, check_indices
from study.errors import DataError

ImageMode = Literal["L", "RGB"]
"""Gray, or color."""


class FrameFolderReader:
    """A folder of numbered JPEG frames.

    Args:
        folder: the folder.
        template: name of a frame by its number, from 1: ``{:05d}.jpg``.
    """

    def __init__(self, folder: Path, template: str) -> None:
        self._folder = folder
        self._template = template
        self._num_frames = count_images(folder, template)

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def read(self, indices: Indices) -> Frames:
        wanted = check_indices(indices, self._num_frames, self._folder)
        unique, inverse = np.unique(wanted, return_inverse=True)
        names = [self._template.format(number + 1) for number in unique]
        images = [read_jpeg(self._folder / name) for name in names]
        for name, image in zip(names, images, strict=True):
            if image.shape != images[0].shape:
                raise DataError(
                    f"{self._folder}: frames differ in size: {names[0]} has {_describe_size(images[0])}, "
                    f"{name} has {_describe_size(image)}"
                )
        return np.stack(images)[inverse]


def _describe_size(image: Frames) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def count_images(folder: Path, template: str) -> int:
    """Images of ``folder`` that ``template`` names, counted from 1 without a gap.

    Raises:
        DataError: when there is no such folder, it holds none of them, or one is missing in between.
    """
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read as a folder of frames: {error.strerror or error}"
        ) from None
    head, _, rest = template.partition("{")
    pattern = re.compile(re.escape(head) + r"(\d+)" + re.escape(rest.partition("}")[2]), re.ASCII)
    matches = (match for match in map(pattern.fullmatch, names) if match)
    numbers = {int(match[1]) for match in matches if template.format(int(match[1])) == match[0]}
    if not numbers:
        first = f"its first file is '{min(names)}'" if names else "it is empty"
        raise DataError(f"{folder}: holds no frames named like {template.format(1)}; {first}")
    if 0 in numbers:
        raise DataError(f"{folder}: frames are counted from 1, but there is a {template.format(0)}")
    if len(numbers) < max(numbers):
        missing = next(number for number in range(1, len(numbers) + 2) if number not in numbers)
        raise DataError(f"{folder}: frame {template.format(missing)} is missing; the last is {max(numbers)}")
    return len(numbers)


def read_jpeg(path: Path, mode: ImageMode = "RGB") -> Frames:
    """One image, bytes (H, W, 3), or (H, W, 1) in mode "L" (gray).

    Raises:
        DataError: when it is missing or no JPEG.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert(mode))
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a readable JPEG: {_describe_content(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: not a readable JPEG: {error.strerror or error}") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _describe_content(path: Path) -> str:
    start = path.read_bytes()[:4]
    return f"it starts with {start!r}" if start else "the file is empty"
