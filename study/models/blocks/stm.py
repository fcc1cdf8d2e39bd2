"""STM: channel-wise spatio-temporal module (CSTM) and channel-wise motion module (CMM).

Jiang et al., "STM: SpatioTemporal and Motion Encoding for Action Recognition", ICCV 2019, Figures 2 and 3.
Both modules see the output of a bottleneck's first 1x1 convolution, and their sum goes into the last one:

    CSTM(x) = ReLU(BN(conv3x3(temporal(x)))),    temporal: depthwise 3x1x1,
    CMM(x)_t = expand(DW(r)_{t+1} - r_t),        r = BN(reduce(x)), DW: depthwise 3x3,

with C/16 channels in r, and zero at the last frame in the place of the difference. Where the block has stride
2, a 2x2 max-pool follows the CMM. Which layers have BatchNorm and that the temporal convolution starts as a
shift (a quarter of the channels back, a quarter ahead) is taken from code of the first author, whose CMM we
know by description only.

The paper has bottlenecks only. In basic blocks the modules are around the first 3x3: that is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.models.blocks.channelwise import ChannelwiseTemporal
from study.models.blocks.residual import OpenResidual
from study.models.initialization import NewLayer, initialize_layers
from study.models.placement import Site
from study.spec.blocks import STMBlock


class MotionModule(NewLayer):
    """CMM: (N*T, C_i, H, W) to (N*T, C_o, ceil(H / s), ceil(W / s)) for s = 1 or 2."""

    def __init__(self, channels: tuple[int, int], reduced: int, frames: int, stride: int) -> None:
        super().__init__()
        inputs, outputs = channels
        self.frames = frames
        self.stride = stride
        self.reduce = nn.Conv2d(inputs, reduced, 1, bias=False)
        self.bn = nn.BatchNorm2d(reduced)
        self.transform = nn.Conv2d(reduced, reduced, 3, padding=1, groups=reduced, bias=False)
        self.expand = nn.Conv2d(reduced, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.bn(self.reduce(x))
        y: Tensor = self.expand(difference_ahead(reduced, self.transform(reduced), self.frames))
        if self.stride == 1:
            return y
        return functional.max_pool2d(y, kernel_size=self.stride, ceil_mode=True)

    def init_parameters(self, generator: torch.Generator) -> None:
        initialize_layers(self, generator)


def difference_ahead(x: Tensor, transformed: Tensor, frames: int) -> Tensor:
    """``transformed`` of the next frame minus ``x`` of this one, zero at the last frame; all (N*T, C, H, W)."""
    here = torch.unflatten(x, 0, (-1, frames))
    ahead = torch.unflatten(transformed, 0, (-1, frames))
    difference = ahead[:, 1:] - here[:, :-1]
    return torch.cat([difference, torch.zeros_like(here[:, :1])], dim=1).flatten(0, 1)


class STMResidual(OpenResidual):
    """A residual block with CSTM and CMM: (N*T, C, H, W) to (N*T, C', H', W')."""

    def __init__(self, site: Site, reduction: int, frames: int) -> None:
        super().__init__(site)
        channels = self.core_channels
        quarter = channels[0] // 4
        self.temporal = ChannelwiseTemporal(
            channels[0], frames, past=slice(0, quarter), future=slice(channels[0] - quarter, None)
        )
        self.motion = MotionModule(channels, max(1, channels[0] // reduction), frames, self.stride)

    def core(self, x: Tensor) -> Tensor:
        return super().core(self.temporal(x)) + self.motion(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


def build_stm(spec: STMBlock, site: Site, frames: int) -> nn.Module:
    """The residual block at ``site`` with CSTM in the place of its core convolution and CMM beside it.

    Raises:
        ModelError: when there is no residual block of a ResNet.
    """
    return STMResidual(site, spec.reduction, frames)
