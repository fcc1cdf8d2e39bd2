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
from study.spec.blocks.sth import STHBlock

__all__ = ["AnyBlock", "BlockSpec", "Conv2dBlock", "NoBlock", "STHBlock", "SiteKind", "TwoPlusOneBlock"]

AnyBlock = Annotated[NoBlock | Conv2dBlock | STHBlock | TwoPlusOneBlock, Field(discriminator="type")]
"""Any registered block; ``type`` chooses."""
