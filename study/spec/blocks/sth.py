"""Options of STH-Conv."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from study.spec.base import Proportion
from study.spec.blocks.base import BlockSpec


class STHBlock(BlockSpec):
    """Spatio-Temporal Hybrid convolution (STH, section 3.2, Eq. 2 and 3, Figures 2 to 4)."""

    factory: ClassVar[str] = "study.models.blocks.sth:build_sth"

    type: Literal["sth"]
    p: Proportion = Fraction(1, 4)
    """Proportion of temporal kernels; 1/p must divide the channels. 0 is the plain 2D convolution."""
    arrangement: Literal["hybrid", "merge_out", "merge_in"] = "hybrid"
    """Where the temporal kernels sit. ``hybrid`` (Fig. 3a) shifts the temporal slice of the input channels
    from one group of output channels to the next. ``merge_out`` and ``merge_in`` are the two readings of
    Fig. 3b: a fraction p of the output channels is temporal over all inputs, or every output channel is
    temporal over the same first fraction p of the input channels."""
    attention: Literal["none", "cost", "concat", "se_pair", "sk_r2", "shared_se_r2", "fc_sigmoid"] = "none"
    """How the two parts are weighted (Eq. 3). Fig. 4 is not readable in the text we have; these are the
    structures whose parameter count fits the published 23.2 M. ``cost`` follows CoST (b)."""
    attention_pool: Literal["avg", "max"] = "avg"
    """Global pooling over time and space that feeds the attention."""
    dilation: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1)] = (1,)
    """Dilation rates, one a layer, taken in turn: ``[1]`` is the fixed, ``[1, 2, 3]`` the dilated type."""
    dilation_axes: Literal["both", "temporal", "spatial"] = "both"
    """Which kernels are dilated; the text of section 4.5 reads as both."""
    dilation_cycle: Literal["global", "per_stage"] = "global"
    """Whether the turn of dilation rates runs through the whole network or restarts at each stage."""
    temporal_init: Literal["kaiming", "zero"] = "kaiming"
    """Initial temporal kernels; the paper says random and no more. ``zero`` starts as a pruned 2D network."""

    @model_validator(mode="after")
    def _check(self) -> STHBlock:
        if not (self.p == 0 or (self.p.numerator == 1 and self.p.denominator >= 2)):
            raise ValueError(f"p must be 0 or 1/n with n >= 2 (1/8, 1/4, 1/2, ...), got {self.p}")
        if self.attention != "none" and self.arrangement == "merge_out":
            raise ValueError(
                "attention needs a spatial and a temporal part in every output channel; "
                "arrangement 'merge_out' has none (allowed: hybrid, merge_in)"
            )
        if self.attention != "none" and self.p == 0:
            raise ValueError("attention needs a temporal part, but p is 0")
        return self
