"""P3D-199: Qiu et al., "Learning Spatio-Temporal Representation with Pseudo-3D Residual Networks", ICCV 2017,
Figure 3 (the bottlenecks).

A ResNet-152 of the first version (the stride is in the first 1x1) in which the 3x3 of the first three stages is
a spatial 1x3x3 convolution S and a temporal 3x1x1 one T, in turn as P3D-A (T after S), P3D-B (S and T side by
side, summed) and P3D-C (S, plus T after it); the last stage is 2D. Input: 16 frames of 160 x 160; 66.5 M
parameters at 400 classes, 18.4 GMACs, counted on a public port, which is also where the pools in time and the
shape of the last stage come from.

By the last stage 16 frames have become one. With more frames each runs through that stage by itself, and the
average is over them too; the port would mix them up with the clips of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor, nn

from study.models.backbones.base import Backbone
from study.models.networks.inflation import require_frames

DEPTHS = (3, 8, 36, 3)
"""Bottlenecks of each stage: ResNet-152."""
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
TEMPORAL_STAGES = 3
LEAST_FRAMES = 16
CLASSIFIER_KEYS = ("fc.weight", "fc.bias")


class ConvNorm(nn.Sequential):
    """A convolution without bias, padded by half its kernel, and BatchNorm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int, int] = (1, 1, 1), stride: int = 1
    ) -> None:
        padding = kernel[0] // 2, kernel[1] // 2, kernel[2] // 2
        strides = 1, stride, stride
        super().__init__(
            nn.Conv3d(inputs, outputs, kernel, strides, padding, bias=False), nn.BatchNorm3d(outputs)
        )


class PseudoConv(nn.Module):
    """S and T, joined as P3D-A, B or C: (N, C, T, H, W) to the same."""

    def __init__(self, channels: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.spatial = ConvNorm(channels, channels, (1, 3, 3))
        self.temporal = ConvNorm(channels, channels, (3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        spatial = torch.relu(self.spatial(x))
        temporal = torch.relu(self.temporal(x if self.kind == "B" else spatial))
        return temporal if self.kind == "A" else spatial + temporal


class Bottleneck(nn.Module):
    """1x1x1 (with the stride), ``middle``, 1x1x1, and a shortcut."""

    def __init__(self, inputs: int, width: int, middle: nn.Module, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.reduce = ConvNorm(inputs, width, stride=stride)
        self.middle = middle
        self.expand = ConvNorm(width, outputs)
        self.shortcut = nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.expand(self.middle(torch.relu(self.reduce(x))))
        return torch.relu(branch + self.shortcut(x))


class P3D199(nn.Sequential):
    """Clips (N, C, T, H, W) to features (N, 2048)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(in_channels, WIDTHS[0], (1, 7, 7), stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((2, 3, 3), stride=2, padding=(0, 1, 1)),
        )
        kinds = count()
        inputs = WIDTHS[0]
        for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True), start=1):
            layers = list(_make_stage(stage, inputs, width, depth, kinds))
            if stage <= TEMPORAL_STAGES:
                layers.append(nn.MaxPool3d((2, 1, 1)))
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
            inputs = width * EXPANSION
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.flatten = nn.Flatten()


def _make_stage(stage: int, inputs: int, width: int, depth: int, kinds: Iterator[int]) -> Iterator[nn.Module]:
    """The bottlenecks of a stage; ``kinds`` counts them through the network."""
    for number in range(depth):
        stride = 2 if stage > 1 and number == 0 else 1
        middle: nn.Module
        if stage <= TEMPORAL_STAGES:
            middle = PseudoConv(width, "ABC"[next(kinds) % 3])
        else:
            middle = nn.Sequential(ConvNorm(width, width, (1, 3, 3)), nn.ReLU(inplace=True))
        yield Bottleneck(inputs, width, middle, stride)
        inputs = width * EXPANSION


def build_p3d_199(in_channels: int, frames: int) -> Backbone:
    """The network, without the classifier and the dropout before it."""
    require_frames("p3d_199", frames, LEAST_FRAMES)
    return Backbone(P3D199(in_channels), WIDTHS[-1] * EXPANSION, (), CLASSIFIER_KEYS, whole_clips=True)
