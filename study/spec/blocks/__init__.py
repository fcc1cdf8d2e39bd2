"""The options of every block: the operators under study, as a user writes them in an experiment.

A block is registered by its options class: ``type`` is its name in YAML and ``factory`` says where its module
lives, which is imported only when a model is built. To add one, write its options, add them to ``AnyBlock``,
and write its module below :mod:`study.models.blocks`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from study.spec.blocks.base import BlockSpec, SiteKind
from study.spec.blocks.controls import Conv2dBlock, NoBlock, TwoPlusOneBlock
from study.spec.blocks.cost_conv import CoSTBlock
from study.spec.blocks.motion import ABMBlock, STMBlock, TDMBlock
from study.spec.blocks.nonlocal_ import NonLocalBlock
from study.spec.blocks.shift import GSFBlock, STSMBlock, TSMBlock, TSMInPlaceBlock
from study.spec.blocks.sth import STHBlock
from study.spec.blocks.temporal import Conv3dBlock, I3DBlock, MFNetBlock, P3DBlock, TAMBlock

__all__ = [
    "ABMBlock",
    "AnyBlock",
    "BlockSpec",
    "CoSTBlock",
    "Conv2dBlock",
    "Conv3dBlock",
    "GSFBlock",
    "I3DBlock",
    "MFNetBlock",
    "NoBlock",
    "NonLocalBlock",
    "P3DBlock",
    "STHBlock",
    "STMBlock",
    "STSMBlock",
    "SiteKind",
    "TAMBlock",
    "TDMBlock",
    "TSMBlock",
    "TSMInPlaceBlock",
    "TwoPlusOneBlock",
]

AnyBlock = Annotated[
    NoBlock
    | Conv2dBlock
    | STHBlock
    | TwoPlusOneBlock
    | CoSTBlock
    | STMBlock
    | ABMBlock
    | TDMBlock
    | NonLocalBlock
    | TSMBlock
    | TSMInPlaceBlock
    | STSMBlock
    | GSFBlock
    | TAMBlock
    | Conv3dBlock
    | I3DBlock
    | P3DBlock
    | MFNetBlock,
    Field(discriminator="type"),
]
"""Any registered block; ``type`` chooses."""
