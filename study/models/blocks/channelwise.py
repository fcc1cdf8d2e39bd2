"""Channel-wise temporal convolution that starts as a shift in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.kernels.temporal import temporal_conv
from study.models.blocks.temporal import TemporalKernels


class ChannelwiseTemporal(TemporalKernels):
    """A depthwise 3x1x1 convolution: (N*T, C, H, W) to the same shape. 3 C parameters.

    It starts as a shift: the channels ``past`` take the previous frame, the channels ``future`` the next one,
    the rest stay; frames outside of the clip are zero.
    """

    def __init__(self, channels: int, frames: int, *, past: slice, future: slice) -> None:
        super().__init__(channels, 1)
        self.frames = frames
        self.past = past
        self.future = future

    def forward(self, x: Tensor) -> Tensor:
        return temporal_conv(x, self.weight, self.frames, groups=self.weight.shape[0])

    def init_parameters(self, generator: torch.Generator) -> None:
        nn.init.zeros_(self.weight)
        taps = torch.ones(self.weight.shape[0], dtype=torch.long)
        taps[self.past] = 0
        taps[self.future] = 2
        self.weight.scatter_(2, taps.view(-1, 1, 1, 1), 1.0)
