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
from study.kernels.native import build, kernel


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

    Arguments are those of :func:`study.kernels.sth_conv`. Exact up to rounding: 1e-5 relative in float32.

    Raises:
        ModelError: when arguments contradict each other.
    """
    geometry = make_geometry(
        spatial_weight, temporal_weight, groups, arrangement, stride, spatial_dilation, temporal_dilation
    )
    height, width = geometry.output_size(x.shape[2], x.shape[3])
    sums = torch.unflatten(
        _sum_taps(x, list(geometry.kernel), list(geometry.stride), spatial_dilation), 0, (-1, frames)
    )
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


@torch.library.custom_op("sth::tap_sums", mutates_args=())
def _sum_taps(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int], dilation: int) -> Tensor:
    """(N*T, k_h * k_w, C_i): of each frame the sum of the pixels that each spatial tap meets."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    if (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and channels_last
        and build.load()
    ):
        shape = Geometry(x.shape[1], 0, 1, "hybrid", _triple(kernel_size), (stride[0], stride[1]), dilation)
        return kernel.tap_sums(x, shape)
    pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # a view where x is channels-last
    return torch.matmul(_masks(x, kernel_size, stride, dilation), pixels).to(_wide(x))


@_sum_taps.register_fake
def _(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int], dilation: int) -> Tensor:
    return x.new_empty(x.shape[0], kernel_size[1] * kernel_size[2], x.shape[1], dtype=_wide(x))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.options = inputs
    ctx.save_for_backward(x)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    found = torch.matmul(_masks(x, *ctx.options).mT, grad.to(x.dtype))
    found = torch.unflatten(found, 1, x.shape[2:]).permute(0, 3, 1, 2)
    return found, None, None, None


_sum_taps.register_autograd(_differentiate, setup_context=_setup)


def _masks(x: Tensor, kernel_size: Sequence[int], stride: Sequence[int], dilation: int) -> Tensor:
    """(k_h * k_w, H * W): one where a tap meets the pixel."""
    rows, columns = (
        _seen(x.shape[2 + axis], kernel_size[1 + axis], stride[axis], dilation, x) for axis in (0, 1)
    )
    return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(2).flatten(0, 1)


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _triple(sizes: Sequence[int]) -> tuple[int, int, int]:
    return sizes[0], sizes[1], sizes[2]


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
