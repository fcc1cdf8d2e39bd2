"""Parameters and multiply-accumulates in closed form: arithmetic on the geometry of layers, no torch.

This is the third opinion beside fvcore and torch's own counter. It shares no code with the networks: the
shapes of the backbones and the formulas of the blocks are written down here again, from the papers. Counted
are the operators as defined, with zero padding counted as work, as the other counters do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch

from study.errors import ModelError, suggest
from study.spec.blocks import BlockSpec, Conv2dBlock, STHBlock, TwoPlusOneBlock
from study.spec.model import ModelSpec

TEMPORAL_KERNEL = 3


@dataclass(frozen=True)
class LayerCost:
    """One module of a network, by its qualified name, with everything inside it.

    Attributes:
        name: qualified name in the recognizer.
        params: trainable parameters.
        macs: multiply-accumulates of convolutions and matrix products for one view.
    """

    name: str
    params: int
    macs: int


@dataclass(frozen=True)
class Conv:
    """A 2D convolution without bias, followed by BatchNorm.

    Attributes:
        name: qualified name in the backbone.
        norm: qualified name of the BatchNorm.
        inputs: C_i.
        outputs: C_o.
        kernel: k, for k x k.
        pixels: output pixels of a frame.
        stage: of the backbone, from 1; 0 for the stem.
        site: whether a block can fill it.
    """

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    pixels: int
    stage: int
    site: bool


@dataclass(frozen=True)
class ResNetShape:
    """What tells one ResNet from another.

    Attributes:
        depths: residual blocks of each stage.
        widths: channels of the 3x3 convolutions of each stage.
        bottleneck: 1x1, 3x3, 1x1 to four times the width; else two 3x3.
        stem: kernel of the first convolution; its stride is 2.
        pool: whether a 3x3 max-pool of stride 2 follows.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    bottleneck: bool = False
    stem: int = 7
    pool: bool = True

    @property
    def expansion(self) -> int:
        """Channels a residual block puts out, in units of its width."""
        return 4 if self.bottleneck else 1


RESNETS: dict[str, ResNetShape] = {
    "resnet_tiny": ResNetShape((2, 2, 2), widths=(16, 32, 64), stem=3, pool=False),
    "resnet18": ResNetShape((2, 2, 2, 2)),
    "resnet34": ResNetShape((3, 4, 6, 3)),
    "resnet50": ResNetShape((3, 4, 6, 3), bottleneck=True),
    "resnet101": ResNetShape((3, 4, 23, 3), bottleneck=True),
}


def derive_layers(
    model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
) -> list[LayerCost]:
    """Every module with parameters, for one view of ``frames`` frames of ``size`` x ``size`` pixels.

    Raises:
        ModelError: for a backbone or a block without a formula.
    """
    if model.backbone not in RESNETS:
        raise ModelError(
            f"no closed form for backbone '{model.backbone}'; {suggest(model.backbone, RESNETS)}"
        )
    shape = RESNETS[model.backbone]
    convs = list(_resnet_convs(shape, size, in_channels))
    chosen = _fill(convs, model)
    layers = []
    for conv in convs:
        block = model.block if conv.name in chosen else Conv2dBlock(type="conv2d")
        params, macs = block_cost(block, conv, frames)
        layers.append(LayerCost(f"backbone.{conv.name}", params, macs))
        layers.append(LayerCost(f"backbone.{conv.norm}", 2 * conv.outputs, 0))
    features = shape.widths[-1] * shape.expansion
    layers.append(LayerCost("classifier", (features + 1) * num_classes, features * num_classes * frames))
    return layers


