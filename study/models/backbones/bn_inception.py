"""BN-Inception, the network of TSN, TRN and ECO. torchvision has none (its GoogLeNet has other channels).

Ioffe and Szegedy, "Batch Normalization", ICML 2015, Figure 5, in the form of the Caffe model that the field
uses: convolutions with bias, max-pools that round up, a max-pool in the last module. 11.295 M parameters and
2.03 GMACs a frame at 1000 classes. Layers have that model's flat names, which files of its weights share.

Weights converted from Caffe expect BGR from 0 to 255 minus (104, 117, 128). Frames of this package are RGB from
0 to 1: flip the input channels of ``conv1_7x7_s2.weight`` in the file, and set ``clip.mean`` to (128, 117, 104)
/ 255 and ``clip.std`` to 1/255.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.backbones.base import Backbone, Position

CLASSIFIER_KEYS = ("last_linear.weight", "last_linear.bias")
STEM_OUTPUTS = 192


@dataclass(frozen=True)
class Inception:
    """Channels of one module, which concatenates up to four branches.

    Attributes:
        name: the module's name ("3a").
        single: outputs of the 1x1 branch; 0 without one.
        triple: outputs of the 1x1 and the 3x3 of the second branch.
        double: outputs of the 1x1 and of both 3x3 of the third branch.
        project: outputs of the 1x1 after the pool; 0 without one, and then all inputs are passed on.
        pool: the 3x3 pool of the fourth branch.
        stride: of the last 3x3 of each branch and of the pool.
    """

    name: str
    single: int
    triple: tuple[int, int]
    double: tuple[int, int]
    project: int
    pool: Literal["avg", "max"] = "avg"
    stride: int = 1

    @property
    def prefix(self) -> str:
        """What its layers' names start with."""
        return f"inception_{self.name}"

    def outputs(self, inputs: int) -> int:
        """Channels it puts out."""
        return self.single + self.triple[1] + self.double[1] + (self.project or inputs)


MODULES = (
    Inception("3a", 64, (64, 64), (64, 96), 32),
    Inception("3b", 64, (64, 96), (64, 96), 64),
    Inception("3c", 0, (128, 160), (64, 96), 0, "max", stride=2),
    Inception("4a", 224, (64, 96), (96, 128), 128),
    Inception("4b", 192, (96, 128), (96, 128), 128),
    Inception("4c", 160, (128, 160), (128, 160), 128),
    Inception("4d", 96, (128, 192), (160, 192), 128),
    Inception("4e", 0, (128, 192), (192, 256), 0, "max", stride=2),
    Inception("5a", 352, (192, 320), (160, 224), 128),
    Inception("5b", 352, (192, 320), (192, 224), 128, "max"),
)


