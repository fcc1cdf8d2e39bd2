"""Where each block's formula is looked up. The formulas are in :mod:`study.cost.oracle.formulas`."""

from __future__ import annotations

from functools import singledispatch

from study.cost.oracle.geometry import Conv, Cost, Residual
from study.errors import ModelError
from study.spec.blocks import BlockSpec


@singledispatch
def conv_cost(block: BlockSpec, conv: Conv, frames: int) -> Cost:
    """Cost of ``block`` in the place of ``conv``, for ``frames`` frames.

    For a block of kind ``spatial_conv`` it is what replaces the convolution; for one of kind
    ``residual_input`` it is the convolution with what is wrapped around it.

    Raises:
        ModelError: for a block without a formula.
    """
    raise ModelError(f"no closed form for the cost of {type(block).__name__} in the place of a convolution")


@singledispatch
def residual_cost(block: BlockSpec, residual: Residual, frames: int) -> Cost:
    """Cost of ``block`` in the place of a whole residual block, what stays of that block included.

    Raises:
        ModelError: for a block without a formula.
    """
    raise ModelError(
        f"no closed form for the cost of {type(block).__name__} in the place of a residual block"
    )
