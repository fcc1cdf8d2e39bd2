"""A small ResNet for 32 x 32 inputs, so that a whole study fits on a laptop.

torchvision's basic blocks in three stages of 16, 32 and 64 channels, at a half, a quarter and an eighth of
the input's resolution. Every 3x3 convolution of the body has channel counts divisible by 8, so p may be 1/8.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from study.models.backbones.base import Backbone
from study.models.backbones.resnet import CLASSIFIER_KEYS, residual_positions

WIDTHS = (16, 32, 64)
DEPTHS = (2, 2, 2)


class ResNetTiny(nn.Module):
    """Frames (B, C, H, W) to features (B, 64). Layers are named as in torchvision's ResNet."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, WIDTHS[0], kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], DEPTHS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], DEPTHS[1], stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], DEPTHS[2], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(frames)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return torch.flatten(self.avgpool(x), 1)


def _stage(inplanes: int, planes: int, depth: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or inplanes != planes:
        conv = nn.Conv2d(inplanes, planes, kernel_size=1, stride=stride, bias=False)
        shortcut = nn.Sequential(conv, nn.BatchNorm2d(planes))
    blocks = [BasicBlock(inplanes, planes, stride, shortcut)]
    blocks += [BasicBlock(planes, planes) for _ in range(depth - 1)]
    return nn.Sequential(OrderedDict((str(number), block) for number, block in enumerate(blocks)))


def build_resnet_tiny(in_channels: int, frames: int) -> Backbone:
    """The network and its positions."""
    network = ResNetTiny(in_channels)
    stages = [network.layer1, network.layer2, network.layer3]
    return Backbone(network, WIDTHS[-1], tuple(residual_positions(stages)), CLASSIFIER_KEYS)
