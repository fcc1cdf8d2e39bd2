"""Spatio-Temporal Hybrid convolution (STH, section 3.2).

Every output channel is the sum of a spatial part, 1 x 3 x 3 kernels on a fraction 1 - p of the input
channels, and a temporal part, 3 x 1 x 1 kernels on the rest (Eq. 2):

    O = O_S + O_T.

With G = 1 / p, the output channels form G contiguous groups and the input channels G contiguous slices; in
group g the slice g is temporal (Fig. 2 and 3a). The other arrangements are two readings of Fig. 3b, which the
paper calls merge. The parts can be weighted by attention (Eq. 3, :mod:`study.models.blocks.attention`).
Zero padding in time is our assumption; the paper does not state it.

What runs it is :mod:`study.kernels`; here is what it is made of. Training and the scores of trials take PyTorch's own
convolutions, always (:mod:`study.kernels.choice` says why); fused kernels run within ``implementation("fused")``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.kernels.choice import chosen
from study.kernels.geometry import Geometry
from study.kernels.library import Form, forward, select, spatial_part, temporal_part
from study.kernels.means import pooled_means
from study.kernels.operator import runs_fused, sth_conv
from study.models.blocks.attention import Attention, build_attention
from study.models.blocks.geometry import require_dense, require_same_padding
from study.models.blocks.sth_depthwise import build_depthwise_sth, is_depthwise
from study.models.blocks.temporal import KERNEL_T, TemporalKernels, flatten_clips, refold_clips
from study.models.placement import Site
from study.spec.blocks import STHBlock


class SpatialKernels(nn.Module):
    """O_S. The weights that exist are those of a 2D convolution at the same (output, input) channels."""

    weight: nn.Parameter

    def __init__(self, conv: nn.Conv2d, geometry: Geometry) -> None:
        super().__init__()
        weight = conv.weight.detach()
        if geometry.arrangement == "hybrid":
            kept = select(weight, geometry)
        elif geometry.arrangement == "merge_in":
            kept = weight[:, geometry.slice_size :]
        else:
            kept = weight[geometry.temporal_outputs :]
        self.weight = nn.Parameter(kept.clone())


class STHConv2d(nn.Module):
    """STH-Conv on frames that are folded into the batch: (N*T, C_i, H, W) to (N*T, C_o, H', W').

    Args:
        conv: the 2D convolution it replaces; spatial weights and bias are taken over.
        geometry: shape and arrangement.
        frames: T.
        attention: weighs the parts; None sums them.
        zero_temporal: whether temporal weights start at zero.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        geometry: Geometry,
        frames: int,
        attention: Attention | None = None,
        zero_temporal: bool = False,
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.frames = frames
        self.spatial = SpatialKernels(conv, geometry)
        self.temporal = TemporalKernels(*geometry.temporal_shape[:2], zero=zero_temporal)
        self.attention = attention
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        # Fused kernels have no sums of the parts to take the largest from.
        pools = self.attention is None or self.attention.pool == "avg"
        without_gradient = not (self.training or torch.is_grad_enabled())
        if chosen() == "fused" and without_gradient and pools and runs_fused(x, self.geometry):
            return self._run_fused(x)
        if self.attention is not None:
            return self._weigh(x, self.attention)
        weights = self.spatial.weight, self.temporal.weight
        return forward(x, *weights, self.bias, None, None, self.frames, self.geometry, False, _choose_form())

    def _weigh(self, x: Tensor, attention: Attention) -> Tensor:
        """Eq. 3. As alpha_S = 1 - alpha_T, it is one interpolation between the parts."""
        spatial = spatial_part(x, self.spatial.weight, self.geometry, _choose_form())
        temporal = temporal_part(x, self.temporal.weight, self.frames, self.geometry)
        parts = flatten_clips(spatial, self.frames), flatten_clips(temporal, self.frames)
        _, alpha_t = attention(*attention.squeeze(*parts))
        weight = alpha_t[:, None].to(spatial.dtype)  # autocast on a GPU computes a softmax in float32
        y = refold_clips(torch.lerp(*parts, weight), spatial.shape)
        return y if self.bias is None else y.add_(self.bias[:, None, None].to(y.dtype))

    def _run_fused(self, x: Tensor) -> Tensor:
        """In one pass: coefficients come from means that need no parts."""
        shape = self.geometry
        weights = self.spatial.weight, self.temporal.weight
        alphas: tuple[Tensor, ...] = ()
        if self.attention is not None:
            alphas = self.attention(*pooled_means(x, *weights, frames=self.frames, **shape.options))
        return sth_conv(x, *weights, self.bias, *alphas, frames=self.frames, **shape.options)

    def extra_repr(self) -> str:
        shape = self.geometry
        return (
            f"{shape.in_channels}, {shape.out_channels}, p=1/{shape.groups}, {shape.arrangement}, "
            f"stride={shape.stride}, dilation=(t={shape.temporal_dilation}, s={shape.spatial_dilation})"
        )


