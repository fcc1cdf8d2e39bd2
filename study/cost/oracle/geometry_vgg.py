"""VGG-16 with BatchNorm (Simonyan and Zisserman, ICLR 2015, Table 1, D) as a list of layers."""

from __future__ import annotations

from collections.abc import Iterator

from study.cost.oracle.geometry import Conv, Geometry, Unit
from study.spec.blocks import SiteKind

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of 3x3 convolutions before each 2x2 max-pool."""
HIDDEN = 4096
LAST_SIDE = 7
"""Side of the map that the hidden layers see, whatever the size of a frame."""


def vgg16_bn(size: int, in_channels: int) -> Geometry:
    """The network on frames of ``size`` x ``size`` pixels."""
    return Geometry(tuple(_units(size, in_channels)), HIDDEN)


def _units(size: int, in_channels: int) -> Iterator[Unit]:
    position, inputs = 0, in_channels
    for stage, (outputs, depth) in enumerate(STAGES, start=1):
        for _ in range(depth):
            names = f"features.{position}", f"features.{position + 1}"
            kind: SiteKind | None = "spatial_conv" if position else None
            yield Conv(*names, inputs, outputs, 3, size**2, stage, kind, bias=True)
            position += 3  # convolution, BatchNorm, ReLU
            inputs = outputs
        position += 1  # max-pool
        size //= 2
    for name, width in (("classifier.0", inputs * LAST_SIDE**2), ("classifier.3", HIDDEN)):
        yield Conv(name, "", width, HIDDEN, kernel=1, pixels=1, stage=0, bias=True)
