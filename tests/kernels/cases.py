"""Shapes of STH-Conv that between them meet every branch of the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from study.kernels import Geometry

T = 3


@dataclass(frozen=True)
class Case:
    name: str
    geometry: Geometry
    size: tuple[int, int]


CASES = [
    Case("p 1/8", Geometry(64, 64, 8, "hybrid"), (4, 5)),
    Case("p 1/4", Geometry(64, 64, 4, "hybrid"), (3, 30)),
    Case("p 1/2", Geometry(32, 64, 2, "hybrid"), (4, 15)),
    Case("four registers", Geometry(64, 256, 4, "hybrid"), (3, 8)),
    Case("weights in segments", Geometry(256, 64, 8, "merge_in"), (3, 7)),
    Case("stride 2", Geometry(32, 32, 2, "hybrid", stride=(2, 2)), (5, 9)),
    Case("stride 2, even", Geometry(32, 64, 4, "hybrid", stride=(2, 2)), (6, 8)),
    Case("stride 1 x 2", Geometry(16, 16, 4, "hybrid", stride=(1, 2)), (4, 7)),
    Case("dilated in space", Geometry(32, 32, 4, "hybrid", spatial_dilation=2), (7, 9)),
    Case("dilated in time", Geometry(32, 32, 4, "hybrid", temporal_dilation=2), (4, 4)),
    Case("dilated in both", Geometry(32, 32, 4, "hybrid", spatial_dilation=3, temporal_dilation=3), (7, 5)),
    Case("kernel beyond image", Geometry(8, 8, 2, "hybrid", spatial_dilation=8, temporal_dilation=8), (3, 2)),
    Case("one pixel", Geometry(32, 64, 2, "hybrid"), (1, 1)),
    Case("other kernel", Geometry(16, 16, 4, "hybrid", kernel=(5, 1, 5)), (4, 9)),
    Case("odd channels", Geometry(12, 20, 4, "hybrid"), (4, 7)),
    Case("merge_in", Geometry(64, 64, 4, "merge_in"), (5, 15)),
    Case("merge_in, dilated, strided", Geometry(16, 24, 8, "merge_in", (3, 3, 3), (2, 2), 2, 2), (6, 7)),
    Case("merge_out", Geometry(32, 48, 4, "merge_out"), (5, 7)),
    Case("merge_out, dilated, strided", Geometry(16, 64, 2, "merge_out", (3, 3, 3), (2, 2), 2, 2), (6, 7)),
]
BANDED = [
    Case("rows in bands", Geometry(32, 48, 2, "hybrid"), (30, 40)),
    Case("rows in bands, dilated, strided", Geometry(16, 32, 2, "hybrid", (3, 3, 3), (2, 2), 2, 2), (70, 41)),
    Case("images in bands, several units", Geometry(192, 64, 2, "hybrid"), (15, 14)),
]
"""More pixels than the gradient of the weights takes at once."""
HALVED = [case for case in CASES if case.name != "odd channels"]
"""Those that bfloat16 can read in pairs of channels."""


@dataclass(frozen=True)
class Arguments:
    """Of :func:`study.kernels.sth_conv` for two clips, in order; see there."""

    x: Tensor
    spatial_weight: Tensor
    temporal_weight: Tensor
    bias: Tensor
    alpha_s: Tensor | None
    alpha_t: Tensor | None

    @property
    def all(self) -> tuple[Tensor | None, ...]:
        return self.x, self.spatial_weight, self.temporal_weight, self.bias, self.alpha_s, self.alpha_t


def make(case: Case, dtype: torch.dtype = torch.float32, weighted: bool = False) -> Arguments:
    shape = case.geometry
    x = torch.randn(2 * T, shape.in_channels, *case.size, dtype=torch.float64)
    alphas = [torch.rand(2, shape.out_channels) if weighted else None for _ in range(2)]
    return Arguments(
        x.to(dtype).contiguous(memory_format=torch.channels_last),
        torch.randn(shape.spatial_shape).to(dtype),
        torch.randn(shape.temporal_shape).to(dtype),
        torch.randn(shape.out_channels),
        *alphas,
    )


def options(case: Case) -> dict[str, object]:
    """Keyword arguments of :func:`study.kernels.sth_conv`."""
    shape = case.geometry
    return {
        "frames": T,
        "groups": shape.groups,
        "arrangement": shape.arrangement,
        "stride": shape.stride,
        "spatial_dilation": shape.spatial_dilation,
        "temporal_dilation": shape.temporal_dilation,
    }


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative, in the Euclidean norm."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())
