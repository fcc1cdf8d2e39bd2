"""Long-term temporal difference module (TDM) of TDN.

Wang et al., "TDN: Temporal Difference Networks for Efficient Action Recognition", CVPR 2021, section 3.3.
Between a residual block's first activation and its next convolution,

    x -> temporal((1 + a) * x),    a = (sigmoid(m_ahead) + sigmoid(m_back)) / 2 - 1/2,

where m comes from differences of neighboring frames in C/16 channels, taken with the frame ahead and with the
frame before, each at three scales: as they are, through a 3x3 convolution, and through a 3x3 convolution at
half the resolution. ``temporal`` is a depthwise 3x1x1 convolution that starts as a shift.

Layers, their BatchNorm and initial values follow the authors' code, with one difference: that code computes
the middle scale of the backward difference out of the forward one, which we take for a slip; the cost is the
same. In the paper the block is a bottleneck and the module stands before its 3x3; before the second 3x3 of
basic blocks is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.models.blocks.channelwise import ChannelwiseTemporal
from study.models.blocks.residual import OpenResidual
from study.models.initialization import NewLayer, initialize_layers
from study.models.placement import Site
from study.spec.blocks import TDMBlock

FOLD = 8
"""The temporal convolution starts with a shift of C/8 channels each way."""


class TemporalDifference(NewLayer):
    """The attention (1 + a) * x: (N*T, C, H, W) to the same shape."""

    def __init__(self, channels: int, reduced: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.reduce = nn.Conv2d(channels, reduced, 1, bias=False)
        self.reduce_bn = nn.BatchNorm2d(reduced)
        self.align = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.fine = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
        self.fine_bn = nn.BatchNorm2d(reduced)
        self.coarse = nn.Conv2d(reduced, reduced, 3, padding=1, bias=False)
        self.coarse_bn = nn.BatchNorm2d(reduced)
        self.expand = nn.Conv2d(reduced, channels, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce_bn(self.reduce(x))
        here = torch.unflatten(reduced, 0, (-1, self.frames))
        aligned = torch.unflatten(self.align(reduced), 0, (-1, self.frames))
        nothing = torch.zeros_like(here[:, :1])
        ahead = torch.cat([aligned[:, 1:] - here[:, :-1], nothing], dim=1).flatten(0, 1)
        back = torch.cat([nothing, aligned[:, :-1] - here[:, 1:]], dim=1).flatten(0, 1)
        return x + x * (0.5 * (self.activate(ahead) + self.activate(back)) - 0.5)

    def activate(self, difference: Tensor) -> Tensor:
        """sigmoid(m) of the difference (N*T, C/16, H, W): (N*T, C, H, W)."""
        pool = [min(2, side) for side in difference.shape[-2:]]
        coarse = self.coarse_bn(self.coarse(functional.avg_pool2d(difference, pool)))
        coarse = functional.interpolate(coarse, difference.shape[-2:])
        scales = difference + self.fine_bn(self.fine(difference)) + coarse
        return torch.sigmoid(self.expand_bn(self.expand(scales * (1 / 3))))

    def init_parameters(self, generator: torch.Generator) -> None:
        initialize_layers(self, generator)


class TDMResidual(OpenResidual):
    """A residual block with the module and the temporal convolution: (N*T, C, H, W) to (N*T, C', H', W')."""

    def __init__(self, site: Site, reduction: int, frames: int) -> None:
        super().__init__(site)
        channels = self.bn1.num_features
        fold = channels // FOLD
        self.difference = TemporalDifference(channels, max(1, channels // reduction), frames)
        self.temporal = ChannelwiseTemporal(
            channels, frames, past=slice(fold, 2 * fold), future=slice(0, fold)
        )

    def middle(self, x: Tensor) -> Tensor:
        return self.temporal(self.difference(x))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


def build_tdm(spec: TDMBlock, site: Site, frames: int) -> nn.Module:
    """The residual block at ``site`` with the module in it.

    Raises:
        ModelError: when there is no residual block of a ResNet.
    """
    return TDMResidual(site, spec.reduction, frames)
