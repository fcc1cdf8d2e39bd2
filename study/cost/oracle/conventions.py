"""One network, several costs: what papers print as FLOPs.

Most count a multiply-accumulate as one operation, some as two, some add BatchNorm, ReLU and pooling, and ResNets are
counted with the stride in the first 1x1 (as first published) or in the 3x3 convolution (as torchvision has it).
"""

from __future__ import annotations

from collections.abc import Mapping

from study.cost.oracle.geometries import GEOMETRIES
from study.cost.oracle.geometry import Conv, Residual, Unit
from study.spec.blocks import STHBlock
from study.spec.model import ModelSpec

MACS = "MACs"
WITH_ELEMENTWISE = "MACs + BatchNorm, ReLU, pooling"
DOUBLED = "2 x MACs"
FIRST_STRIDE = "MACs, stride in the first 1x1 (ResNet v1)"


def derive_conventions(
    model: ModelSpec, macs: int, *, frames: int, size: int, in_channels: int
) -> Mapping[str, int]:
    """What one view of a network "costs" by each convention that the field prints under the name FLOPs.

    Those that need the layers one by one are given for ResNets, and are the backbone's share, without what a block
    adds beyond the pooling of an attention.

    Args:
        model: the network; it has a closed form.
        macs: its multiply-accumulates for one view.
        frames: frames of a clip.
        size: height and width of a crop, pixels.
        in_channels: channels of a frame.

    Returns:
        Operations by name of the convention, :data:`MACS` among them.
    """
    plain = {MACS: macs, DOUBLED: 2 * macs}
    if not model.backbone.startswith("resnet"):
        return plain
    images = frames // model.stack
    units = GEOMETRIES[model.backbone](size, in_channels * model.stack).units
    blocks = [unit for unit in units if isinstance(unit, Residual)]
    elementwise = _count_elementwise(units)
    if isinstance(model.block, STHBlock) and model.block.attention != "none":
        # The spatial and the temporal part are each pooled.
        elementwise += 2 * sum(_elements(c) for block in blocks for c in block.branch if c.kind)
    variants = plain | {WITH_ELEMENTWISE: macs + images * elementwise}
    if all(len(block.branch) == 3 for block in blocks):
        variants[FIRST_STRIDE] = macs - images * _count_first_stride(blocks)
    return variants


def _count_elementwise(units: tuple[Unit, ...]) -> int:
    """Operations of a frame: 2 an element for BatchNorm, 1 for ReLU, 1 an input element for pooling."""
    total = 0
    for unit in units:
        convs = unit.convs if isinstance(unit, Residual) else (unit,)
        rectified = unit.branch if isinstance(unit, Residual) else convs
        total += 2 * sum(map(_elements, convs)) + sum(map(_elements, rectified))
    first, last = units[0], units[-1]
    return total + (_elements(first) if isinstance(first, Conv) else 0) + last.outputs * last.pixels


def _elements(conv: Conv) -> int:
    return conv.outputs * conv.pixels


def _count_first_stride(blocks: list[Residual]) -> int:
    """Multiply-accumulates of a frame that a stride in the first 1x1 instead of the 3x3 saves."""
    first = [block.branch[0] for block in blocks]
    after = [block.pixels for block in blocks]
    return sum(c.inputs * c.outputs * (c.pixels - pixels) for c, pixels in zip(first, after, strict=True))
