"""Means of O_S and O_T over time and space without computing O_S and O_T.

A mean of a convolution is linear in sums of its input: each tap sees all pixels but those at an edge. So the
attention of STH (section 3.2, Eq. 3), where it pools by the average, is known before the convolution, and its
coefficients can be applied where the convolution writes its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from study.kernels.geometry import Geometry, make_geometry
from study.kernels.library import gathered_inputs
from study.kernels.native import kernel
from study.kernels.native.packing import pack_once
from study.kernels.operator import require_fit, runs_compiled


def pooled_means(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    *,
    frames: int,
    groups: int,
    arrangement: str = "hybrid",
    stride: Sequence[int] = (1, 1),
    spatial_dilation: int = 1,
    temporal_dilation: int = 1,
) -> tuple[Tensor, Tensor]:
    """Means over T, H' and W' of both parts, (N, C_o) each; zero where an output has no such part.

    Arguments are those of :func:`study.kernels.sth_conv`. Exact up to rounding: 1e-5 relative in float32. Where the
    operator runs on compiled kernels and no gradient is asked for, so do the means, on the same packed weights.

    Raises:
        ModelError: when arguments contradict each other.
    """
    geometry = make_geometry(
        spatial_weight, temporal_weight, groups, arrangement, stride, spatial_dilation, temporal_dilation
    )
    require_fit(x, None, None, None, frames, geometry)
    wants_gradient = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (x, spatial_weight, temporal_weight)
    )
    if not wants_gradient and runs_compiled(x, geometry):
        of_parts = _run_compiled(x, spatial_weight, temporal_weight, frames, **geometry.options)
        return of_parts[:, 0], of_parts[:, 1]
    height, width = geometry.output_size(x.shape[2], x.shape[3])
    sums = torch.unflatten(_sum_taps(x, geometry), 0, (-1, frames))
    center = geometry.kernel[1] // 2 * geometry.kernel[2] + geometry.kernel[2] // 2
    scale = 1 / (frames * height * width)
    spatial_sums = (sums.sum(1) * scale).mT.to(x.dtype)  # (N, C_i, taps)
    temporal_sums = (_frame_sums(sums[:, :, center], geometry) * scale).mT.to(x.dtype)  # (N, C_i, k_t)
    part, clips = geometry.slice_size, x.shape[0] // frames
    if arrangement == "hybrid":
        others = gathered_inputs(geometry, x.device)
        spatial = _apply(spatial_weight, spatial_sums[:, others])
        return spatial, _apply(temporal_weight, torch.unflatten(temporal_sums, 1, (groups, part)))
    if arrangement == "merge_in":
        spatial = _apply(spatial_weight, spatial_sums[:, None, part:])
        return spatial, _apply(temporal_weight, temporal_sums[:, None, :part])
    cut = geometry.temporal_outputs
    spatial = _apply(spatial_weight, spatial_sums[:, None])
    temporal = _apply(temporal_weight, temporal_sums[:, None])
    no_spatial, no_temporal = x.new_zeros(clips, cut), x.new_zeros(clips, geometry.out_channels - cut)
    return torch.cat([no_spatial, spatial], dim=1), torch.cat([temporal, no_temporal], dim=1)


def _apply(weight: Tensor, seen: Tensor) -> Tensor:
    """A stored weight (C_o, C, taps...) on sums (N, G, C, taps), one output group each: (N, C_o)."""
    groups = seen.shape[1]
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    return torch.matmul(kernels, seen.flatten(2).permute(1, 2, 0)).permute(2, 0, 1).flatten(1)


@torch.library.custom_op("sth::pooled_means", mutates_args=())
def _run_compiled(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    frames: int,
    groups: int,
    arrangement: str,
    stride: Sequence[int],
    spatial_dilation: int,
    temporal_dilation: int,
) -> Tensor:
    """(N, 2, C_o): both means, in the dtype of ``x``. It has no gradient."""
    geometry = make_geometry(
        spatial_weight, temporal_weight, groups, arrangement, stride, spatial_dilation, temporal_dilation
    )
    layer = kernel.Layer.of(geometry)
    packed = pack_once(layer, spatial_weight, temporal_weight, x.dtype)
    return kernel.pooled_means(layer, x, packed, frames).to(x.dtype)


@_run_compiled.register_fake
def _(x: Tensor, spatial_weight: Tensor, temporal_weight: Tensor, frames: int, *rest: Any) -> Tensor:
    geometry = make_geometry(spatial_weight, temporal_weight, *rest)
    return x.new_empty(x.shape[0] // frames, 2, geometry.out_channels)


def _sum_taps(x: Tensor, geometry: Geometry) -> Tensor:
    """(N*T, k_h * k_w, C_i): of each frame the sum of the pixels that each spatial tap meets."""
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # a view where x is channels-last
    return torch.matmul(_masks(x, geometry), pixels).to(wide)


def _masks(x: Tensor, geometry: Geometry) -> Tensor:
    """(k_h * k_w, H * W): one where a tap meets the pixel."""
    rows, columns = (
        _seen(
            x.shape[2 + axis], geometry.kernel[1 + axis], geometry.stride[axis], geometry.spatial_dilation, x
        )
        for axis in (0, 1)
    )
    return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(2).flatten(0, 1)


def _seen(size: int, kernel: int, stride: int, dilation: int, like: Tensor) -> Tensor:
    """(kernel, size): one where a tap of some output meets the pixel, else zero."""
    pixel = torch.arange(size, device=like.device)
    offset = (torch.arange(kernel, device=like.device) - kernel // 2)[:, None] * dilation
    output = pixel - offset  # times the stride
    return ((output >= 0) & (output < size) & (output % stride == 0)).to(like.dtype)


def _frame_sums(sums: Tensor, geometry: Geometry) -> Tensor:
    """(N, k_t, C_i) from (N, T, C_i): the sum over the frames that each temporal tap sees."""
    frames, taps = sums.shape[1], []
    for tap in range(geometry.kernel[0]):
        offset = (tap - geometry.kernel[0] // 2) * geometry.temporal_dilation
        taps.append(sums[:, max(0, offset) : max(0, min(frames, frames + offset))].sum(1))
    return torch.stack(taps, dim=1)
