"""S3D and S3D-G: Xie et al., "Rethinking Spatiotemporal Feature Learning", ECCV 2018.

I3D's Inception-v1 in which every k x k x k convolution is a 1 x k x k one and a k x 1 x 1 one, each with
BatchNorm and ReLU. It is torchvision's, whose Kinetics weights can be loaded. The paper starts from ImageNet;
no 2D network of torchvision shares its names of layers, so that start is not at hand. Input: 64 frames of 224 x
224.

S3D: 8.32 M parameters and 71.9 GMACs at 400 classes. 8.77 M and 66.4 are quoted as published, from memory and
not verified.

S3D-G adds a gate after every temporal convolution: 9.09 M. Where the paper's gates are is not verified either;
the 11.56 M quoted as published are met by none of the places tried (on temporal convolutions 9.09, on the four
branches 9.51, on the concatenated output 12.12). STH's Table 2 prints 142.8, which is twice the 71.4 quoted for
S3D-G: there alone, additions count as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.video.s3d import S3D, TemporalSeparableConv

from study.models.backbones.base import Backbone
from study.models.networks.inflation import require_frames, set_input_channels
from study.models.networks.pooling import WindowAverage

FEATURES = 1024
CLASSIFIER_KEYS = ("classifier.1.weight", "classifier.1.bias")
LEAST_FRAMES = 5


class SelfGating(nn.Module):
    """y = sigmoid(W mean(x) + b) x, with the mean over time and space: (N, C, T, H, W) to the same.

    The paper's feature gating. That W is dense and C x C is from memory and not verified.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))
        return x * gate[:, :, None, None, None]


def build_s3d(in_channels: int, frames: int) -> Backbone:
    """S3D: clips (N, C, T, H, W) to features (N, 1024)."""
    require_frames("s3d", frames, LEAST_FRAMES)
    network = S3D()
    set_input_channels(network, "features.0.0.0", in_channels)
    module = nn.Sequential()
    module.add_module("features", network.features)
    module.add_module("avgpool", WindowAverage())
    return Backbone(module, FEATURES, (), CLASSIFIER_KEYS, whole_clips=True)


def build_s3d_g(in_channels: int, frames: int) -> Backbone:
    """S3D-G: the same, with a gate after every temporal convolution."""
    backbone = build_s3d(in_channels, frames)
    for layer in list(backbone.module.modules()):
        if isinstance(layer, TemporalSeparableConv):
            layer.append(SelfGating(layer[1][0].out_channels))
    return backbone
