"""Motion blocks (MFNet), a reading that is not verified.

Lee et al., "Motion Feature Network: Fixed Motion Filter for Action Recognition", ECCV 2018. There is no code of
the authors that we know of, and the recipe is from memory: which channels are reduced and how the result joins
the appearance features may differ from theirs, and no count of theirs is known to compare with.

Features F of a residual block are reduced by a 1x1 convolution to C/16 channels. For five displacements d, none
and one pixel to each side, the motion filter is the difference

    G_d(x) = F_{t+1}(x + d) - F_t(x),

with the last frame followed by itself. A 1x1 convolution and BatchNorm lead from all G_d back to C channels,
which are added to the features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.blocks.nonlocal_ import count_outputs
from study.models.blocks.views import clip_view, frame_view
from study.models.initialization import NewLayer, initialize_layers
from study.models.placement import Site
from study.spec.blocks.temporal import MFNetBlock

DISPLACEMENTS = ((0, 0, 0, 0), (-1, 1, 0, 0), (1, -1, 0, 0), (0, 0, -1, 1), (0, 0, 1, -1))
"""Paddings (left, right, top, bottom) that displace by nothing and by one pixel right, left, down and up."""


class MotionBlock(NewLayer):
    """Features (N*T, C, H, W) to what the motion adds to them, of the same shape."""

    def __init__(self, channels: int, reduction: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.reduce = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.restore = nn.Conv2d(channels // reduction * len(DISPLACEMENTS), channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def init_parameters(self, generator: torch.Generator) -> None:
        initialize_layers(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        now = clip_view(self.reduce(x), self.frames)
        following = torch.cat([now[:, :, 1:], now[:, :, -1:]], dim=2)
        motion = [functional.pad(following, displacement) - now for displacement in DISPLACEMENTS]
        y: Tensor = self.norm(self.restore(frame_view(torch.cat(motion, dim=1))))
        return y


class MotionResidual(nn.Module):
    """A residual block with a motion block after it: (N*T, C, H, W) to (N*T, C', H', W')."""

    def __init__(self, block: nn.Module, motion: MotionBlock) -> None:
        super().__init__()
        self.block = block
        self.motion = motion

    def forward(self, x: Tensor) -> Tensor:
        features = self.block(x)
        y: Tensor = features + self.motion(features)
        return y


def build_mfnet(spec: MFNetBlock, site: Site, frames: int) -> nn.Module:
    """The residual block at ``site``, followed by a motion block where ``spec`` has one.

    Raises:
        ModelError: when it has fewer channels than the reduction.
    """
    if spec.sites == "stage_ends" and not site.ends_stage:
        return site.module
    channels = count_outputs(site)
    if channels < spec.reduction:
        raise ModelError(
            f"{site.name}: model.block.reduction: {spec.reduction} is more than its {channels} channels"
        )
    return MotionResidual(site.module, MotionBlock(channels, spec.reduction, frames))
