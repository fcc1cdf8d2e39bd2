"""2D and (2+1)D convolutions."""

from __future__ import annotations

from study.cost.oracle.dispatch import conv_cost
from study.cost.oracle.geometry import Conv, Cost
from study.spec.blocks import Conv2dBlock, TwoPlusOneBlock

TEMPORAL_KERNEL = 3


@conv_cost.register
def _conv2d(block: Conv2dBlock, conv: Conv, frames: int) -> Cost:
    return conv.plain_cost(frames)


@conv_cost.register
def _two_plus_one(block: TwoPlusOneBlock, conv: Conv, frames: int) -> Cost:
    inputs = conv.outputs if block.order == "sequential" else conv.inputs
    taps = conv.inputs * conv.kernel**2 + inputs * TEMPORAL_KERNEL
    weights = conv.outputs * taps // conv.groups
    return weights + conv.bias * conv.outputs, weights * conv.pixels * frames
