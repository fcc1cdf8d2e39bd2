"""STH-Conv out of PyTorch's own convolutions: runs everywhere, and is the gradient of every implementation.

The spatial kernels of the hybrid arrangement can be run in two ways that give the same result:

``gathered``
    one grouped convolution on the input channels copied G times, each time without one slice. It executes
    exactly the multiply-accumulates of the operator.
``dense``
    one ordinary convolution with zeros where kernels are missing. It executes 1 / (1 - p) times as many, in one
    fast kernel and without a copy of the activations.

The temporal kernels run as a 2D convolution on the (T, H*W) view, which in channels-last memory costs no copy.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from study.kernels.geometry import Geometry
from study.kernels.temporal import temporal_conv

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
    groups = geometry.groups if geometry.arrangement == "hybrid" else 1
    return temporal_conv(
        x, weight, frames, stride=geometry.stride, dilation=geometry.temporal_dilation, groups=groups
    )


def scatter(weight: Tensor, geometry: Geometry) -> Tensor:
    """A stored spatial weight of the hybrid arrangement as (C_o, C_i, k_h, k_w), zero where no kernel is."""
    part, groups = geometry.slice_size, []
    missing = weight.new_zeros(geometry.out_channels // geometry.groups, part, *weight.shape[2:])
    for g, rows in enumerate(weight.chunk(geometry.groups)):
        before, after = torch.split(rows, [g * part, rows.shape[1] - g * part], dim=1)
        groups.append(torch.cat([before, missing, after], dim=1))
    return torch.cat(groups)


def select(dense: Tensor, geometry: Geometry) -> Tensor:
    """Of a 2D weight (C_o, C_i, k_h, k_w) the kernels that the hybrid arrangement stores; undoes :func:`scatter`."""
    part = geometry.slice_size
    return torch.cat(
        [
            torch.cat([rows[:, : g * part], rows[:, (g + 1) * part :]], dim=1)
            for g, rows in enumerate(dense.chunk(geometry.groups))
        ]
    )


def runs_gathered(x: Tensor, geometry: Geometry) -> bool:
    """Whether the gathered form is the faster one.

    On a GPU the dense form is taken at any size: a model of its memory traffic says that the copies cost more
    than they save. That is not measured.
    """
    return x.device.type != "cuda" and geometry.in_channels >= GATHER_FROM_CHANNELS


def gather(x: Tensor, geometry: Geometry) -> Tensor:
    """(N, G (C_i - C_i/G), H, W): for each output group the input channels of its spatial kernels.

    Pieces are concatenated because that keeps channels-last memory, which selecting by an index does not.
    """
    # The gradient of a slice is as large as what it was taken from; those of chunks are joined.
    slices = x.chunk(geometry.groups, dim=1)
    return torch.cat(
        [kept for missing in range(geometry.groups) for g, kept in enumerate(slices) if g != missing],
        dim=1,
    )


def gathered_inputs(geometry: Geometry, device: torch.device) -> Tensor:
    """(G, C_i - C_i/G): the input channels of the spatial kernels of each output group, ascending."""
    channels = torch.arange(geometry.in_channels, device=device).view(geometry.groups, -1)
    kept = ~torch.eye(geometry.groups, dtype=torch.bool, device=device)
    return torch.stack([channels[row].flatten() for row in kept.unbind()])


def _by_frame(alpha: Tensor, frames: int, dtype: torch.dtype) -> Tensor:
    """(N, C) by clip as (N*T, C, 1, 1)."""
    return alpha.to(dtype).repeat_interleave(frames, dim=0)[:, :, None, None]
