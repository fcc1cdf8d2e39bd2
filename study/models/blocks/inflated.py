"""2D convolutions that grow in time: full 3D ones, and I3D's pattern.

Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, section 2.4 (inflated weights); Wang et
al., "Non-local Neural Networks", CVPR 2018, section 4 (3x1x1 in place of the first 1x1 of a bottleneck). The
pattern is that of the authors' code. In a basic block its first 3x3 becomes 3x3x3, which is our extension. The
number of frames stays.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.kernels.temporal import temporal_conv
from study.models.blocks.geometry import require_same_padding
from study.models.blocks.views import clip_view, frame_view
from study.models.initialization import NewLayer, kaiming_
from study.models.placement import Site
from study.spec.blocks.temporal import Conv3dBlock, I3DBlock, Inflation

KERNEL = 3
"""K_T."""


class InflatedKernels(nn.Module):
    """Weights (C_o, C_i, K_T, k, k) that start from those of a 2D convolution."""

    def __init__(self, weight: Tensor, inflation: Inflation) -> None:
        super().__init__()
        taps = [torch.zeros_like(weight)] * KERNEL
        if inflation == "center":
            taps[KERNEL // 2] = weight
        else:
            taps = [weight / KERNEL] * KERNEL
        self.weight = nn.Parameter(torch.stack(taps, dim=2))


class RandomKernels(NewLayer):
    """Weights (C_o, C_i, K_T, k, k) that start random."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.new_empty((*weight.shape[:2], KERNEL, *weight.shape[2:])))

    def init_parameters(self, generator: torch.Generator) -> None:
        kaiming_(self.weight, generator)


class InflatedConv(nn.Module):
    """A K_T x k x k convolution, zero-padded in time: (N*T, C_i, H, W) to (N*T, C_o, H', W').

    Args:
        conv: the k x k convolution it replaces; stride, padding, groups and bias are taken over.
        frames: T.
        inflation: how its kernels start.
    """

    def __init__(self, conv: nn.Conv2d, frames: int, inflation: Inflation) -> None:
        super().__init__()
        weight = conv.weight.detach()
        self.kernels = RandomKernels(weight) if inflation == "random" else InflatedKernels(weight, inflation)
        self.bias = conv.bias
        self.frames = frames
        self.stride = (conv.stride[0], conv.stride[1])
        self.padding = (int(conv.padding[0]), int(conv.padding[1]))
        self.dilation = (conv.dilation[0], conv.dilation[1])
        self.groups = conv.groups

    def forward(self, x: Tensor) -> Tensor:
        weight = self.kernels.weight
        if weight.shape[-2:] == (1, 1):
            y = temporal_conv(x, weight.squeeze(-1), self.frames, stride=self.stride, groups=self.groups)
            return y if self.bias is None else y + self.bias[:, None, None].to(y.dtype)
        y = functional.conv3d(
            clip_view(x, self.frames),
            weight,
            self.bias,
            stride=(1, *self.stride),
            padding=(KERNEL // 2, *self.padding),
            dilation=(1, *self.dilation),
            groups=self.groups,
        )
        return frame_view(y)

    def extra_repr(self) -> str:
        return f"{tuple(self.kernels.weight.shape)}, stride={self.stride}"


def build_conv3d(spec: Conv3dBlock, site: Site, frames: int) -> nn.Module:
    """A 3 x k x k convolution in the place of the one at ``site``."""
    return InflatedConv(site.conv, frames, spec.inflation)


def build_i3d(spec: I3DBlock, site: Site, frames: int) -> nn.Module:
    """What stands at ``site``, grown in time where the pattern says so, else untouched.

    Raises:
        ModelError: when it is no convolution, or not centered on the pixels that its stride keeps.
    """
    if spec.pattern == "alternate" and not _grows(site):
        return site.module
    require_same_padding(site)
    return InflatedConv(site.conv, frames, spec.inflation)


def _grows(site: Site) -> bool:
    """The alternation of :class:`I3DBlock`: all, even, even, odd."""
    if site.stage == 1:
        return True
    return site.index_in_stage % 2 == (0 if site.stage <= 3 else 1)
