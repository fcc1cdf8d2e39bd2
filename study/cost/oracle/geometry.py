"""The geometry of backbones, written down from the papers: layers, channels, kernels, resolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from study.spec.blocks import SiteKind

Cost = tuple[int, int]
"""Parameters, and multiply-accumulates for one view."""


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
class Turn:
    """Where a position comes among those that a block fills, for blocks that treat them in turn.

    Attributes:
        index: number in the network, from 0.
        index_in_stage: number in the stage, from 0.
        ends_stage: whether it is the last of its stage.
    """

    index: int = 0
    index_in_stage: int = 0
    ends_stage: bool = False


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
        kind: the kind of position that it is for blocks; None where no block goes.
        groups: groups of channels; as many as there are channels for a depthwise convolution.
        bias: whether it has a bias.
        source: input pixels of a frame, where they are not as many as the output's.
        turn: where it comes among the positions that its block fills.
    """

    name: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    pixels: int
    stage: int
    kind: SiteKind | None = None
    groups: int = 1
    bias: bool = False
    source: int | None = None
    turn: Turn = Turn()

    @property
    def input_pixels(self) -> int:
        """Input pixels of a frame."""
        return self.pixels if self.source is None else self.source

    def plain_cost(self, frames: int) -> Cost:
        """What the 2D convolution itself costs."""
        weights = self.inputs // self.groups * self.outputs * self.kernel**2
        return weights + self.bias * self.outputs, weights * self.pixels * frames


@dataclass(frozen=True)
class Residual:
    """A residual block.

    Attributes:
        name: qualified name in the backbone ("layer1.0").
        stage: of the backbone, from 1.
        convs: its convolutions in order, the shortcut's last.
        turn: where it comes among the positions that its block fills.
    """

    name: str
    stage: int
    convs: tuple[Conv, ...]
    turn: Turn = Turn()

    @property
    def outputs(self) -> int:
        """Channels it puts out."""
        return self.branch[-1].outputs

    @property
    def pixels(self) -> int:
        """Output pixels of a frame."""
        return self.branch[-1].pixels

    @property
    def branch(self) -> tuple[Conv, ...]:
        """Its convolutions without the shortcut's."""
        return tuple(conv for conv in self.convs if not conv.name.startswith(f"{self.name}.downsample"))

    def plain_cost(self, frames: int) -> Cost:
        """What the residual block itself costs, with BatchNorm."""
        costs = [conv.plain_cost(frames) for conv in self.convs]
        norms = sum(2 * conv.outputs for conv in self.convs)
        return sum(params for params, _ in costs) + norms, sum(macs for _, macs in costs)


Unit = Conv | Residual
"""A piece of a backbone, in the order of the forward pass."""


@dataclass(frozen=True)
class Geometry:
    """A backbone: its pieces, and the channels it ends with."""

    units: tuple[Unit, ...]
    features: int


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


def _resnet(shape: ResNetShape, size: int, in_channels: int) -> Geometry:
    """A ResNet (v1.5) on frames of ``size`` x ``size`` pixels."""
    return Geometry(tuple(_resnet_units(shape, size, in_channels)), shape.widths[-1] * shape.expansion)


def _resnet_units(shape: ResNetShape, size: int, in_channels: int) -> Iterator[Unit]:
    size = halve(size)
    yield Conv("conv1", "bn1", in_channels, shape.widths[0], shape.stem, size**2, 0)
    if shape.pool:
        size = halve(size)
    inputs = shape.widths[0]
    for stage, (depth, width) in enumerate(zip(shape.depths, shape.widths, strict=True), start=1):
        for number in range(depth):
            before = size
            if stage > 1 and number == 0:
                size = halve(size)
            outputs = width * shape.expansion
            if shape.bottleneck:
                layers = [(inputs, width, 1), (width, width, 3), (width, outputs, 1)]
                sides = [before, before, size, size]
            else:
                layers = [(inputs, width, 3), (width, width, 3)]
                sides = [before, size, size]
            name = f"layer{stage}.{number}"
            convs = [
                Conv(
                    f"{name}.conv{order}",
                    f"{name}.bn{order}",
                    c_i,
                    c_o,
                    kernel,
                    sides[order] ** 2,
                    stage,
                    "spatial_conv" if kernel > 1 else None,
                    source=sides[order - 1] ** 2,
                )
                for order, (c_i, c_o, kernel) in enumerate(layers, start=1)
            ]
            if number == 0 and (stage > 1 or inputs != outputs):
                names = f"{name}.downsample.0", f"{name}.downsample.1"
                convs.append(Conv(*names, inputs, outputs, 1, size**2, stage))
            yield Residual(name, stage, tuple(convs))
            inputs = outputs


def halve(size: int) -> int:
    """Output size of any layer of stride 2 with an odd kernel k, padded by k // 2."""
    return (size + 1) // 2


RESNET_GEOMETRIES: dict[str, Callable[[int, int], Geometry]] = {
    name: partial(_resnet, shape) for name, shape in RESNETS.items()
}
"""By name of the ResNet: from the size of a frame and its channels to the geometry."""