def _choose_form() -> Form:
    """What :func:`study.kernels.implementation` asks for of PyTorch's convolutions."""
    asked = chosen()
    return asked if asked == "dense" or asked == "gathered" else "auto"


def build_sth(spec: STHBlock, site: Site, frames: int) -> nn.Module:
    """STH-Conv with the options ``spec`` at ``site``; p = 0 is the 2D convolution itself.

    Raises:
        ModelError: when 1/p does not divide the channels, or the convolution is not centered, or grouped but
            not depthwise (:mod:`study.models.blocks.sth_depthwise`).
    """
    conv = site.conv
    require_same_padding(site)
    spatial_dilation, temporal_dilation = _dilations(spec, site)
    if spec.p == 0:
        return _dilated(conv, spatial_dilation)
    geometry = Geometry(
        in_channels=conv.in_channels,
        out_channels=conv.out_channels,
        groups=spec.p.denominator,
        arrangement=spec.arrangement,
        kernel=(KERNEL_T, conv.kernel_size[0], conv.kernel_size[1]),
        stride=(conv.stride[0], conv.stride[1]),
        spatial_dilation=spatial_dilation,
        temporal_dilation=temporal_dilation,
    )
    _require_divisible(geometry, site)
    if is_depthwise(conv):
        return build_depthwise_sth(spec, site, geometry, frames)
    require_dense(site)
    attention = None
    if spec.attention != "none":
        attention = build_attention(spec.attention, conv.out_channels, spec.attention_pool)
    return STHConv2d(conv, geometry, frames, attention, zero_temporal=spec.temporal_init == "zero")


def _dilations(spec: STHBlock, site: Site) -> tuple[int, int]:
    """Dilation rates of the spatial and the temporal kernels at ``site`` (section 4.5)."""
    turn = site.index if spec.dilation_cycle == "global" else site.index_in_stage
    rate = spec.dilation[turn % len(spec.dilation)]
    spatial = rate if spec.dilation_axes in ("both", "spatial") else 1
    temporal = rate if spec.dilation_axes in ("both", "temporal") else 1
    return spatial, temporal


def _dilated(conv: nn.Conv2d, dilation: int) -> nn.Conv2d:
    """``conv``, with its kernel spread by ``dilation`` and its padding grown to match."""
    conv.dilation = (conv.dilation[0] * dilation, conv.dilation[1] * dilation)
    conv.padding = (int(conv.padding[0]) * dilation, int(conv.padding[1]) * dilation)
    return conv


def _require_divisible(geometry: Geometry, site: Site) -> None:
    channels = {
        "hybrid": {"input": geometry.in_channels, "output": geometry.out_channels},
        "merge_in": {"input": geometry.in_channels},
        "merge_out": {"output": geometry.out_channels},
    }[geometry.arrangement]
    for side, count in channels.items():
        if count % geometry.groups:
            raise ModelError(
                f"{site.name}: model.block.p: 1/{geometry.groups} does not divide its {count} {side} "
                "channels. Take another p, or leave the stage out of model.placement"
            )
