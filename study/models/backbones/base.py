"""What a backbone tells the rest of the package about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

SiteKind = Literal["spatial_conv", "residual_input", "residual_block"]
"""Kinds of positions a block can fill:

``spatial_conv``
    a k x k convolution (k > 1) of the network's body, replaced by the block (STH, (2+1)D, ...);
``residual_input``
    the first layer of a residual branch, replaced by the block wrapped around it (temporal shift);
``residual_block``
    a whole residual block, replaced or followed by the block (non-local, STM, ...).
"""


@dataclass(frozen=True)
class Position:
    """A place of a backbone that a block can fill: the submodule ``name``, which the block replaces.

    Attributes:
        kind: what stands there.
        name: qualified name of the submodule in the backbone ("layer1.0.conv2").
        stage: stage of the backbone, from 1; a stage ends where the resolution is halved.
    """

    kind: SiteKind
    name: str
    stage: int


@dataclass(frozen=True)
class Backbone:
    """A 2D network that maps frames (N*T, C, H, W) to features (N*T, F).

    Attributes:
        module: the network, without its classifier.
        features: F, the size of its output.
        positions: what a block can fill, in the order of the forward pass.
        classifier_keys: names of the classifier's weight and bias in state dicts of the whole 2D network.
    """

    module: nn.Module
    features: int
    positions: tuple[Position, ...]
    classifier_keys: tuple[str, ...]


BackboneBuilder = Callable[[int], Backbone]
"""``build(in_channels) -> Backbone``. It is called on the meta device: initial weights are set afterwards."""
