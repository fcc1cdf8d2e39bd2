"""STH-Conv and its attention (STH, section 3)."""

from __future__ import annotations

from study.cost.oracle.dispatch import conv_cost
from study.cost.oracle.geometry import Conv, Cost
from study.spec.blocks import STHBlock

TEMPORAL_KERNEL = 3


@conv_cost.register
def _sth(block: STHBlock, conv: Conv, frames: int) -> Cost:
    """All arrangements keep C_i C_o ((1 - p) k^2 + 3 p) weights, each used once for an output pixel.

    In the place of a depthwise convolution there are C of these kernels.
    """
    kernels = (1 - block.p) * conv.kernel**2 + block.p * TEMPORAL_KERNEL
    weights = int(conv.inputs // conv.groups * conv.outputs * kernels)
    extra_params, extra_macs = _attention(block.attention, conv.outputs)
    params = weights + conv.bias * conv.outputs + extra_params
    return params, weights * conv.pixels * frames + extra_macs


def _attention(structure: str, c: int) -> Cost:
    """Parameters, and multiply-accumulates for one clip, of an attention on ``c`` channels.

    Weights and biases of each layer; a layer that both parts share runs twice.
    """
    quarter, half = c // 4, c // 2
    return {
        "none": (0, 0),
        "cost": (c * c + 4, 2 * c * c + 4 * c),
        "concat": (2 * c * quarter + quarter + quarter * 2 * c + 2 * c, 4 * c * quarter),
        "se_pair": (2 * (c * quarter + quarter + quarter * c + c), 4 * c * quarter),
        "sk_r2": (c * half + half + half * c + c, 2 * c * half),
        "shared_se_r2": (c * half + half + half * c + c, 4 * c * half),
        "fc_sigmoid": (c * c + c, c * c),
    }[structure]
