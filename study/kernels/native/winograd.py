"""Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308): what it can run, and the weights it runs on.

Sixteen results of a 3x3 kernel take 36 products instead of 144. It is less exact than the direct kernel, in float32 by
an error of some 1e-6 instead of 3e-7, because it sums what it has multiplied by more than one. So it is never
taken unasked; ``STH_KERNELS=winograd`` asks for it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.kernels.geometry import Geometry

POINTS = 6
"""Of the transform along one axis: 4 results and the 2 pixels beyond them that a kernel of 3 sees."""
NEAR, FAR = 5 / 8, 3 / 2
"""The points are 0, both of these with both signs, and infinity. Of the points whose powers are exact in float32 these
have about the smallest error: half of that of 1 and 2, which are in wide use."""


def fits(geometry: Geometry, dtype: torch.dtype) -> bool:
    """Whether Winograd's kernel computes this: float32, 3x3, neither strides nor spatial dilation; anything in time."""
    return (
        dtype == torch.float32
        and geometry.kernel[1:] == (3, 3)
        and geometry.stride == (1, 1)
        and geometry.spatial_dilation == 1
    )


def transform(weight: Tensor) -> Tensor:
    """G g G' of every kernel, in float64: (O, I, 3, 3) to float32 (O, I, 6, 6)."""
    g = torch.tensor(_interpolation(), dtype=torch.float64)
    return (g @ weight.double() @ g.mT).float()


def _interpolation() -> list[list[float]]:
    """G: the kernel, as a polynomial, at the points. Its counterparts are in ``transforms.h``."""
    points = (0, NEAR, -NEAR, FAR, -FAR)
    rows = []
    for point in points:
        scale = math.prod(point - other for other in points if other != point)
        rows.append([point**power / scale for power in range(3)])
    return [*rows, [0, 0, 1]]
