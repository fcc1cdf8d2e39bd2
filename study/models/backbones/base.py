"""What a backbone tells the rest of the package about itself.

A block can fill three kinds of positions:

``spatial_conv``
    a k x k convolution (k > 1) of the network's body, replaced by the block (STH, (2+1)D, ...);
``residual_input``
    the first layer of a residual branch, replaced by the block wrapped around it (temporal shift);
``residual_block``
    a whole residual block, replaced by a module that does what it did and more (STM, non-local, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from study.spec.blocks import SiteKind


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
    """A network without its classifier.

    Attributes:
        module: maps frames (N*T, C, H, W) to features (N*T, F) or, where ``whole_clips`` is set, clips
            (N, C, T, H, W) to features (N, F).
        features: F, the size of its output.
        positions: what a block can fill, in the order of the forward pass.
        classifier_keys: names of the classifier's weight and bias in state dicts of the whole network.
        whole_clips: whether it sees clips (I3D, ECO, ...) rather than frame by frame.
    """

    module: nn.Module
    features: int
    positions: tuple[Position, ...]
    classifier_keys: tuple[str, ...]
    whole_clips: bool = False


BackboneBuilder = Callable[[int, int], Backbone]
"""``build(in_channels, frames) -> Backbone``, with T = ``frames``. It is called on the meta device: initial
weights are set afterwards. Raises ModelError for a T that the network cannot take."""
