"""Options of the CoST operation."""

from __future__ import annotations

from typing import ClassVar, Literal

from study.spec.blocks.base import BlockSpec


class CoSTBlock(BlockSpec):
    """CoST: one kernel for three views of a clip.

    Li et al., "Collaborative Spatiotemporal Feature Learning for Video Action Recognition", CVPR 2019. Every
    second 3x3 is replaced. The pattern of the authors' code for ResNet-50, by bottleneck (0,1,0), (1,0,1,0),
    (1,0,1,0,1,0), (1,0,1), is ``placement: {every: 2, offset: 1}``.
    """

    factory: ClassVar[str] = "study.models.blocks.cost_conv:build_cost_conv"

    type: Literal["cost_conv"]
    coefficients: Literal["learned", "predicted"] = "predicted"
    """Weights of the views. ``learned``: parameters, CoST (a). ``predicted``: from the views, CoST (b)."""
