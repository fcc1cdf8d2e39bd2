"""The CoST operation (Li et al., CVPR 2019)."""

from __future__ import annotations

from study.cost.oracle.dispatch import conv_cost
from study.cost.oracle.geometry import Conv, Cost
from study.spec.blocks import CoSTBlock

VIEWS = 3


@conv_cost.register
def _cost_conv(block: CoSTBlock, conv: Conv, frames: int) -> Cost:
    """One kernel, convolved three times; scores by parameters (a) or by two layers, once for a clip (b)."""
    params, macs = conv.plain_cost(frames)
    c = conv.outputs
    if block.coefficients == "learned":
        return params + VIEWS * c, VIEWS * macs
    return params + c * c + VIEWS * VIEWS, VIEWS * macs + VIEWS * c * c + VIEWS * VIEWS * c
