"""Channel-separated networks: Tran et al., "Video Classification with Channel-Separated Convolutional Networks",
ICCV 2019, Figure 2.

A ResNet-50 whose 3x3x3 convolutions are depthwise (interaction-reduced, ir-CSN), or a 1x1x1 and a depthwise
3x3x3 one with BatchNorm and no ReLU in between (interaction-preserved, ip-CSN). Input: 8 frames of 224 x 224, at
400 classes 14.40 M parameters and 11.91 GMACs for ip-CSN-50, 13.13 M and 10.58 for ir-CSN-50. The layers are
those of the authors' code (VMZ), which ships depth 152 only.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.video.resnet import BasicStem, Bottleneck

from study.models.backbones.base import Backbone
from study.models.networks.video_resnet import build_video_resnet


def _make_reduced(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1, groups=inputs, bias=False)


def _make_preserved(inputs: int, outputs: int, stride: int) -> nn.Module:
    pointwise = nn.Conv3d(inputs, outputs, 1, bias=False)
    return nn.Sequential(pointwise, nn.BatchNorm3d(outputs), _make_reduced(outputs, outputs, stride))


def _make_stem() -> nn.Sequential:
    pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    return nn.Sequential(*BasicStem(), pool)


def _build(preserved: bool, in_channels: int, frames: int) -> Backbone:
    """The network: clips (N, C, T, H, W) to features (N, 2048)."""
    make = _make_preserved if preserved else _make_reduced
    return build_video_resnet(Bottleneck, make, _make_stem, in_channels)


build_ip_csn_50 = partial(_build, True)
build_ir_csn_50 = partial(_build, False)
