"""Options of non-local blocks."""

from __future__ import annotations

from typing import ClassVar, Literal

from study.spec.blocks.base import BlockSpec, SiteKind


class NonLocalBlock(BlockSpec):
    """Attention over all pixels of a clip, after a residual block.

    Wang et al., "Non-local Neural Networks", CVPR 2018, embedded Gaussian. The five blocks of the paper in a
    ResNet-50: ``placement: {stages: [2, 3], every: 2, offset: 1}``. It knows no order: frames that are
    shuffled come out shuffled.
    """

    factory: ClassVar[str] = "study.models.blocks.nonlocal_:build_nonlocal"
    site: ClassVar[SiteKind | None] = "residual_block"
    orderless: ClassVar[bool] = True

    type: Literal["nonlocal"]
    zero_gamma: bool = True
    """Whether the last BatchNorm starts at zero, so that the network starts as it was without the block."""
