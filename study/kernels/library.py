"""STH-Conv out of PyTorch's own convolutions: runs everywhere, and is the gradient of every implementation.

The spatial kernels of the hybrid arrangement run as one dense convolution with zeros where kernels are missing,
or from :data:`GATHER_FROM_CHANNELS` on a CPU as a grouped convolution on gathered channels. The temporal kernels
run as a 2D convolution on the (T, H*W) view, which in channels-last memory costs no copy.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from study.kernels.geometry import Geometry

Form = Literal["auto", "dense", "gathered"]

GATHER_FROM_CHANNELS = 128
"""From this many input channels on, a CPU is faster with the gathered form (measured at 8 x 224 x 224)."""


def forward(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    bias: Tensor | None,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    frames: int,
    geometry: Geometry,
    relu: bool,
    form: Form = "auto",
) -> Tensor:
    """Arguments and result are those of :func:`study.kernels.sth_conv`."""
    # Every pass over the output that is saved counts: the bias goes with a convolution, sums are in place.
    split = geometry.temporal_outputs if geometry.arrangement == "merge_out" else 0
    weighted = alpha_s is not None and alpha_t is not None
    offset = None if bias is None else bias.to(x.dtype)
    spatial = spatial_part(
        x, spatial_weight, geometry, form, None if offset is None or weighted else offset[split:]
    )
    temporal = temporal_part(x, temporal_weight, frames, geometry)
    if geometry.arrangement == "merge_out":
        if offset is not None:
            temporal = temporal.add_(offset[:split, None, None])
        y = torch.cat([temporal, spatial], dim=1)
    elif alpha_s is None or alpha_t is None:
        y = spatial.add_(temporal)
    else:
        y = torch.addcmul(
            spatial * _by_frame(alpha_s, frames, x.dtype), temporal, _by_frame(alpha_t, frames, x.dtype)
        )
        if offset is not None:
            y = y.add_(offset[:, None, None])
    return y.relu_() if relu else y


def spatial_part(
    x: Tensor, weight: Tensor, geometry: Geometry, form: Form = "auto", bias: Tensor | None = None
) -> Tensor:
    """O_S of Eq. 2, plus ``bias``: (N*T, C_i, H, W) to (N*T, C, H', W'), C the rows of ``weight``."""
    groups = 1
    if geometry.arrangement == "merge_in":
        x = x[:, geometry.slice_size :]
    elif geometry.arrangement == "hybrid":
        if form == "dense" or (form == "auto" and not runs_gathered(x, geometry)):
            weight = scatter(weight, geometry)
        else:
            x = gather(x, geometry)
            groups = geometry.groups
    return functional.conv2d(
        x, weight, bias, geometry.stride, geometry.padding, geometry.spatial_dilation, groups
    )


def temporal_part(x: Tensor, weight: Tensor, frames: int, geometry: Geometry) -> Tensor:
    """O_T of Eq. 2: (N*T, C_i, H, W) to (N*T, C, H', W'), C the rows of ``weight``."""
    if geometry.arrangement == "merge_in":
        x = x[:, : geometry.slice_size]
    height, width = geometry.stride
    if geometry.stride != (1, 1):
        x = x[:, :, ::height, ::width]
    d = geometry.temporal_dilation
    y = functional.conv2d(
        unfold_frames(x, frames),
        weight,
        padding=(d * (geometry.kernel[0] // 2), 0),
        dilation=(d, 1),
        groups=geometry.groups if geometry.arrangement == "hybrid" else 1,
    )
    y = torch.unflatten(y.permute(0, 2, 3, 1), 2, x.shape[-2:])
    return y.flatten(0, 1).permute(0, 3, 1, 2)


def unfold_frames(x: Tensor, frames: int) -> Tensor:
    """(N*T, C, H, W) as (N, C, T, H*W): a view without a copy where ``x`` is channels-last."""
    return torch.unflatten(x.permute(0, 2, 3, 1), 0, (-1, frames)).flatten(2, 3).permute(0, 3, 1, 2)


def scatter(weight: Tensor, geometry: Geometry) -> Tensor:
    """A stored spatial weight of the hybrid arrangement as (C_o, C_i, k_h, k_w), zero where no kernel is."""
    dense = weight.new_zeros(geometry.out_channels, geometry.in_channels, *weight.shape[2:])
    return dense.scatter(1, scatter_index(weight, geometry), weight)


def scatter_index(weight: Tensor, geometry: Geometry) -> Tensor:
    """The input channel of each entry of a stored spatial weight of the hybrid arrangement, in its shape."""
    others = gathered_inputs(geometry, weight.device)
    rows = others.repeat_interleave(geometry.out_channels // geometry.groups, dim=0)
    return rows[:, :, None, None].expand_as(weight)


def runs_gathered(x: Tensor, geometry: Geometry) -> bool:
    """Whether the gathered form is the faster one."""
    return x.device.type == "cpu" and geometry.in_channels >= GATHER_FROM_CHANNELS


def gather(x: Tensor, geometry: Geometry) -> Tensor:
    """(N, G (C_i - C_i/G), H, W): for each output group the input channels of its spatial kernels.

    Pieces are concatenated because that keeps channels-last memory, which selecting by an index does not.
    """
    part, pieces = geometry.slice_size, []
    for start in range(0, geometry.in_channels, part):
        pieces += [x[:, :start], x[:, start + part :]]
    # An empty piece would cost the memory format.
    return torch.cat([piece for piece in pieces if piece.shape[1]], dim=1)


def gathered_inputs(geometry: Geometry, device: torch.device) -> Tensor:
    """(G, C_i - C_i/G): the input channels of the spatial kernels of each output group, ascending."""
    channels = torch.arange(geometry.in_channels, device=device).view(geometry.groups, -1)
    kept = ~torch.eye(geometry.groups, dtype=torch.bool, device=device)
    return torch.stack([channels[row].flatten() for row in kept.unbind()])


def _by_frame(alpha: Tensor, frames: int, dtype: torch.dtype) -> Tensor:
    """(N, C) by clip as (N*T, C, 1, 1)."""
    return alpha.to(dtype).repeat_interleave(frames, dim=0)[:, :, None, None]
