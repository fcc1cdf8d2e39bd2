"""BN-Inception (Ioffe and Szegedy, ICML 2015, Figure 5; channels of the Caffe model) as a list of layers."""

from __future__ import annotations

from collections.abc import Iterator

from study.cost.oracle.geometry import Conv, Geometry, Unit, halve
from study.spec.blocks import SiteKind

MODULES = """
3a  64  64  64  64  96  32
3b  64  64  96  64  96  64
3c   0 128 160  64  96   0
4a 224  64  96  96 128 128
4b 192  96 128  96 128 128
4c 160 128 160 128 160 128
4d  96 128 192 160 192 128
4e   0 128 192 192 256   0
5a 352 192 320 160 224 128
5b 352 192 320 192 224 128
"""
"""Name; outputs of the 1x1; of the reduction and the 3x3; of the reduction and both 3x3; of the 1x1 after the
pool. Modules without the latter halve the resolution and pass the pooled input on."""
LAST = 1024


def bn_inception(size: int, in_channels: int) -> Geometry:
    """The network on frames of ``size`` x ``size`` pixels."""
    return Geometry(tuple(_units(size, in_channels)), LAST)


def _units(size: int, in_channels: int) -> Iterator[Unit]:
    size = halve(size)
    yield _conv("conv1_7x7_s2", in_channels, 64, 7, size)
    size //= 2
    yield _conv("conv2_3x3_reduce", 64, 64, 1, size)
    yield _conv("conv2_3x3", 64, 192, 3, size)
    size //= 2
    inputs, stage = 192, 1
    for row in MODULES.strip().splitlines():
        name, *channels = row.split()
        single, reduce, triple, reduce_double, double, project = map(int, channels)
        stage += not project
        after = size if project else size // 2
        prefix = f"inception_{name}"
        if single:
            yield _conv(f"{prefix}_1x1", inputs, single, 1, size)
        yield _conv(f"{prefix}_3x3_reduce", inputs, reduce, 1, size)
        yield _conv(f"{prefix}_3x3", reduce, triple, 3, after, stage, size)
        yield _conv(f"{prefix}_double_3x3_reduce", inputs, reduce_double, 1, size)
        yield _conv(f"{prefix}_double_3x3_1", reduce_double, double, 3, size, stage)
        yield _conv(f"{prefix}_double_3x3_2", double, double, 3, after, stage, size)
        if project:
            yield _conv(f"{prefix}_pool_proj", inputs, project, 1, size)
        inputs, size = single + triple + double + (project or inputs), after


def _conv(
    name: str, inputs: int, outputs: int, kernel: int, side: int, stage: int = 0, before: int | None = None
) -> Conv:
    """A layer; it is a position where it has a stage. ``before``: side of its input, where it is another."""
    kind: SiteKind | None = "spatial_conv" if stage else None
    return Conv(
        name,
        f"{name}_bn",
        inputs,
        outputs,
        kernel,
        side**2,
        stage,
        kind,
        bias=True,
        source=(before or side) ** 2,
    )
