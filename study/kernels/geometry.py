"""Which weights of an STH-Conv meet which channels, and the shapes that follow.

STH (section 3.2, Eq. 2): an output channel is the sum of spatial kernels on some input channels and temporal
kernels on the others. Only the kernels that exist are stored:

    ==========  ==============================  ==========================
    arrangement spatial weight                  temporal weight
    ==========  ==============================  ==========================
    hybrid      (C_o, C_i - C_i/G, k_h, k_w)    (C_o, C_i/G, k_t, 1)
    merge_in    (C_o, C_i - C_i/G, k_h, k_w)    (C_o, C_i/G, k_t, 1)
    merge_out   (C_o - C_o/G, C_i, k_h, k_w)    (C_o/G, C_i, k_t, 1)
    ==========  ==============================  ==========================

with G = 1/p. In the hybrid arrangement output group g stores its input channels without slice g, ascending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from torch import Tensor

from study.errors import ModelError, suggest

Arrangement = Literal["hybrid", "merge_in", "merge_out"]


@dataclass(frozen=True)
class Run:
    """Contiguous input channels of one group of outputs.

    Attributes:
        begin, end: the channels.
        offset: where the weight of (first output channel of the group, ``begin``) is stored, in elements.
    """

    begin: int
    end: int
    offset: int


@dataclass(frozen=True)
class OutputGroup:
    """Contiguous output channels, ``begin`` to ``end``, whose kernels meet the same input channels."""

    begin: int
    end: int
    spatial: tuple[Run, ...]
    temporal: tuple[Run, ...]


@dataclass(frozen=True)
class Geometry:
    """Shape of one STH-Conv.

    Attributes:
        in_channels: C_i.
        out_channels: C_o.
        groups: G = 1/p.
        arrangement: where the temporal kernels sit.
        kernel: (k_t, k_h, k_w), all odd.
        stride: (s_h, s_w), of both parts.
        spatial_dilation: pixels between spatial taps; the padding is that of an equal size, d * (k // 2).
        temporal_dilation: frames between temporal taps; padded with zero frames to an equal number.
    """

    in_channels: int
    out_channels: int
    groups: int
    arrangement: Arrangement
    kernel: tuple[int, int, int] = (3, 3, 3)
    stride: tuple[int, int] = (1, 1)
    spatial_dilation: int = 1
    temporal_dilation: int = 1

    @property
    def slice_size(self) -> int:
        """Input channels of one temporal slice."""
        return self.in_channels // self.groups

    @property
    def temporal_outputs(self) -> int:
        """Output channels with temporal kernels."""
        return self.out_channels // self.groups if self.arrangement == "merge_out" else self.out_channels

    @property
    def spatial_shape(self) -> tuple[int, int, int, int]:
        """Shape of the stored spatial weight."""
        if self.arrangement == "merge_out":
            return self.out_channels - self.temporal_outputs, self.in_channels, *self.kernel[1:]
        return self.out_channels, self.in_channels - self.slice_size, *self.kernel[1:]

    @property
    def temporal_shape(self) -> tuple[int, int, int, int]:
        """Shape of the stored temporal weight."""
        inputs = self.in_channels if self.arrangement == "merge_out" else self.slice_size
        return self.temporal_outputs, inputs, self.kernel[0], 1

    @property
    def padding(self) -> tuple[int, int]:
        """Zero pixels on each side, (height, width)."""
        return self.spatial_dilation * (self.kernel[1] // 2), self.spatial_dilation * (self.kernel[2] // 2)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of :func:`study.kernels.sth_conv` that say the same."""
        return {
            "groups": self.groups,
            "arrangement": self.arrangement,
            "stride": self.stride,
            "spatial_dilation": self.spatial_dilation,
            "temporal_dilation": self.temporal_dilation,
        }

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """H' and W' of an input of ``height`` x ``width`` pixels."""
        return -(-height // self.stride[0]), -(-width // self.stride[1])

    def output_groups(self) -> list[OutputGroup]:
        """The operator as a list of groups of output channels, ascending, that covers each once."""
        c, o, part, taps = self.in_channels, self.out_channels, self.slice_size, self._taps
        if self.arrangement == "merge_in":
            return [OutputGroup(0, o, (Run(part, c, 0),), (Run(0, part, 0),))]
        if self.arrangement == "merge_out":
            cut = self.temporal_outputs
            return [OutputGroup(0, cut, (), (Run(0, c, 0),)), OutputGroup(cut, o, (Run(0, c, 0),), ())]
        rows, groups = o // self.groups, []
        for g in range(self.groups):
            start = g * rows * (c - part) * taps
            spatial = (Run(0, g * part, start), Run((g + 1) * part, c, start + g * part * taps))
            temporal = Run(g * part, (g + 1) * part, g * rows * part * self.kernel[0])
            groups.append(OutputGroup(g * rows, (g + 1) * rows, spatial, (temporal,)))
        return groups

    def input_groups(self) -> list[OutputGroup]:
        """The gradient of the input, at stride 1, as such a list: its outputs are the input channels.

        Weights are read where they are stored, so a step from one of its outputs to the next is a step along
        the second axis of the weight, and taps run backward.
        """
        c, o, part, taps, time = (
            self.in_channels,
            self.out_channels,
            self.slice_size,
            self._taps,
            self.kernel[0],
        )
        if self.arrangement == "merge_in":
            return [OutputGroup(0, part, (), (Run(0, o, 0),)), OutputGroup(part, c, (Run(0, o, 0),), ())]
        if self.arrangement == "merge_out":
            cut = self.temporal_outputs
            return [OutputGroup(0, c, (Run(cut, o, 0),), (Run(0, cut, 0),))]
        rows, row, groups = o // self.groups, (c - part) * taps, []
        for g in range(self.groups):
            first, last = g * rows, (g + 1) * rows
            # Rows before group g lack an earlier slice: there, the channels of slice g are stored one slice earlier.
            spatial = (Run(0, first, (g - 1) * part * taps), Run(last, o, last * row + g * part * taps))
            temporal = Run(first, last, first * part * time)
            groups.append(OutputGroup(g * part, (g + 1) * part, spatial, (temporal,)))
        return groups

    @property
    def _taps(self) -> int:
        return self.kernel[1] * self.kernel[2]


def make_geometry(
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    groups: int,
    arrangement: str,
    stride: Sequence[int] = (1, 1),
    spatial_dilation: int = 1,
    temporal_dilation: int = 1,
) -> Geometry:
    """The geometry of these arguments of :func:`study.kernels.sth_conv`.

    Raises:
        ModelError: when they contradict each other; it names the argument and what is allowed.
    """
    if arrangement not in get_args(Arrangement):
        raise ModelError(
            f"arrangement: unknown '{arrangement}': {suggest(arrangement, get_args(Arrangement))}"
        )
    for name, tensor in (("spatial_weight", spatial_weight), ("temporal_weight", temporal_weight)):
        if tensor.dim() != 4:
            raise ModelError(f"{name}: needs 4 axes, got shape {tuple(tensor.shape)}")
    if groups < 2:
        raise ModelError(f"groups: 1/p must be at least 2, got {groups}")
    if min(*stride, spatial_dilation, temporal_dilation) < 1:
        raise ModelError(
            f"stride {stride}, spatial_dilation {spatial_dilation} and temporal_dilation {temporal_dilation}: "
            "all must be at least 1"
        )
    if len(stride) != 2:
        raise ModelError(f"stride: needs (height, width), got {tuple(stride)}")
    split = arrangement == "merge_out"
    geometry = Geometry(
        in_channels=spatial_weight.shape[1] + (0 if split else temporal_weight.shape[1]),
        out_channels=spatial_weight.shape[0] + (temporal_weight.shape[0] if split else 0),
        groups=groups,
        arrangement=cast(Arrangement, arrangement),
        kernel=(temporal_weight.shape[2], spatial_weight.shape[2], spatial_weight.shape[3]),
        stride=(stride[0], stride[1]),
        spatial_dilation=spatial_dilation,
        temporal_dilation=temporal_dilation,
    )
    _require_shapes(geometry, spatial_weight, temporal_weight)
    return geometry


def _require_shapes(geometry: Geometry, spatial_weight: Tensor, temporal_weight: Tensor) -> None:
    if any(size % 2 == 0 for size in geometry.kernel):
        raise ModelError(f"kernel sizes (time, height, width) must be odd, got {geometry.kernel}")
    sides = {
        "hybrid": ("in_channels", "out_channels"),
        "merge_in": ("in_channels",),
        "merge_out": ("out_channels",),
    }
    for side in sides[geometry.arrangement]:
        count = getattr(geometry, side)
        if count % geometry.groups:
            raise ModelError(f"groups: {geometry.groups} does not divide {side} = {count}")
    for name, weight, shape in (
        ("spatial_weight", spatial_weight, geometry.spatial_shape),
        ("temporal_weight", temporal_weight, geometry.temporal_shape),
    ):
        if tuple(weight.shape) != shape:
            raise ModelError(
                f"{name}: shape {tuple(weight.shape)}, but '{geometry.arrangement}' with 1/p = "
                f"{geometry.groups} and {geometry.in_channels} input channels needs {shape}"
            )
