"""Convolution over time alone (K_T x 1 x 1) on frames that are folded into the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.models.initialization import NewLayer, kaiming_


def unfold_frames(x: Tensor, frames: int) -> Tensor:
    """(N*T, C, H, W) as (N, C, T, H*W): a view without a copy where ``x`` is channels-last."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 0, (-1, frames)).flatten(2, 3).permute(0, 3, 1, 2)


def refold_frames(x: Tensor, size: torch.Size) -> Tensor:
    """(N, C, T, H*W) as (N*T, C, H, W), with H and W from ``size``; the inverse of :func:`unfold_frames`."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 2, size[-2:]).flatten(0, 1).permute(0, 3, 1, 2)


def flatten_clips(x: Tensor, frames: int) -> Tensor:
    """(N*T, C, H, W) as (N, T*H*W, C): all pixels of a clip, a view where ``x`` is channels-last."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 0, (-1, frames)).flatten(1, 3)


def refold_clips(x: Tensor, size: torch.Size) -> Tensor:
    """(N, T*H*W, C) as (N*T, C, H, W), with H and W from ``size``; the inverse of :func:`flatten_clips`."""
    return torch.unflatten(x, 1, (-1, size[-2], size[-1])).flatten(0, 1).permute(0, 3, 1, 2)


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


class TemporalKernels(NewLayer):
    """Weights of a temporal convolution, (C_o, C_i / groups, K_T, 1)."""

    weight: nn.Parameter

    def __init__(self, out_channels: int, in_channels: int, kernel: int = 3, *, zero: bool = False) -> None:
        super().__init__()
        self.zero = zero
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, 1))

    def init_parameters(self, generator: torch.Generator) -> None:
        if self.zero:
            nn.init.zeros_(self.weight)
        else:
            kaiming_(self.weight, generator)


class TemporalConv(TemporalKernels):
    """A K_T x 1 x 1 convolution: (N*T, C_i, H, W) to (N*T, C_o, H / s, W / s)."""

    def __init__(
        self,
        out_channels: int,
        in_channels: int,
        frames: int,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__(out_channels, in_channels // groups)
        self.frames = frames
        self.stride = stride
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return temporal_conv(x, self.weight, self.frames, stride=self.stride, groups=self.groups)
