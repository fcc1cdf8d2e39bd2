"""Frames folded into the batch as clips, and back, for 3D convolutions."""

from __future__ import annotations

import torch
from torch import Tensor


def clip_view(x: Tensor, frames: int) -> Tensor:
    """(N*T, C, H, W) as (N, C, T, H, W): a view, channels-last where ``x`` is."""
    return torch.unflatten(x, 0, (-1, frames)).transpose(1, 2)


def frame_view(x: Tensor) -> Tensor:
    """(N, C, T, H, W) as (N*T, C, H, W): a view where ``x`` is channels-last; the inverse of :func:`clip_view`."""
    return x.transpose(1, 2).flatten(0, 1)
