"""Temporal adaptive module (TAM, the block of TANet).

Liu et al., "TAM: Temporal Adaptive Module for Video Recognition", ICCV 2021, section 3; section and figure as
we recall them, the structure from the authors' code. It stands between the first 1x1 and the 3x3 of every
bottleneck, that is on the input of the 3x3. In networks without bottlenecks it stands before every k x k
convolution, which is our extension.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.kernels.temporal import refold_frames, unfold_frames
from study.models.initialization import NewLayer, kaiming_
from study.models.placement import Site
from study.spec.blocks.temporal import TAMBlock

KERNEL = 3
"""K: frames that the adaptive kernel spans."""
EXPANSION = 2
"""alpha: width of the global branch, in units of T."""
REDUCTION = 4
"""beta: channels for one channel of the local branch."""
STD = 0.001
"""Of the global branch's initial weights, as MMAction2 has it; its kernels start close to a mean."""


class TemporalAdaptiveModule(NewLayer):
    """Kernels over time that each clip chooses for itself: (N*T, C, H, W) to the same shape.

    Of the pooled clip (N, C, T), the local branch, two convolutions over time, gives the importance of every
    channel and frame; the global branch, two linear layers over the frames of one channel, gives that channel's
    kernel, K weights that sum to 1. The output is the weighted clip, convolved over time.
    """

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        width, narrow = frames * EXPANSION, channels // REDUCTION
        self.kernel = nn.Sequential(
            nn.Linear(frames, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, KERNEL, bias=False),
            nn.Softmax(dim=-1),
        )
        self.importance = nn.Sequential(
            nn.Conv1d(channels, narrow, KERNEL, padding=KERNEL // 2, bias=False),
            nn.BatchNorm1d(narrow),
            nn.ReLU(inplace=True),
            nn.Conv1d(narrow, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def init_parameters(self, generator: torch.Generator) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=STD, generator=generator)
            elif isinstance(layer, nn.Conv1d):
                kaiming_(layer.weight, generator)
            elif isinstance(layer, nn.BatchNorm1d):
                layer.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        clips = unfold_frames(x, self.frames)  # (N, C, T, H*W)
        pooled = clips.mean(dim=3)
        kernels = self.kernel(pooled.flatten(0, 1))  # (N*C, K)
        weighted = clips * self.importance(pooled).unsqueeze(3).to(clips.dtype)
        groups = kernels.shape[0]
        y = functional.conv2d(
            weighted.flatten(0, 1).unsqueeze(0),
            kernels[:, None, :, None].to(clips.dtype),
            padding=(KERNEL // 2, 0),
            groups=groups,
        )
        return refold_frames(torch.unflatten(y.squeeze(0), 0, clips.shape[:2]), x.shape)


class AdaptiveConv(nn.Module):
    """A convolution on what the module makes of its input: (N*T, C_i, H, W) to (N*T, C_o, H', W')."""

    def __init__(self, conv: nn.Conv2d, frames: int) -> None:
        super().__init__()
        self.tam = TemporalAdaptiveModule(conv.in_channels, frames)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.tam(x))
        return y


def build_tam(spec: TAMBlock, site: Site, frames: int) -> nn.Module:
    """The convolution at ``site``, with the module before it.

    Raises:
        ModelError: when it has fewer than 4 input channels.
    """
    if site.conv.in_channels < REDUCTION:
        raise ModelError(
            f"{site.name}: TAM needs {REDUCTION} input channels or more, found {site.conv.in_channels}"
        )
    return AdaptiveConv(site.conv, frames)
