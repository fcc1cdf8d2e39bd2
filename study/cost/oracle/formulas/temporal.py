"""Temporal adaptive modules, kernels that grow in time, pseudo-3D units and motion blocks."""

from __future__ import annotations

from study.cost.oracle.dispatch import conv_cost, residual_cost
from study.cost.oracle.geometry import Conv, Cost, Residual
from study.spec.blocks.temporal import Conv3dBlock, I3DBlock, MFNetBlock, P3DBlock, TAMBlock

TEMPORAL_KERNEL = 3
DIRECTIONS = 5
"""Displacements of MFNet's motion filter."""


@conv_cost.register
def _tam(block: TAMBlock, conv: Conv, frames: int) -> Cost:
    """Local branch C -> C/4 (3 taps) -> C on each frame; global branch T -> 2T -> 3 on each channel, which gives
    the 3 weights that convolve each input pixel of the channel. BatchNorm on C/4 and on 2T.
    """
    c, narrow, wide = conv.inputs, conv.inputs // 4, 2 * frames
    local = TEMPORAL_KERNEL * c * narrow + narrow * c
    global_ = frames * wide + wide * TEMPORAL_KERNEL
    aggregation = TEMPORAL_KERNEL * c * conv.input_pixels * frames
    params, macs = conv.plain_cost(frames)
    params += local + global_ + 2 * (narrow + wide)
    return params, macs + local * frames + global_ * c + aggregation


def _grown(conv: Conv, frames: int) -> Cost:
    """The kernel of ``conv``, once for every tap in time; the bias stays."""
    bias = conv.bias * conv.outputs
    params, macs = conv.plain_cost(frames)
    return TEMPORAL_KERNEL * (params - bias) + bias, TEMPORAL_KERNEL * macs


@conv_cost.register
def _conv3d(block: Conv3dBlock, conv: Conv, frames: int) -> Cost:
    return _grown(conv, frames)


@conv_cost.register
def _i3d(block: I3DBlock, conv: Conv, frames: int) -> Cost:
    """In turn: all of stage 1, the even ones of stages 2 and 3, the odd ones from stage 4 on."""
    even = conv.turn.index_in_stage % 2 == 0
    in_turn = conv.stage == 1 or even == (conv.stage < 4)
    return _grown(conv, frames) if block.pattern == "all" or in_turn else conv.plain_cost(frames)


@residual_cost.register
def _p3d(block: P3DBlock, residual: Residual, frames: int) -> Cost:
    """A 3x1x1 and its BatchNorm beside the 3x3 of a bottleneck or the first of a basic block.

    In variant B it sees the input of the 3x3, else its output.
    """
    spatial = next(conv for conv in residual.convs if conv.kernel > 1)
    variant = block.variants[residual.turn.index % len(block.variants)]
    inputs = spatial.inputs if variant == "B" else spatial.outputs
    weights = TEMPORAL_KERNEL * inputs * spatial.outputs
    params, macs = residual.plain_cost(frames)
    return params + weights + 2 * spatial.outputs, macs + weights * spatial.pixels * frames


@residual_cost.register
def _mfnet(block: MFNetBlock, residual: Residual, frames: int) -> Cost:
    """1x1 from C to C/r, 1x1 from 5 C/r to C, BatchNorm, after the residual blocks that have a motion block."""
    params, macs = residual.plain_cost(frames)
    if block.sites == "stage_ends" and not residual.turn.ends_stage:
        return params, macs
    reduced = residual.outputs // block.reduction
    weights = (1 + DIRECTIONS) * reduced * residual.outputs
    return params + weights + 2 * residual.outputs, macs + weights * residual.pixels * frames
