"""The base of all blocks' options."""

from __future__ import annotations

from typing import ClassVar, Literal

from study.spec.base import Spec

SiteKind = Literal["spatial_conv", "residual_input", "residual_block"]
"""Kinds of positions that a block can fill; :mod:`study.models.backbones.base` says what each is."""


class BlockSpec(Spec):
    """Base of the options of a block."""

    factory: ClassVar[str]
    """Where the module lives, as "package.module:attribute"."""
    site: ClassVar[SiteKind | None] = "spatial_conv"
    """Which kind of position the block fills; None for no block at all."""
    type: str
    """Name of the block in YAML; each block narrows it to its own."""
    orderless: ClassVar[bool] = False
    """Whether shuffling the frames of a clip leaves the block's output unchanged up to that shuffle."""
