"""Convolution over time alone (K_T x 1 x 1) on frames that are folded into the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def unfold_frames(x: Tensor, frames: int) -> Tensor:
    """(N*T, C, H, W) as (N, C, T, H*W): a view without a copy where ``x`` is channels-last."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 0, (-1, frames)).flatten(2, 3).permute(0, 3, 1, 2)


def refold_frames(x: Tensor, size: torch.Size) -> Tensor:
    """(N, C, T, H*W) as (N*T, C, H, W), with H and W from ``size``; the inverse of :func:`unfold_frames`."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 2, size[-2:]).flatten(0, 1).permute(0, 3, 1, 2)


def temporal_conv(
    x: Tensor,
    weight: Tensor,
    frames: int,
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve each pixel over time, zero-padded to the same number of frames.

    It runs as a 2D convolution on the (T, H*W) view, which is faster than a 3D convolution and, in
    channels-last memory, needs no copy.

    Args:
        x: (N*T, C_i, H, W).
        weight: (C_o, C_i / groups, K_T, 1) with K_T odd.
        frames: T.
        stride: spatial stride; pixels 0, s, 2s, ... are kept, the centers of a padded 3x3 of that stride.
        dilation: frames between taps.
        groups: groups of channels.

    Returns:
        (N*T, C_o, ceil(H / s_h), ceil(W / s_w)).
    """
    if stride != (1, 1):
        x = x[:, :, :: stride[0], :: stride[1]]
    padding = dilation * (weight.shape[2] // 2)
    y = functional.conv2d(
        unfold_frames(x, frames), weight, padding=(padding, 0), dilation=(dilation, 1), groups=groups
    )
    return refold_frames(y, x.shape)
