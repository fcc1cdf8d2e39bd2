"""Options of the blocks that look at motion: differences and products of neighboring frames.

All of them replace a whole residual block, whose layers they keep.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from study.spec.blocks.base import BlockSpec, SiteKind


class STMBlock(BlockSpec):
    """STM: channel-wise spatio-temporal and motion modules, side by side (Jiang et al., ICCV 2019)."""

    factory: ClassVar[str] = "study.models.blocks.stm:build_stm"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["stm"]
    reduction: Annotated[int, Field(ge=1)] = 16
    """Channels of the motion module are the block's, divided by this."""


class ABMBlock(BlockSpec):
    """ABM-C-in: the product of two 3x3x3 convolutions.

    Zhu et al., "Approximated Bilinear Modules for Temporal Modeling", ICCV 2019. Residual blocks with a
    projection shortcut stay 2D, and the authors leave out the first stage (``placement: {stages: [2, 3,
    4]}``). They stack three frames to one image (``stack: 3`` of the model).
    """

    factory: ClassVar[str] = "study.models.blocks.abm:build_abm"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["abm_c_in"]


class TDMBlock(BlockSpec):
    """Long-term temporal difference module of TDN and its channel-wise temporal convolution.

    Wang et al., "TDN: Temporal Difference Networks for Efficient Action Recognition", CVPR 2021. The backbone
    ``tdn_resnet50`` is the whole of TDN; here is this part alone, for any residual backbone.
    """

    factory: ClassVar[str] = "study.models.blocks.tdm:build_tdm"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["tdm"]
    reduction: Annotated[int, Field(ge=1)] = 16
    """Channels in which differences are taken are the block's, divided by this."""