class InceptionLayers(nn.Module):
    """Layers of BN-Inception under their flat names, and how they are run. Base of networks that use them."""

    def add_conv(self, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        """A convolution called ``name`` and its BatchNorm, ``name``_bn."""
        self.add_module(name, nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(outputs))

    def run_conv(self, name: str, x: Tensor) -> Tensor:
        """The convolution called ``name``, BatchNorm, ReLU."""
        return functional.relu(self.get_submodule(f"{name}_bn")(self.get_submodule(name)(x)), inplace=True)

    def add_stem(self, in_channels: int) -> None:
        """The layers before the first module."""
        self.add_conv("conv1_7x7_s2", in_channels, 64, 7, stride=2)
        self.add_conv("conv2_3x3_reduce", 64, 64, 1)
        self.add_conv("conv2_3x3", 64, STEM_OUTPUTS, 3)

    def run_stem(self, frames: Tensor) -> Tensor:
        """Frames (B, C, H, W) to (B, 192, H/8, W/8)."""
        x = functional.max_pool2d(self.run_conv("conv1_7x7_s2", frames), 3, 2, ceil_mode=True)
        x = self.run_conv("conv2_3x3", self.run_conv("conv2_3x3_reduce", x))
        return functional.max_pool2d(x, 3, 2, ceil_mode=True)

    def add_inception(self, module: Inception, inputs: int) -> int:
        """The layers of ``module``; returns the channels it puts out."""
        if module.single:
            self.add_conv(f"{module.prefix}_1x1", inputs, module.single, 1)
        reduced, outputs = module.triple
        self.add_conv(f"{module.prefix}_3x3_reduce", inputs, reduced, 1)
        self.add_conv(f"{module.prefix}_3x3", reduced, outputs, 3, module.stride)
        self.add_double(module, inputs)
        self.add_conv(f"{module.prefix}_double_3x3_2", module.double[1], module.double[1], 3, module.stride)
        if module.project:
            self.add_conv(f"{module.prefix}_pool_proj", inputs, module.project, 1)
        return module.outputs(inputs)

    def add_double(self, module: Inception, inputs: int) -> None:
        """The layers of the third branch but the last."""
        reduced, outputs = module.double
        self.add_conv(f"{module.prefix}_double_3x3_reduce", inputs, reduced, 1)
        self.add_conv(f"{module.prefix}_double_3x3_1", reduced, outputs, 3)

    def run_double(self, module: Inception, x: Tensor) -> Tensor:
        """The third branch of ``module`` up to its first 3x3; ECO's 3D part starts from that of 3c."""
        reduced = self.run_conv(f"{module.prefix}_double_3x3_reduce", x)
        return self.run_conv(f"{module.prefix}_double_3x3_1", reduced)

    def run_inception(self, module: Inception, x: Tensor, double: Tensor | None = None) -> Tensor:
        """The module's branches, concatenated; ``double`` where :meth:`run_double` has run already.

        Raises:
            ModelError: for a module of stride 2 on an odd feature map.
        """
        if module.stride == 2 and (x.shape[-2] % 2 or x.shape[-1] % 2):
            raise ModelError(
                f"{module.prefix}: a feature map of {x.shape[-2]} x {x.shape[-1]} cannot be halved; "
                "BN-Inception takes frames whose sides are multiples of 32 (clip.size)"
            )
        branches = [self.run_conv(f"{module.prefix}_1x1", x)] if module.single else []
        branches.append(
            self.run_conv(f"{module.prefix}_3x3", self.run_conv(f"{module.prefix}_3x3_reduce", x))
        )
        double = self.run_double(module, x) if double is None else double
        branches.append(self.run_conv(f"{module.prefix}_double_3x3_2", double))
        pooled = _pool(module, x)
        branches.append(self.run_conv(f"{module.prefix}_pool_proj", pooled) if module.project else pooled)
        return torch.cat(branches, dim=1)


def _pool(module: Inception, x: Tensor) -> Tensor:
    if module.stride == 2:
        return functional.max_pool2d(x, 3, 2, ceil_mode=True)
    if module.pool == "max":
        return functional.max_pool2d(x, 3, 1, padding=1)
    return functional.avg_pool2d(x, 3, 1, padding=1)


class BNInception(InceptionLayers):
    """Frames (B, C, H, W) to features (B, 1024); H and W are multiples of 32."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.add_stem(in_channels)
        channels = STEM_OUTPUTS
        for module in MODULES:
            channels = self.add_inception(module, channels)
        self.features = channels

    def forward(self, frames: Tensor) -> Tensor:
        x = self.run_stem(frames)
        for module in MODULES:
            x = self.run_inception(module, x)
        return x.mean(dim=(2, 3))


def build_bn_inception(in_channels: int, frames: int) -> Backbone:
    """The network and its positions: the 3x3 convolutions of the modules; the stem has none."""
    network = BNInception(in_channels)
    return Backbone(network, network.features, tuple(_positions()), CLASSIFIER_KEYS)


def _positions() -> Iterator[Position]:
    """A stage starts with the module that halves the resolution."""
    stage = 1
    for module in MODULES:
        stage += module.stride == 2
        for name in ("3x3", "double_3x3_1", "double_3x3_2"):
            yield Position("spatial_conv", f"{module.prefix}_{name}", stage)