def derive_total(model: ModelSpec, *, num_classes: int, frames: int, size: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one view, summed over :func:`derive_layers`."""
    layers = derive_layers(model, num_classes=num_classes, frames=frames, size=size)
    return sum(layer.params for layer in layers), sum(layer.macs for layer in layers)


def _fill(convs: list[Conv], model: ModelSpec) -> set[str]:
    """Names of the convolutions that the placement gives to the block."""
    stages = model.placement.stages
    sites = [conv.name for conv in convs if conv.site and (stages is None or conv.stage in stages)]
    return set(sites[:: model.placement.every])


def _resnet_convs(shape: ResNetShape, size: int, in_channels: int) -> Iterator[Conv]:
    """The convolutions of a ResNet (v1.5), in order."""
    size = _halve(size)
    yield Conv("conv1", "bn1", in_channels, shape.widths[0], shape.stem, size**2, 0, site=False)
    if shape.pool:
        size = _halve(size)
    inputs = shape.widths[0]
    for stage, (depth, width) in enumerate(zip(shape.depths, shape.widths, strict=True), start=1):
        for number in range(depth):
            before = size
            if stage > 1 and number == 0:
                size = _halve(size)
            name = f"layer{stage}.{number}"
            outputs = width * shape.expansion
            if shape.bottleneck:
                kernels = [(inputs, width, 1, before), (width, width, 3, size), (width, outputs, 1, size)]
            else:
                kernels = [(inputs, width, 3, size), (width, width, 3, size)]
            for order, (c_i, c_o, kernel, side) in enumerate(kernels, start=1):
                names = f"{name}.conv{order}", f"{name}.bn{order}"
                yield Conv(*names, c_i, c_o, kernel, side**2, stage, site=kernel > 1)
            if number == 0 and (stage > 1 or inputs != outputs):
                names = f"{name}.downsample.0", f"{name}.downsample.1"
                yield Conv(*names, inputs, outputs, 1, size**2, stage, site=False)
            inputs = outputs


def _halve(size: int) -> int:
    """Output size of any layer of stride 2 with an odd kernel k, padded by k // 2."""
    return (size + 1) // 2


@singledispatch
def block_cost(block: BlockSpec, conv: Conv, frames: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates of ``block`` in the place of ``conv``, for ``frames`` frames.

    Raises:
        ModelError: for a block without a formula.
    """
    raise ModelError(f"no closed form for the cost of {type(block).__name__}")


@block_cost.register
def _conv2d(block: Conv2dBlock, conv: Conv, frames: int) -> tuple[int, int]:
    params = conv.inputs * conv.outputs * conv.kernel**2
    return params, params * conv.pixels * frames


@block_cost.register
def _two_plus_one(block: TwoPlusOneBlock, conv: Conv, frames: int) -> tuple[int, int]:
    inputs = conv.outputs if block.order == "sequential" else conv.inputs
    params = conv.outputs * (conv.inputs * conv.kernel**2 + inputs * TEMPORAL_KERNEL)
    return params, params * conv.pixels * frames


@block_cost.register
def _sth(block: STHBlock, conv: Conv, frames: int) -> tuple[int, int]:
    """All arrangements keep C_i C_o ((1 - p) k^2 + 3 p) weights, each used once for an output pixel."""
    kernels = (1 - block.p) * conv.kernel**2 + block.p * TEMPORAL_KERNEL
    params = int(conv.inputs * conv.outputs * kernels)
    macs = params * conv.pixels * frames
    extra_params, extra_macs = _attention(block.attention, conv.outputs)
    return params + extra_params, macs + extra_macs


def _attention(structure: str, c: int) -> tuple[int, int]:
    """Parameters, and multiply-accumulates for one clip, of an attention on ``c`` channels.

    Weights and biases of each layer; a layer that both parts share runs twice.
    """
    quarter, half = c // 4, c // 2
    return {
        "none": (0, 0),
        "cost": (c * c + 4, 2 * c * c + 4 * c),
        "concat": (2 * c * quarter + quarter + quarter * 2 * c + 2 * c, 4 * c * quarter),
        "se_pair": (2 * (c * quarter + quarter + quarter * c + c), 4 * c * quarter),
        "sk_r2": (c * half + half + half * c + c, 2 * c * half),
        "shared_se_r2": (c * half + half + half * c + c, 4 * c * half),
        "fc_sigmoid": (c * c + c, c * c),
    }[structure]
