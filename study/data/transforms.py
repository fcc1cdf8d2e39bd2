"""Crops, resizing and flips of frames, uint8 in and uint8 out; only :func:`normalize` makes numbers of them.

Frames are tensors (T, C, H, W) here; the random choices come from a numpy generator, so that they depend on
nothing but its seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from study.errors import DataError
from study.spec.clip import ClipSpec
from study.spec.views import Crop

SNAP = 3
"""A crop whose side is nearer than this to the output size is taken at that size (TSN)."""
MAX_DISTORT = 1
"""Height and width of a crop are at most this many entries of the list of scales apart (TSN)."""
# Upper left corners of the fixed positions of a crop, in quarters of the free space (y, x): the center, the
# four corners, the middles of the sides, and the centers of the quadrants.
FIXED_POSITIONS = (
    (2, 2), (0, 0), (0, 4), (4, 0), (4, 4), (2, 0), (2, 4), (0, 2), (4, 2), (1, 1), (1, 3), (3, 1), (3, 3)
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int


def draw_training_box(height: int, width: int, clip: ClipSpec, rng: np.random.Generator) -> Box:
    """The crop of one training clip: TSN's multi-scale crop, or a random one of ``clip.size`` without scales.

    The multi-scale crop draws height and width from ``clip.scales`` times the short side, neighbors in the
    list at most, and one of 13 fixed positions.

    Raises:
        DataError: when frames are smaller than a crop of fixed size.
    """
    if not clip.scales:
        _check_fits(height, width, clip.size)
        top = rng.integers(height - clip.size + 1)
        left = rng.integers(width - clip.size + 1)
        return Box(int(top), int(left), clip.size, clip.size)
    sides = [_snap(int(min(height, width) * scale), clip.size) for scale in clip.scales]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= MAX_DISTORT]
    crop_height, crop_width = pairs[rng.integers(len(pairs))]
    down, right = FIXED_POSITIONS[rng.integers(len(FIXED_POSITIONS))]
    return Box((height - crop_height) // 4 * down, (width - crop_width) // 4 * right, crop_height, crop_width)


def place_test_box(height: int, width: int, size: int, crop: Crop) -> Box:
    """A test crop of ``size`` pixels: at the center, or at one end of the long side.

    Raises:
        DataError: when the frames are smaller than the crop.
    """
    _check_fits(height, width, size)
    top, left = (height - size) // 2, (width - size) // 2
    if crop == "center":
        return Box(top, left, size, size)
    at_end = crop == "end"
    if width >= height:
        return Box(top, (width - size) * at_end, size, size)
    return Box((height - size) * at_end, left, size, size)


def resized_shape(height: int, width: int, target: tuple[int, int] | int | None) -> tuple[int, int]:
    """(height, width) of frames after :func:`resize_frames`."""
    if target is None:
        return height, width
    if isinstance(target, tuple):
        return target
    if height <= width:
        return target, int(target * width / height)
    return int(target * height / width), target


def resize_frames(frames: Tensor, target: tuple[int, int] | int | None) -> Tensor:
    """Frames at (height, width), or with a short side of ``target`` pixels and their aspect ratio kept."""
    if target is None:
        return frames
    size = [target] if isinstance(target, int) else list(target)
    resized: Tensor = tv.resize(frames, size, antialias=True)
    return resized


def crop_frames(frames: Tensor, box: Box, size: int) -> Tensor:
    """The part of ``frames`` in ``box``, scaled to ``size`` x ``size`` where it has another size."""
    cropped = frames[..., box.top : box.top + box.height, box.left : box.left + box.width]
    return resize_frames(cropped, None if (box.height, box.width) == (size, size) else (size, size))


def flip_frames(frames: Tensor, *, flow: bool = False) -> Tensor:
    """Left and right exchanged. The label goes with it through the data set's flip map.

    In flow, horizontal displacements (channels 0, 2, 4, ...) change their sign, which is 255 - v in bytes (TSN).
    """
    flipped = frames.flip(-1)
    if flow:
        flipped[..., 0::2, :, :] = 255 - flipped[..., 0::2, :, :]
    return flipped


def normalize(clips: Tensor, clip: ClipSpec) -> Tensor:
    """Clips (N, C, T, H, W) of bytes as float32: scaled to 0 to 1, less the mean, over the deviation."""
    shape = (1, -1, 1, 1, 1)
    mean, std = (torch.tensor(values, device=clips.device).view(shape) for values in clip.normalization)
    return clips.float().div_(255).sub_(mean).div_(std)


def to_frames(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], stack: int = 1) -> Tensor:
    """Decoded images (T * stack, H, W, C) as frames (T, stack * C, H, W), sharing memory where nothing is stacked.

    The channels of the first image come first: x1, y1, x2, y2, ... for flow.
    """
    frames = torch.from_numpy(images).permute(0, 3, 1, 2)
    return frames if stack == 1 else torch.unflatten(frames, 0, (-1, stack)).flatten(1, 2)


def to_clip(frames: Tensor, *, reverse: bool = False) -> Tensor:
    """Frames (T, C, H, W) as a clip (C, T, H, W), in reverse order where asked."""
    ordered = frames.flip(0) if reverse else frames
    return ordered.transpose(0, 1).contiguous()


def _snap(side: int, size: int) -> int:
    return size if abs(side - size) < SNAP else max(side, 1)


def _check_fits(height: int, width: int, size: int) -> None:
    if min(height, width) < size:
        raise DataError(
            f"frames of {height} x {width} pixels are smaller than a crop of {size}; "
            "set clip.resize, or a smaller clip.size"
        )
