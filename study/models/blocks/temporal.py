"""Layers over time (K_T x 1 x 1) on frames that are folded into the batch, and their pixels by clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.kernels.temporal import temporal_conv
from study.models.initialization import NewLayer, kaiming_

KERNEL_T = 3
"""Taps of a temporal kernel where nothing else is said."""


def flatten_clips(x: Tensor, frames: int) -> Tensor:
    """(N*T, C, H, W) as (N, T*H*W, C): all pixels of a clip, a view where ``x`` is channels-last."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 0, (-1, frames)).flatten(1, 3)


def refold_clips(x: Tensor, size: torch.Size) -> Tensor:
    """(N, T*H*W, C) as (N*T, C, H, W), with H and W from ``size``; the inverse of :func:`flatten_clips`."""
    return torch.unflatten(x, 1, (-1, size[-2], size[-1])).flatten(0, 1).permute(0, 3, 1, 2)


class TemporalKernels(NewLayer):
    """Weights of a temporal convolution, (C_o, C_i / groups, K_T, 1)."""

    weight: nn.Parameter

    def __init__(
        self, out_channels: int, in_channels: int, kernel: int = KERNEL_T, *, zero: bool = False
    ) -> None:
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
