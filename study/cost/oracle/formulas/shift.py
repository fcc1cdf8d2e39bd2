"""Shifts, which cost nothing, and gate-shift-fuse."""

from __future__ import annotations

from study.cost.oracle.dispatch import conv_cost, residual_cost
from study.cost.oracle.geometry import Conv, Cost, Residual
from study.spec.blocks.shift import GSFBlock, STSMBlock, TSMBlock, TSMInPlaceBlock

GATE_TAPS = 27
FUSION_TAPS = 2 * 9


@conv_cost.register
def _tsm(block: TSMBlock, conv: Conv, frames: int) -> Cost:
    return conv.plain_cost(frames)


@conv_cost.register
def _stsm(block: STSMBlock, conv: Conv, frames: int) -> Cost:
    return conv.plain_cost(frames)


@residual_cost.register
def _tsm_in_place(block: TSMInPlaceBlock, residual: Residual, frames: int) -> Cost:
    return residual.plain_cost(frames)


@residual_cost.register
def _gsf(block: GSFBlock, residual: Residual, frames: int) -> Cost:
    """A 3x3x3 gate on each half of the F gated channels, and for each a 3x3 on 2 planes of F/2 x T.

    Parameters: BatchNorm, weights and bias of two gates, weights and bias of two fusions.
    """
    gated = int(residual.outputs * block.fraction)
    params, macs = residual.plain_cost(frames)
    params += 2 * gated + GATE_TAPS * gated + 2 + 2 * (FUSION_TAPS + 1)
    macs += GATE_TAPS * gated * residual.pixels * frames + FUSION_TAPS * gated * frames
    return params, macs
