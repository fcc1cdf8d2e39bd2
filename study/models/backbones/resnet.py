"""ResNet-18, 34, 50 and 101 as torchvision builds them (v1.5: a bottleneck's stride is in its 3x3).

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. With the stride in the first 1x1 (v1)
the costs that STH publishes are not met.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torch import nn
from torchvision.models import resnet

from study.models.backbones.base import Backbone, Position

CLASSIFIER_KEYS = ("fc.weight", "fc.bias")


def _build(depth: int, in_channels: int, frames: int) -> Backbone:
    network: resnet.ResNet = getattr(resnet, f"resnet{depth}")(weights=None)
    features: int = network.fc.in_features
    network.fc = nn.Identity()
    if in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    return Backbone(network, features, tuple(residual_positions(stages)), CLASSIFIER_KEYS)


def residual_positions(stages: list[nn.Sequential]) -> Iterator[Position]:
    """Positions in ``layer1``, ``layer2``, ... made of torchvision's residual blocks.

    A basic block has two ``spatial_conv`` positions (both 3x3), a bottleneck has one (``conv2``). 1x1
    convolutions and shortcuts have none, nor has the stem.
    """
    for stage, blocks in enumerate(stages, start=1):
        for number, block in enumerate(blocks):
            name = f"layer{stage}.{number}"
            yield Position("residual_block", name, stage)
            yield Position("residual_input", f"{name}.conv1", stage)
            for child, layer in block.named_children():
                if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
                    yield Position("spatial_conv", f"{name}.{child}", stage)


build_resnet18 = partial(_build, 18)
build_resnet34 = partial(_build, 34)
build_resnet50 = partial(_build, 50)
build_resnet101 = partial(_build, 101)
