"""MobileNetV2 (Sandler et al., CVPR 2018, Table 2) as a list of layers."""

from __future__ import annotations

from collections.abc import Iterator

from study.cost.oracle.geometry import Conv, Geometry, Residual, Unit, halve

BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Rows of the table: expansion, channels, repetitions, stride of the first."""
STEM = 32
LAST = 1280


def mobilenet_v2(size: int, in_channels: int) -> Geometry:
    """The network on frames of ``size`` x ``size`` pixels."""
    return Geometry(tuple(_units(size, in_channels)), LAST)


def _units(size: int, in_channels: int) -> Iterator[Unit]:
    size = halve(size)
    yield Conv("features.0.0", "features.0.1", in_channels, STEM, 3, size**2, 0)
    number, stage, inputs = 1, 1, STEM
    for expansion, outputs, repetitions, first_stride in BLOCKS:
        for repetition in range(repetitions):
            stride = first_stride if repetition == 0 else 1
            stage += stride == 2
            after = halve(size) if stride == 2 else size
            name = f"features.{number}"
            convs = tuple(_block(name, stage, (inputs, inputs * expansion, outputs), (size, after)))
            if stride == 1 and inputs == outputs:
                yield Residual(name, stage, convs)
            else:
                yield from convs
            number, inputs, size = number + 1, outputs, after
    yield Conv(f"features.{number}.0", f"features.{number}.1", inputs, LAST, 1, size**2, 0)


def _block(name: str, stage: int, channels: tuple[int, int, int], sides: tuple[int, int]) -> Iterator[Conv]:
    """1x1 that expands (unless it would not), depthwise 3x3, 1x1.

    ``channels``: in, expanded, out; ``sides``: of the maps before and after.
    """
    inputs, width, outputs = channels
    before, after = sides
    at = 0
    if width != inputs:
        yield Conv(f"{name}.conv.0.0", f"{name}.conv.0.1", inputs, width, 1, before**2, stage)
        at = 1
    names = f"{name}.conv.{at}.0", f"{name}.conv.{at}.1"
    yield Conv(*names, width, width, 3, after**2, stage, "spatial_conv", groups=width, source=before**2)
    yield Conv(f"{name}.conv.{at + 1}", f"{name}.conv.{at + 2}", width, outputs, 1, after**2, stage)
