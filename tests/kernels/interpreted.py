"""Runs the Triton kernel in Triton's interpreter, which has to be chosen before Triton is imported: a program.

    TRITON_INTERPRET=1 python -m tests.kernels.interpreted '[{"arrangement": "hybrid", ...}, ...]'

prints the error of each case, relative to the largest value, against the operator in float64.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from study.kernels import library
from study.kernels.geometry import Geometry
from study.kernels.triton_sth import Tile, sth_conv_triton

CLIPS, FRAMES, HEIGHT, WIDTH = 2, 3, 5, 6


def measure(case: dict[str, Any]) -> float:
    """The error of one case; its keys are those of :class:`Geometry`, and options."""
    torch.manual_seed(0)
    attentive, relu, step = case.pop("attentive", False), case.pop("relu", False), case.pop("step", 16)
    dtype = getattr(torch, case.pop("dtype", "float32"))
    geometry = Geometry(**(case | {"stride": tuple(case.get("stride", (1, 1)))}))
    x = torch.randn(CLIPS * FRAMES, geometry.in_channels, HEIGHT, WIDTH, dtype=dtype)
    spatial, temporal = (
        torch.randn(shape, dtype=dtype) for shape in (geometry.spatial_shape, geometry.temporal_shape)
    )
    bias = torch.randn(geometry.out_channels)
    alphas = [torch.rand(CLIPS, geometry.out_channels) if attentive else None for _ in range(2)]
    tile = Tile(32, 16, step)
    y = sth_conv_triton(x, spatial, temporal, bias, *alphas, FRAMES, geometry, relu, tile)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    exact = [None if alpha is None else alpha.double() for alpha in alphas]
    expected = library.forward(
        x.double(), spatial.double(), temporal.double(), bias.double(), *exact, FRAMES, geometry, relu
    )
    assert y.shape == expected.shape
    return float((y.double() - expected).abs().max() / expected.abs().max())


if __name__ == "__main__":
    print(json.dumps([measure(case) for case in json.loads(sys.argv[1])]))
