"""StNet-50 and StNet-101: He et al., "StNet: Local and Global Spatial-Temporal Modeling for Action Recognition",
AAAI 2019, Figures 1 to 3.

A clip is T segments of N = 5 consecutive frames. The frames of a segment, stacked by channels, are one image (the
super-image) for a 2D ResNet; two temporal modeling blocks, after its second and third stage, and a temporal
Xception block on its features mix the segments; the maximum over segments is classified. The layers are those of
the authors' public code, down to the ReLU before BatchNorm.

``clip.frames`` is 5 T: 35 in training (T = 7), 125 in test (T = 25). Counted at 125 frames of 256 x 256 and 400
classes: 33.16 M parameters and 189.27 GMACs, 52.15 M and 310.48 with ResNet-101; what is quoted as published, from
memory and not verified, is the same. The sampling of this package spreads all frames evenly over the video;
StNet's five are consecutive.

ImageNet weights are those of ``resnet50`` and ``resnet101``. The first convolution is written with a kernel and
a stride of 5 in time, which is the same map of the super-image's 15 channels, and so is inflated like any 3D
kernel: W / 5 for each frame. The authors' code averages W over colors besides; which of the two the paper means
is not verified.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet

from study.errors import ModelError
from study.kernels.temporal import refold_frames, unfold_frames
from study.models.backbones.base import Backbone
from study.models.backbones.resnet import CLASSIFIER_KEYS
from study.models.initialization import NewLayer, initialize_layers

SEGMENT = 5
"""N: frames of a super-image."""
FEATURES = 1024


class TemporalModeling(NewLayer):
    """x + BN(ReLU(3x1x1(x))), over segments that are folded into the batch: (N*T, C, H, W) to the same."""

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.conv = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))  # on the (T, H*W) view
        self.bn = nn.BatchNorm2d(channels)

    def init_parameters(self, generator: torch.Generator) -> None:
        initialize_layers(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(torch.relu(self.conv(unfold_frames(x, self.segments))))
        return x + refold_frames(y, x.shape)


class TemporalXception(NewLayer):
    """Separable convolutions over segments: (N, C_i, T) to (N, C_o, T).

    BN; then a depthwise 3 and a 1x1 convolution, BN, ReLU, and again a depthwise 3 and a 1x1, beside a 1x1 on
    the first BN's output; their sum, BN, ReLU.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm1d(inputs)
        self.depthwise1 = nn.Conv1d(inputs, inputs, 3, padding=1, groups=inputs)
        self.pointwise1 = nn.Conv1d(inputs, outputs, 1)
        self.bn2 = nn.BatchNorm1d(outputs)
        self.depthwise2 = nn.Conv1d(outputs, outputs, 3, padding=1, groups=outputs)
        self.pointwise2 = nn.Conv1d(outputs, outputs, 1)
        self.shortcut = nn.Conv1d(inputs, outputs, 1)
        self.bn3 = nn.BatchNorm1d(outputs)

    def init_parameters(self, generator: torch.Generator) -> None:
        """As all layers, but depthwise kernels over the fan-in, 3: over the fan-out they would start near zero."""
        initialize_layers(self, generator)
        for layer in (self.depthwise1, self.depthwise2):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(x)
        branch = torch.relu(self.bn2(self.pointwise1(self.depthwise1(x))))
        branch = self.pointwise2(self.depthwise2(branch))
        return torch.relu(self.bn3(branch + self.shortcut(x)))


class StNet(nn.Module):
    """Clips (N, C, 5 T, H, W) to features (N, 1024). Layers of the ResNet are named as torchvision's."""

    def __init__(self, network: resnet.ResNet, in_channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        kernel, stride = (SEGMENT, 7, 7), (SEGMENT, 2, 2)
        self.conv1 = nn.Conv3d(in_channels, 64, kernel, stride, padding=(0, 3, 3), bias=False)
        self.bn1 = network.bn1
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.temporal2 = TemporalModeling(512, segments)
        self.layer3 = network.layer3
        self.temporal3 = TemporalModeling(1024, segments)
        self.layer4 = network.layer4
        self.xception = TemporalXception(network.fc.in_features, FEATURES)

    def forward(self, clips: Tensor) -> Tensor:
        x = self.conv1(clips).transpose(1, 2).flatten(0, 1)
        x = functional.max_pool2d(torch.relu(self.bn1(x)), 3, 2, padding=1)
        x = self.temporal2(self.layer2(self.layer1(x)))
        x = self.layer4(self.temporal3(self.layer3(x)))
        by_segment = torch.unflatten(x.mean(dim=(2, 3)), 0, (-1, self.segments)).transpose(1, 2)
        features: Tensor = self.xception(by_segment).amax(dim=2)
        return features


def _build(depth: int, in_channels: int, frames: int) -> Backbone:
    if frames % SEGMENT:
        raise ModelError(
            f"clip.frames: {frames}: stnet{depth} takes multiples of {SEGMENT} ({SEGMENT} a segment)"
        )
    network: resnet.ResNet = getattr(resnet, f"resnet{depth}")(weights=None)
    module = StNet(network, in_channels, frames // SEGMENT)
    return Backbone(module, FEATURES, (), CLASSIFIER_KEYS, whole_clips=True)


build_stnet50 = partial(_build, 50)
build_stnet101 = partial(_build, 101)
