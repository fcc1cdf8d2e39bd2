"""A model: a backbone, a block, where the block goes, and how the weights start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from study.spec.base import LATER, Spec
from study.spec.blocks import AnyBlock, Conv2dBlock

BackboneName = Literal[
    "resnet_tiny",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "vgg16_bn",
    "mobilenet_v2",
    "bn_inception",
    "i3d_resnet50",
    "i3d_resnet50_k400",
    "i3d_inception",
    "s3d",
    "s3d_g",
    "r2plus1d_34",
    "ip_csn_50",
    "ir_csn_50",
    "c3d",
    "p3d_199",
    "eco_full",
    "eco_lite",
    "artnet18",
    "stnet50",
    "stnet101",
    "tdn_resnet50",
]


class PlacementSpec(Spec):
    """Which of a backbone's sites the block fills. No site filled is an error."""

    stages: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Stages (1-based) to fill; all when absent."""
    every: Annotated[int, Field(ge=1)] = 1
    """Fill every n-th site of those stages, counted through the network."""
    offset: Annotated[int, Field(ge=0)] = 0
    """How many sites of those stages come before the first that is filled."""


class OnTopSpec(Spec):
    """A second block, placed after the first: non-local blocks on top of TSM, for example."""

    block: AnyBlock
    """The block."""
    placement: PlacementSpec = PlacementSpec()
    """Where it goes."""


class InitSpec(Spec):
    """Initial weights of the backbone."""

    weights: Literal["random", "imagenet"] | Path = "random"
    """``random``; ``imagenet``: torchvision's, from its local cache; or a state dict's file."""
    allow_random: tuple[str, ...] = ()
    """Name patterns (``fnmatch``) of parameters that may stay random although weights are loaded. The
    classifier and what a block declares as new are always allowed; anything else is an error."""
    new_classifier: Annotated[bool, LATER] = False
    """Draw the classifier anew even where the file's has as many classes. Weights of another trial are always
    taken so."""


class ModelSpec(Spec):
    """A network that maps clips (N, C, T, H, W) to class scores (N, K)."""

    backbone: BackboneName = "resnet50"
    """The 2D network, applied frame by frame."""
    block: AnyBlock = Conv2dBlock(type="conv2d")
    """The operator under study."""
    placement: PlacementSpec = PlacementSpec()
    """Where the block goes."""
    on_top: OnTopSpec | None = None
    """A second block and its place."""
    consensus: Literal["avg", "trn"] = "avg"
    """From frames to scores by clip. ``avg``: the mean of the frames' scores (TSN). ``trn``: TRN's multi-scale
    relations between frames."""
    stack: Annotated[int, Field(ge=1)] = 1
    """Consecutive frames that are stacked as the channels of one image (3 in ABM). ``clip.frames`` counts all of
    them, so it is a multiple of this; T is what is left."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout before the classifier. Not stated in the paper; the value is TSM's."""
    init: InitSpec = InitSpec()
    """Initial weights."""
