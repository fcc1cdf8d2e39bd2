"""STH-Conv tap by tap in float64, written from Eq. 2 and 3 of the paper and sharing nothing with the package."""

from __future__ import annotations

import torch
from torch import Tensor

from study.kernels.geometry import Geometry


def spatial_taps(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """O_S: (N*T, C_i, H, W) to (N*T, C_o, H', W'); zero for outputs without spatial kernels."""
    return _sum_taps(x, weight, geometry, frames=1, spatial=True)


def temporal_taps(x: Tensor, weight: Tensor, geometry: Geometry, frames: int) -> Tensor:
    """O_T, the same."""
    return _sum_taps(x, weight, geometry, frames, spatial=False)


def reference(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    bias: Tensor | None,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    frames: int,
    geometry: Geometry,
    relu: bool,
) -> Tensor:
    x = x.double()
    spatial = spatial_taps(x, spatial_weight.double(), geometry)
    temporal = temporal_taps(x, temporal_weight.double(), geometry, frames)
    clips = torch.arange(x.shape[0]) // frames
    if alpha_s is not None and alpha_t is not None:
        spatial = spatial * alpha_s.double()[clips][:, :, None, None]
        temporal = temporal * alpha_t.double()[clips][:, :, None, None]
    y = spatial + temporal
    if bias is not None:
        y = y + bias.double()[:, None, None]
    return y.clamp(min=0) if relu else y


def _sum_taps(x: Tensor, weight: Tensor, geometry: Geometry, frames: int, spatial: bool) -> Tensor:
    images, height, width = x.shape[0], *x.shape[2:]
    step_y, step_x = geometry.stride
    rows, columns = -(-height // step_y), -(-width // step_x)
    y = x.new_zeros(images, geometry.out_channels, rows, columns)
    alike: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}  # outputs by the inputs that they see
    for out in range(geometry.out_channels):
        inputs, row = _kernels_of(out, geometry, spatial)
        if inputs:
            outputs, stored = alike.setdefault(tuple(inputs), ([], []))
            outputs.append(out)
            stored.append(row)
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            if spatial:
                dy = (i - weight.shape[2] // 2) * geometry.spatial_dilation
                dx = (j - weight.shape[3] // 2) * geometry.spatial_dilation
                seen = _shift(_shift(x, dy, 2), dx, 3)
            else:
                dt = (i - weight.shape[2] // 2) * geometry.temporal_dilation
                seen = _shift(x.reshape(-1, frames, *x.shape[1:]), dt, 1).reshape(x.shape)
            seen = seen[:, :, ::step_y, ::step_x]
            for inputs, (outputs, stored) in alike.items():
                y[:, outputs] += torch.einsum("nchw,oc->nohw", seen[:, list(inputs)], weight[stored, :, i, j])
    return y


def _kernels_of(out: int, geometry: Geometry, spatial: bool) -> tuple[list[int], int]:
    """Input channels of the kernels of one output channel, as stored, and the row they are stored in."""
    channels, part = list(range(geometry.in_channels)), geometry.in_channels // geometry.groups
    if geometry.arrangement == "merge_out":
        cut = geometry.out_channels // geometry.groups
        if (out < cut) == spatial:
            return [], 0
        return channels, out - cut if spatial else out
    group = out // (geometry.out_channels // geometry.groups) if geometry.arrangement == "hybrid" else 0
    temporal = channels[group * part : (group + 1) * part]
    return ([c for c in channels if c not in temporal] if spatial else temporal), out


def _shift(x: Tensor, by: int, axis: int) -> Tensor:
    """y[i] = x[i + by] along ``axis``, zero outside."""
    size = x.shape[axis]
    index = torch.arange(size) + by
    inside = (index >= 0) & (index < size)
    shape = [1] * x.dim()
    shape[axis] = size
    return x.index_select(axis, index.clamp(0, size - 1)) * inside.view(shape)
