"""R(2+1)D-34: Tran et al., "A Closer Look at Spatiotemporal Convolutions", CVPR 2018, section 3.5.

A ResNet-34 in which every 3x3x3 convolution is a 1x3x3 one to M channels, BatchNorm, ReLU, and a 3x1x1 one, with
M so that both have as many weights as the 3x3x3 had. Input: 32 frames of 112 x 112; 63.58 M parameters at 174
classes and 152.4 GMACs, where STH's Table 2 prints 63.6 and 152.

Differs from the network of torchvision's parts in M, which the authors' code (VMZ) computes for each convolution
and torchvision once for the two of a block: that would be 1.9 M parameters fewer.
"""

from __future__ import annotations

from torch import nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem

from study.models.backbones.base import Backbone
from study.models.networks.video_resnet import build_video_resnet


def derive_midplanes(inputs: int, outputs: int) -> int:
    """M = floor(t d^2 C_i C_o / (d^2 C_i + t C_o)) with t = d = 3 (section 3.5)."""
    return 27 * inputs * outputs // (9 * inputs + 3 * outputs)


def _make_conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    conv: nn.Module = Conv2Plus1D(inputs, outputs, derive_midplanes(inputs, outputs), stride)
    return conv


def build_r2plus1d_34(in_channels: int, frames: int) -> Backbone:
    """The network: clips (N, C, T, H, W) to features (N, 512)."""
    return build_video_resnet(BasicBlock, _make_conv, R2Plus1dStem, in_channels)
