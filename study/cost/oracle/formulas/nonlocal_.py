"""The non-local block (Wang et al., CVPR 2018)."""

from __future__ import annotations

from study.cost.oracle.dispatch import residual_cost
from study.cost.oracle.geometry import Cost, Residual
from study.spec.blocks import NonLocalBlock


@residual_cost.register
def _nonlocal(block: NonLocalBlock, residual: Residual, frames: int) -> Cost:
    """Four 1x1 convolutions with bias and BatchNorm; two of them, and the keys, see a quarter of the pixels."""
    c = residual.outputs
    inner = max(1, c // 2)
    side = round(residual.pixels**0.5)
    queries, keys = residual.pixels * frames, max(1, side // 2) ** 2 * frames
    params, macs = residual.plain_cost(frames)
    layers = 4 * c * inner + 3 * inner + c + 2 * c
    convolutions = c * inner * (2 * queries + 2 * keys)
    products = 2 * queries * keys * inner
    return params + layers, macs + convolutions + products
