"""Options of the blocks that put temporal kernels, temporal branches or differences into a 2D network."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from study.spec.blocks.base import BlockSpec, SiteKind

Inflation = Literal["mean", "center", "random"]
"""How 3D kernels start. ``mean``: the 2D kernel in every tap, divided by their number, which gives what the
image gave on a video of equal frames. ``center``: the 2D kernel in the middle tap, zeros elsewhere, which gives
what the 2D network gives. ``random``: no 2D kernel is taken over."""


class TAMBlock(BlockSpec):
    """Temporal adaptive module on the input of the k x k convolution.

    Liu et al., "TAM: Temporal Adaptive Module for Video Recognition", ICCV 2021, section 3.
    """

    factory: ClassVar[str] = "study.models.blocks.tam:build_tam"

    type: Literal["tam"]


class Conv3dBlock(BlockSpec):
    """A full 3 x k x k convolution in the place of the k x k one (C3D, I3D).

    Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, section 2.4.
    """

    factory: ClassVar[str] = "study.models.blocks.inflated:build_conv3d"

    type: Literal["conv3d"]
    inflation: Inflation = "mean"
    """How its kernels start."""


class I3DBlock(BlockSpec):
    """The first convolution of the residual branch grows in time: 3x1x1 in a bottleneck (I3D-ResNet).

    Wang et al., "Non-local Neural Networks", CVPR 2018, section 4 and Table 1.
    """

    factory: ClassVar[str] = "study.models.blocks.inflated:build_i3d"
    site: ClassVar[SiteKind | None] = "residual_input"

    type: Literal["i3d"]
    pattern: Literal["alternate", "all"] = "alternate"
    """Which sites grow. ``alternate``: all of stage 1, every second of stages 2 and 3 from the first on, every
    second of later stages from the second on; in ResNet-50 these are (1,1,1), (1,0,1,0), (1,0,1,0,1,0) and
    (0,1,0), the authors' pattern. Sites count among those that the placement fills."""
    inflation: Inflation = "mean"
    """How its kernels start."""


class P3DBlock(BlockSpec):
    """Pseudo-3D unit: 1x3x3 and 3x1x1 convolutions, each with BatchNorm and ReLU (P3D).

    Qiu, Yao and Mei, "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017,
    section 3 and Figure 3.
    """

    factory: ClassVar[str] = "study.models.blocks.p3d:build_p3d"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["p3d"]
    variants: Annotated[tuple[Literal["A", "B", "C"], ...], Field(min_length=1)] = ("A", "B", "C")
    """Connections of the two convolutions, one a block, taken in turn. ``A``: in sequence. ``B``: in parallel,
    summed. ``C``: in sequence, with the spatial output added to the temporal one."""


class MFNetBlock(BlockSpec):
    """Motion block after a residual block: differences to the next frame, displaced in fixed directions.

    Lee et al., "Motion Feature Network: Fixed Motion Filter for Action Recognition", ECCV 2018. The details
    are recalled, not read: the recipe is not verified.
    """

    factory: ClassVar[str] = "study.models.blocks.mfnet:build_mfnet"
    site: ClassVar[SiteKind | None] = "residual_block"

    type: Literal["mfnet"]
    sites: Literal["stage_ends", "all"] = "stage_ends"
    """After the last residual block of each stage that the placement fills, or after each."""
    reduction: Annotated[int, Field(ge=1)] = 16
    """Channels of the residual block for one channel of the differences."""
