"""The two parts of STH-Conv as functions: which weights meet which channels, and how that is run.

Only the kernels that exist are stored. The spatial weight of the hybrid arrangement, (C_o, C_i - C_i/G, 3,
3), can be run in two ways that give the same result:

``gathered``
    one grouped convolution on the input channels copied G times, each time without one slice. It executes
    exactly the multiply-accumulates of the operator.
``dense``
    one ordinary convolution with the weight scattered into zeros, (C_o, C_i, 3, 3). It executes 1 / (1 - p)
    times as many, in one fast kernel and without a copy of the activations.

:func:`choose` takes the faster one for the shape and device; :func:`implementation` forces one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from study.models.blocks.temporal import temporal_conv

Implementation = Literal["auto", "dense", "gathered"]
Arrangement = Literal["hybrid", "merge_out", "merge_in"]

GATHER_FROM_CHANNELS = 128
"""From this many input channels on, a CPU is faster with the gathered form (measured at 8 x 224 x 224)."""

_forced: ContextVar[Implementation] = ContextVar("sth_implementation", default="auto")


@dataclass(frozen=True)
class STHGeometry:
    """Shape of one STH-Conv.

    Attributes:
        in_channels: C_i.
        out_channels: C_o.
        groups: G = 1 / p.
        arrangement: where the temporal kernels sit.
        stride: spatial stride of both parts.
        padding: spatial padding of the spatial part, for its dilation.
        spatial_dilation: pixels between the taps of the spatial kernels.
        temporal_dilation: frames between the taps of the temporal kernels.
    """

    in_channels: int
    out_channels: int
    groups: int
    arrangement: Arrangement
    stride: tuple[int, int]
    padding: tuple[int, int]
    spatial_dilation: int = 1
    temporal_dilation: int = 1

    @property
    def slice_size(self) -> int:
        """Channels of one temporal slice, p * C_i."""
        return self.in_channels // self.groups

    @property
    def spatial_channels(self) -> tuple[int, int]:
        """Output and input channels of the stored spatial weight."""
        if self.arrangement == "merge_out":
            return self.out_channels - self.out_channels // self.groups, self.in_channels
        return self.out_channels, self.in_channels - self.slice_size

    @property
    def temporal_channels(self) -> tuple[int, int]:
        """Output and input channels of the stored temporal weight."""
        if self.arrangement == "merge_out":
            return self.out_channels // self.groups, self.in_channels
        return self.out_channels, self.slice_size


@contextmanager
def implementation(name: Implementation) -> Iterator[None]:
    """Force one way to run hybrid spatial kernels within the ``with`` statement."""
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


def forced_implementation() -> Implementation:
    """What :func:`implementation` forces; ``auto`` without it."""
    return _forced.get()


def choose(geometry: STHGeometry, device: torch.device) -> Implementation:
    """The implementation for this shape: the forced one, or the faster one.

    On a GPU the dense form is taken at any size: a model of its memory traffic says that the copies cost more
    than they save. That is not measured.
    """
    forced = forced_implementation()
    if forced != "auto":
        return forced
    if device.type == "cuda" or geometry.in_channels < GATHER_FROM_CHANNELS:
        return "dense"
    return "gathered"


def hybrid_inputs(geometry: STHGeometry) -> Tensor:
    """(G, C_i - C_i/G): the input channels that the spatial kernels of each output group see, ascending."""
    channels = torch.arange(geometry.in_channels).view(geometry.groups, -1)
    others = [
        torch.cat([channels[:group], channels[group + 1 :]]).flatten() for group in range(geometry.groups)
    ]
    return torch.stack(others)


def spatial_part(x: Tensor, weight: Tensor, geometry: STHGeometry, inputs: Tensor | None) -> Tensor:
    """O_S of Eq. 2.

    Args:
        x: (N*T, C_i, H, W).
        weight: the stored spatial weight.
        geometry: shape and arrangement.
        inputs: :func:`hybrid_inputs` for the hybrid arrangement, else None.

    Returns:
        (N*T, C, H', W') with C = ``geometry.spatial_channels[0]``.
    """
    groups = 1
    if geometry.arrangement == "merge_in":
        x = x[:, geometry.slice_size :]
    elif inputs is not None and choose(geometry, x.device) == "dense":
        weight = scatter_hybrid(weight, inputs, geometry.in_channels)
    elif inputs is not None:
        x = x.index_select(1, inputs.flatten())
        groups = geometry.groups
    return functional.conv2d(
        x, weight, None, geometry.stride, geometry.padding, geometry.spatial_dilation, groups
    )


def temporal_part(x: Tensor, weight: Tensor, geometry: STHGeometry, frames: int) -> Tensor:
    """O_T of Eq. 2: (N*T, C_i, H, W) to (N*T, C, H', W'), C = ``geometry.temporal_channels[0]``."""
    if geometry.arrangement == "merge_in":
        x = x[:, : geometry.slice_size]
    groups = geometry.groups if geometry.arrangement == "hybrid" else 1
    return temporal_conv(
        x, weight, frames, stride=geometry.stride, dilation=geometry.temporal_dilation, groups=groups
    )


def scatter_hybrid(weight: Tensor, inputs: Tensor, in_channels: int) -> Tensor:
    """The stored spatial weight (C_o, (1-p) C_i, k, k) in a dense one, (C_o, C_i, k, k), zero elsewhere."""
    dense = weight.new_zeros(weight.shape[0], in_channels, *weight.shape[2:])
    return dense.scatter(1, _entries(inputs, weight), weight)


def gather_hybrid(dense: Tensor, inputs: Tensor) -> Tensor:
    """The entries (m, c) of a 2D weight (C_o, C_i, k, k) that hybrid spatial kernels keep."""
    return dense.gather(1, _entries(inputs, dense))


def _entries(inputs: Tensor, weight: Tensor) -> Tensor:
    """(C_o, (1-p) C_i, k, k): for each entry of a stored weight, the input channel it belongs to."""
    outputs = weight.shape[0] // inputs.shape[0]
    rows = inputs.repeat_interleave(outputs, dim=0)
    return rows[:, :, None, None].expand(-1, -1, *weight.shape[2:])
