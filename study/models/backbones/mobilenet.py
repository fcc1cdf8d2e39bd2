"""MobileNetV2 as torchvision builds it.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, Table 2. Its 3x3
convolutions are depthwise. 2.447 M parameters and 2.398 GMACs at 174 classes and 8 frames of 224 x 224.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torchvision.models import mobilenetv2

from study.models.backbones.base import Backbone, Position
from study.models.networks.inflation import set_input_channels

CLASSIFIER_KEYS = ("classifier.1.weight", "classifier.1.bias")


def build_mobilenet_v2(in_channels: int, frames: int) -> Backbone:
    """The network without its classifier and the dropout before it."""
    network: mobilenetv2.MobileNetV2 = mobilenetv2.mobilenet_v2(weights=None)
    network.classifier = nn.Identity()
    set_input_channels(network, "features.0.0", in_channels)
    return Backbone(network, network.last_channel, tuple(_positions(network.features)), CLASSIFIER_KEYS)


def _positions(blocks: nn.Sequential) -> Iterator[Position]:
    """The depthwise convolutions, and the blocks with an identity shortcut as residual blocks.

    The latter are where TSM shifts in this network; their branch starts with the 1x1 that expands. A stage
    starts with the block that halves the resolution.
    """
    stage = 1
    for child, block in blocks.named_children():
        if not isinstance(block, mobilenetv2.InvertedResidual):
            continue
        name = f"features.{child}"
        stage += block.stride == 2
        if block.use_res_connect:
            yield Position("residual_block", name, stage)
            yield Position("residual_input", f"{name}.conv.0.0", stage)
        for inner, layer in block.named_modules(prefix=name):
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
                yield Position("spatial_conv", inner, stage)
