"""(2+1)D controls of STH's Table 7: a 1x3x3 and a 3x1x1 convolution, in sequence or in parallel.

Neither BatchNorm nor ReLU stands between them: the published 27.6 M parameters fit either way, and with
nothing in between the pair is linear, like the operators it is compared with. Beside a depthwise convolution the
temporal one is depthwise too.
"""

from __future__ import annotations

from torch import Tensor, nn

from study.models.blocks.geometry import require_same_padding
from study.models.blocks.temporal import TemporalConv
from study.models.placement import Site
from study.spec.blocks import TwoPlusOneBlock


class SequentialConv(nn.Module):
    """Spatial convolution, then a temporal one (C_o to C_o) on its output."""

    def __init__(self, conv: nn.Conv2d, frames: int) -> None:
        super().__init__()
        self.spatial = conv
        self.temporal = TemporalConv(conv.out_channels, conv.out_channels, frames, groups=conv.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.temporal(self.spatial(x))  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class ParallelConv(nn.Module):
    """The sum of a spatial and a temporal convolution (C_i to C_o, the same spatial stride) of the input."""

    def __init__(self, conv: nn.Conv2d, frames: int) -> None:
        super().__init__()
        self.spatial = conv
        stride = (conv.stride[0], conv.stride[1])
        self.temporal = TemporalConv(conv.out_channels, conv.in_channels, frames, stride, conv.groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(x) + self.temporal(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


def build_two_plus_one(spec: TwoPlusOneBlock, site: Site, frames: int) -> nn.Module:
    """The pair that replaces the convolution at ``site``; its spatial part is that convolution.

    Raises:
        ModelError: when the convolution is not padded to keep its output centered on the strided pixels.
    """
    require_same_padding(site)
    if spec.order == "sequential":
        return SequentialConv(site.conv, frames)
    return ParallelConv(site.conv, frames)
