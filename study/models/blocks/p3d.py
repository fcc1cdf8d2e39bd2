"""Pseudo-3D units (P3D).

Qiu, Yao and Mei, "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017, section
3 and Figure 3 as we recall them; the structure is that of a public port. The unit takes the place of a
bottleneck's 3x3. Ours differs from P3D-ResNet where a 2D backbone does: the stride is in the 1x3x3 (torchvision)
and not in the first 1x1, time is never pooled, and the stem is 2D. The last stage, 2D in P3D, is left out by
``placement: {stages: [1, 2, 3]}``. In a basic block the unit takes the place of the first 3x3, our extension.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from study.models.blocks.residual import OpenResidual
from study.models.blocks.temporal import TemporalConv
from study.models.initialization import NewLayer
from study.models.placement import Site
from study.spec.blocks.temporal import P3DBlock

Variant = Literal["A", "B", "C"]


class TemporalUnit(NewLayer):
    """3x1x1, BatchNorm, ReLU: (N*T, C_i, H, W) to (N*T, C_o, H / s, W / s)."""

    def __init__(self, in_channels: int, out_channels: int, frames: int, stride: int) -> None:
        super().__init__()
        self.conv = TemporalConv(out_channels, in_channels, frames, (stride, stride))
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)

    def init_parameters(self, generator: torch.Generator) -> None:
        self.conv.init_parameters(generator)
        self.norm.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.norm(self.conv(x)))
        return y


class P3DResidual(OpenResidual):
    """A residual block with a pseudo-3D unit as its core: (N*T, C, H, W) to (N*T, C', H', W').

    With S the 3x3 that the block has, and T the 3x1x1, each with BatchNorm and ReLU, the unit is T(S(x)) (A),
    S(x) + T(x) (B), or S(x) + T(S(x)) (C).
    """

    def __init__(self, site: Site, frames: int, variant: Variant) -> None:
        super().__init__(site)
        inputs, outputs = self.core_channels
        self.variant = variant
        if variant == "B":
            self.temporal = TemporalUnit(inputs, outputs, frames, self.stride)
        else:
            self.temporal = TemporalUnit(outputs, outputs, frames, 1)

    def core(self, x: Tensor) -> Tensor:
        spatial = super().core(x)
        temporal: Tensor = self.temporal(x if self.variant == "B" else spatial)
        return temporal if self.variant == "A" else spatial + temporal

    def extra_repr(self) -> str:
        return f"variant={self.variant}"


def build_p3d(spec: P3DBlock, site: Site, frames: int) -> nn.Module:
    """The residual block at ``site`` with the unit whose turn it is, counted through the network.

    Raises:
        ModelError: when what stands there is no residual block of a ResNet.
    """
    return P3DResidual(site, frames, spec.variants[site.index % len(spec.variants)])
