"""STH-Conv in the place of a depthwise convolution, as in MobileNets. The paper has no such network.

A depthwise kernel sees one input channel, so no output channel can hold both a spatial and a temporal part, and
shifting the temporal slice between groups of outputs means nothing. Our reading: a fraction p of the channels,
every (1/p)-th, gets a temporal 3x1x1 kernel, the others keep their 3x3. The 1x1 convolution that follows mixes
them.

As for other convolutions (:mod:`study.kernels.library`) there are two ways to run it, ``gathered`` with
exactly the multiply-accumulates of the operator, and ``dense``, with spatial kernels of zeros where channels are
temporal. Copies of activations cost more here than the arithmetic they save: on a CPU, inference with the dense
form takes a third to a half of the time at any size, and training about the same. So ``dense`` it is unless the
other is forced.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.kernels.choice import chosen
from study.kernels.geometry import Geometry
from study.kernels.temporal import temporal_conv
from study.models.blocks.temporal import TemporalKernels
from study.models.placement import Site
from study.spec.blocks import STHBlock


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Whether every output channel sees the one input channel of its number, and no other."""
    return conv.groups == conv.in_channels == conv.out_channels > 1


class DepthwiseKernels(nn.Module):
    """Spatial kernels of the channels that keep them, (C - C/G, 1, k, k), taken from a 2D convolution."""

    weight: nn.Parameter

    def __init__(self, conv: nn.Conv2d, geometry: Geometry) -> None:
        super().__init__()
        kept = _by_group(conv.weight.detach(), geometry, dim=0)[:, 1:].flatten(0, 1)
        self.weight = nn.Parameter(kept.clone())

    def scatter(self, geometry: Geometry) -> Tensor:
        """All C kernels, zero where channels are temporal."""
        kept = torch.unflatten(self.weight, 0, (geometry.slice_size, geometry.groups - 1))
        return functional.pad(kept, (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)


class DepthwiseSTHConv2d(nn.Module):
    """Depthwise STH-Conv on frames that are folded into the batch: (N*T, C, H, W) to (N*T, C, H', W').

    Channels 0, G, 2G, ... with G = 1/p are temporal. A reading of ours, see above.

    Args:
        conv: the depthwise convolution it replaces; spatial weights and bias are taken over.
        geometry: its shape; as many output as input channels.
        frames: T.
        zero_temporal: whether temporal weights start at zero.
    """

    def __init__(self, conv: nn.Conv2d, geometry: Geometry, frames: int, zero_temporal: bool = False) -> None:
        super().__init__()
        self.geometry = geometry
        self.frames = frames
        self.spatial = DepthwiseKernels(conv, geometry)
        self.temporal = TemporalKernels(geometry.slice_size, 1, zero=zero_temporal)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        y = self._gathered(x) if chosen() == "gathered" else self._dense(x)
        return y if self.bias is None else y + self.bias[:, None, None].to(y.dtype)

    def _dense(self, x: Tensor) -> Tensor:
        y = self._convolve(x, self.spatial.scatter(self.geometry))
        temporal = self._temporal(x[:, :: self.geometry.groups])
        return torch.slice_scatter(y, temporal, dim=1, step=self.geometry.groups)

    def _gathered(self, x: Tensor) -> Tensor:
        parts = _by_group(x, self.geometry, dim=1)
        spatial = self._convolve(parts[:, :, 1:].flatten(1, 2), self.spatial.weight)
        spatial = torch.unflatten(spatial, 1, (self.geometry.slice_size, self.geometry.groups - 1))
        return torch.cat([self._temporal(parts[:, :, 0])[:, :, None], spatial], dim=2).flatten(1, 2)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        shape = self.geometry
        return functional.conv2d(
            x, weight, None, shape.stride, shape.padding, shape.spatial_dilation, weight.shape[0]
        )

    def _temporal(self, x: Tensor) -> Tensor:
        """The temporal kernels on their channels, (N*T, C/G, H, W)."""
        return temporal_conv(
            x,
            self.temporal.weight,
            self.frames,
            stride=self.geometry.stride,
            dilation=self.geometry.temporal_dilation,
            groups=self.geometry.slice_size,
        )

    def extra_repr(self) -> str:
        shape = self.geometry
        return (
            f"{shape.in_channels}, p=1/{shape.groups}, stride={shape.stride}, "
            f"dilation=(t={shape.temporal_dilation}, s={shape.spatial_dilation})"
        )


def build_depthwise_sth(spec: STHBlock, site: Site, geometry: Geometry, frames: int) -> nn.Module:
    """STH-Conv with the options ``spec`` in the place of the depthwise convolution at ``site``.

    Raises:
        ModelError: for an arrangement or an attention, which need both parts in an output channel.
    """
    reason = f"{site.name} is a depthwise convolution, whose output channels see one input channel each"
    if spec.arrangement != "hybrid":
        raise ModelError(
            f"model.block.arrangement: '{spec.arrangement}': {reason}; there is one way to arrange them. "
            "Allowed: hybrid"
        )
    if spec.attention != "none":
        raise ModelError(
            f"model.block.attention: '{spec.attention}': {reason}; it is spatial or temporal, and there is "
            "nothing to weigh. Allowed: none"
        )
    return DepthwiseSTHConv2d(site.conv, geometry, frames, zero_temporal=spec.temporal_init == "zero")


def _by_group(x: Tensor, geometry: Geometry, dim: int) -> Tensor:
    """C channels at ``dim`` as (C/G, G); the first of each G is temporal."""
    return torch.unflatten(x, dim, (geometry.slice_size, geometry.groups))
