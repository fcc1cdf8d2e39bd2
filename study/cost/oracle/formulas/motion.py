"""STM, ABM and TDN's module: what they add to the residual block that they are in."""

from __future__ import annotations

from study.cost.oracle.dispatch import residual_cost
from study.cost.oracle.geometry import Conv, Cost, Residual
from study.spec.blocks import ABMBlock, STMBlock, TDMBlock

TEMPORAL_KERNEL = 3


def _core(residual: Residual) -> Conv:
    """The convolution that holds the stride: the 3x3 of a bottleneck, the first 3x3 of a basic block."""
    return residual.branch[len(residual.branch) - 2]


@residual_cost.register
def _stm(block: STMBlock, residual: Residual, frames: int) -> Cost:
    """A depthwise 3x1x1; 1x1 to C/r, BatchNorm, depthwise 3x3, 1x1 to C_o; all before the stride."""
    core = _core(residual)
    c = core.inputs
    reduced = max(1, c // block.reduction)
    weights = TEMPORAL_KERNEL * c + c * reduced + 9 * reduced + reduced * core.outputs
    params, macs = residual.plain_cost(frames)
    return params + weights + 2 * reduced, macs + weights * core.input_pixels * frames


@residual_cost.register
def _abm(block: ABMBlock, residual: Residual, frames: int) -> Cost:
    """Two 3x3x3 convolutions, one with bias, in the place of a 3x3; nothing beside a projection shortcut."""
    params, macs = residual.plain_cost(frames)
    if len(residual.convs) > len(residual.branch):
        return params, macs
    core = _core(residual)
    before, after = core.inputs * core.outputs * 9, core.inputs * core.outputs * 2 * 27
    return params + after - before + core.outputs, macs + (after - before) * core.pixels * frames


@residual_cost.register
def _tdm(block: TDMBlock, residual: Residual, frames: int) -> Cost:
    """1x1 to C/r, depthwise 3x3; twice (ahead, back) a 3x3, a 3x3 at half the resolution and a 1x1; 3x1x1."""
    first = residual.branch[0]
    c = first.outputs
    reduced = max(1, c // block.reduction)
    half = max(1, round(first.pixels**0.5) // 2) ** 2
    once = c * reduced + 9 * reduced + TEMPORAL_KERNEL * c
    square, expand = 9 * reduced**2, reduced * c
    norms = 2 * (3 * reduced + c)
    params, macs = residual.plain_cost(frames)
    added = once * first.pixels + 2 * (square * (first.pixels + half) + expand * first.pixels)
    return params + once + 2 * square + expand + norms, macs + added * frames
