"""STH-Conv as one fused Triton kernel: spatial and temporal implicit GEMM, attention, bias and ReLU in one pass.

A program computes a tile of (pixels, output channels) that lies within one group of outputs, so that it runs over
exactly the kernels that exist: 9 (1 - p) C_i + 3 p C_i products a value (Eq. 2) instead of the 9 C_i of a dense
convolution. Nothing is gathered, shifted or materialized: input channels are addressed where they are.

Without a GPU it runs in Triton's interpreter (``TRITON_INTERPRET=1``), which is how it is tested. Its speed has not
been measured on any device yet; ``python -m benchmarks.sth_gpu`` measures it where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from study.kernels.geometry import Geometry

LEAST = 16
"""Fewest rows, columns and products of a tile that tensor cores multiply."""


@dataclass(frozen=True)
class Tile:
    """How a launch is cut.

    Attributes:
        pixels: rows of a tile.
        outputs: its columns, output channels of one group.
        inputs: input channels of one step.
        warps: warps of a program.
        stages: steps whose loads are in flight.
    """

    pixels: int
    outputs: int
    inputs: int
    warps: int = 4
    stages: int = 3


# Constants are in capitals, as Triton has them.
# ruff: noqa: N803
@triton.jit  # type: ignore[untyped-decorator]
def _sth_conv(  # type: ignore[no-untyped-def]
    x,
    spatial_weight,
    temporal_weight,
    bias,
    alpha_s,
    alpha_t,
    y,
    rows,
    frames,
    height,
    width,
    out_height,
    out_width,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    SLICE: tl.constexpr,
    GROUP_OUTPUTS: tl.constexpr,
    MERGE_OUT: tl.constexpr,
    KERNEL_T: tl.constexpr,
    KERNEL_H: tl.constexpr,
    KERNEL_W: tl.constexpr,
    STRIDE_H: tl.constexpr,
    STRIDE_W: tl.constexpr,
    DILATION: tl.constexpr,
    TEMPORAL_DILATION: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_ALPHA: tl.constexpr,
    RELU: tl.constexpr,
    PIXELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
):
    """See :func:`sth_conv_triton`. In memory x is (N*T, H, W, C_i), y (N*T, H', W', C_o), a weight (taps, inputs,
    outputs).
    """
    # Tiles of the same pixels follow each other, so that what they read is still in the cache.
    tiles = OUTPUTS // COLUMNS
    column = (tl.program_id(0) % tiles) * COLUMNS + tl.arange(0, COLUMNS)
    first = (tl.program_id(0) % tiles) * COLUMNS
    row = (tl.program_id(0) // tiles).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    real = row < rows
    out_x = row % out_width
    out_y = (row // out_width) % out_height
    frame = row // (out_width * out_height)
    step = tl.arange(0, STEP)

    group = first // GROUP_OUTPUTS
    spatial_inputs: tl.constexpr = INPUTS if MERGE_OUT else INPUTS - SLICE
    temporal_inputs: tl.constexpr = INPUTS if MERGE_OUT else SLICE
    spatial_columns: tl.constexpr = OUTPUTS - GROUP_OUTPUTS if MERGE_OUT else OUTPUTS
    temporal_columns: tl.constexpr = GROUP_OUTPUTS if MERGE_OUT else OUTPUTS
    # With merge_out the first group of outputs is temporal, the others are spatial; otherwise each is both.
    spatial_taps = KERNEL_H * KERNEL_W
    temporal_taps = KERNEL_T
    spatial_column = column
    if MERGE_OUT:
        spatial_column = column - GROUP_OUTPUTS
        if first < GROUP_OUTPUTS:
            spatial_taps = 0
        else:
            temporal_taps = 0

    spatial = tl.zeros((PIXELS, COLUMNS), dtype=tl.float32)
    for tap in range(spatial_taps):
        in_y = out_y * STRIDE_H + (tap // KERNEL_W - KERNEL_H // 2) * DILATION
        in_x = out_x * STRIDE_W + (tap % KERNEL_W - KERNEL_W // 2) * DILATION
        inside = real & (in_y >= 0) & (in_y < height) & (in_x >= 0) & (in_x < width)
        pixel = ((frame * height + in_y) * width + in_x) * INPUTS
        for start in range(0, spatial_inputs, STEP):
            kept = start + step
            channel = kept
            if not MERGE_OUT:
                channel = tl.where(kept >= group * SLICE, kept + SLICE, kept)
            values = tl.load(
                x + pixel[:, None] + channel[None, :],
                mask=inside[:, None] & (kept < spatial_inputs)[None, :],
                other=0.0,
            )
            weights = tl.load(
                spatial_weight
                + (tap * spatial_inputs + kept)[:, None] * spatial_columns
                + spatial_column[None, :],
                mask=(kept < spatial_inputs)[:, None] & (spatial_column >= 0)[None, :],
                other=0.0,
            )
            spatial = tl.dot(values, weights, spatial, input_precision="ieee")

    temporal = tl.zeros((PIXELS, COLUMNS), dtype=tl.float32)
    for tap in range(temporal_taps):
        shift = (tap - KERNEL_T // 2) * TEMPORAL_DILATION
        time = frame % frames + shift
        inside = real & (time >= 0) & (time < frames)
        pixel = (((frame + shift) * height + out_y * STRIDE_H) * width + out_x * STRIDE_W) * INPUTS
        for start in range(0, temporal_inputs, STEP):
            kept = start + step
            channel = kept
            if not MERGE_OUT:
                channel = group * SLICE + kept
            values = tl.load(
                x + pixel[:, None] + channel[None, :],
                mask=inside[:, None] & (kept < temporal_inputs)[None, :],
                other=0.0,
            )
            weights = tl.load(
                temporal_weight
                + (tap * temporal_inputs + kept)[:, None] * temporal_columns
                + column[None, :],
                mask=(kept < temporal_inputs)[:, None] & (column < temporal_columns)[None, :],
                other=0.0,
            )
            temporal = tl.dot(values, weights, temporal, input_precision="ieee")

    if HAS_ALPHA:
        clip = (frame // frames)[:, None] * OUTPUTS + column[None, :]
        spatial = spatial * tl.load(alpha_s + clip, mask=real[:, None], other=0.0)
        temporal = temporal * tl.load(alpha_t + clip, mask=real[:, None], other=0.0)
    result = spatial + temporal
    if HAS_BIAS:
        result += tl.load(bias + column)[None, :]
    if RELU:
        result = tl.maximum(result, 0.0)
    tl.store(
        y + row[:, None] * OUTPUTS + column[None, :],
        result.to(y.dtype.element_ty),
        mask=real[:, None],
    )


def sth_conv_triton(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    bias: Tensor | None,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    frames: int,
    geometry: Geometry,
    relu: bool,
    tile: Tile | None = None,
) -> Tensor:
    """Arguments and result are those of :func:`study.kernels.sth_conv`; sums are float32 whatever the input is.

    Args:
        x: (N*T, C_i, H, W); made channels-last if it is not.
        spatial_weight: as stored, see :mod:`study.kernels.geometry`.
        temporal_weight: likewise.
        bias: (C_o,) or None.
        alpha_s: coefficients of the spatial part, (N, C_o), or None (Eq. 3).
        alpha_t: those of the temporal part.
        frames: T.
        geometry: one that :func:`is_supported`.
        relu: whether negative results become zero.
        tile: how to cut; :func:`choose_tile` when None.

    Returns:
        (N*T, C_o, H', W'), channels-last, of the type of ``x``.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    height, width = x.shape[-2:]
    out_height, out_width = geometry.output_size(height, width)
    shape = (len(x), geometry.out_channels, out_height, out_width)
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    rows = len(x) * out_height * out_width
    tile = tile or choose_tile(geometry)
    alphas = [None if alpha is None else alpha.float().contiguous() for alpha in (alpha_s, alpha_t)]
    constants = describe_constants(
        geometry, tile, has_bias=bias is not None, has_alpha=alpha_s is not None, relu=relu
    )
    _sth_conv[(triton.cdiv(rows, tile.pixels) * (geometry.out_channels // tile.outputs),)](
        x,
        _pack(spatial_weight, x.dtype),
        _pack(temporal_weight, x.dtype),
        bias if bias is None else bias.float(),
        *alphas,
        y,
        rows,
        frames,
        height,
        width,
        out_height,
        out_width,
        **constants,
        num_warps=tile.warps,
        num_stages=tile.stages,
    )
    return y


def describe_constants(
    geometry: Geometry, tile: Tile, *, has_bias: bool, has_alpha: bool, relu: bool
) -> dict[str, int | bool]:
    """What the kernel is compiled for."""
    merged_in = geometry.arrangement == "merge_in"
    return {
        "INPUTS": geometry.in_channels,
        "OUTPUTS": geometry.out_channels,
        "SLICE": geometry.slice_size,
        "GROUP_OUTPUTS": geometry.out_channels // (1 if merged_in else geometry.groups),
        "MERGE_OUT": geometry.arrangement == "merge_out",
        "KERNEL_T": geometry.kernel[0],
        "KERNEL_H": geometry.kernel[1],
        "KERNEL_W": geometry.kernel[2],
        "STRIDE_H": geometry.stride[0],
        "STRIDE_W": geometry.stride[1],
        "DILATION": geometry.spatial_dilation,
        "TEMPORAL_DILATION": geometry.temporal_dilation,
        "HAS_BIAS": has_bias,
        "HAS_ALPHA": has_alpha,
        "RELU": relu,
        "PIXELS": tile.pixels,
        "COLUMNS": tile.outputs,
        "STEP": tile.inputs,
    }


def _pack(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A stored weight (outputs, inputs, k, k') as (k * k', inputs, outputs), outputs side by side."""
    return weight.permute(2, 3, 1, 0).flatten(0, 1).to(dtype).contiguous()


def is_supported(geometry: Geometry) -> bool:
    """Whether every group of outputs can be cut into tiles: at least 16 outputs in each, a power of two."""
    return _widest(geometry) >= LEAST


def choose_tile(geometry: Geometry) -> Tile:
    """A tile for ``geometry``, from a model of the memory traffic and the widths of tensor cores; not measured."""
    outputs = min(_widest(geometry), 128)
    channels = geometry.in_channels if geometry.arrangement == "merge_out" else geometry.slice_size
    inputs = max(LEAST, min(64, channels & -channels))
    return Tile(pixels=128, outputs=outputs, inputs=inputs, warps=8 if outputs == 128 else 4)


def _widest(geometry: Geometry) -> int:
    """The largest power of two that divides the outputs of every group."""
    sizes = [group.end - group.begin for group in geometry.output_groups()]
    return min(size & -size for size in sizes)
