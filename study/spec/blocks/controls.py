"""Options of the convolutions that STH is compared with in its own tables."""

from __future__ import annotations

from typing import ClassVar, Literal

from study.spec.blocks.base import BlockSpec, SiteKind


class NoBlock(BlockSpec):
    """Nothing is placed: the backbone is a network of its own (I3D, ECO, ...)."""

    factory: ClassVar[str] = ""
    site: ClassVar[SiteKind | None] = None

    type: Literal["none"]


class Conv2dBlock(BlockSpec):
    """The plain 2D convolution, frame by frame: TSN, the baseline (p = 0)."""

    factory: ClassVar[str] = "study.models.blocks.conv2d:build_conv2d"
    orderless: ClassVar[bool] = True

    type: Literal["conv2d"]


class TwoPlusOneBlock(BlockSpec):
    """(2+1)D controls of STH's Table 7: a 1x3x3 and a 3x1x1 convolution, in sequence or in parallel."""

    factory: ClassVar[str] = "study.models.blocks.two_plus_one:build_two_plus_one"

    type: Literal["two_plus_one"]
    order: Literal["sequential", "parallel"]
    """``sequential``: 1x3x3, then 3x1x1 on its output. ``parallel``: both on the input, summed."""
