"""ARTNet-18: Wang et al., "Appearance-and-Relation Networks for Video Classification", CVPR 2018, Figure 2 (the
SMART block) and Table 1 (the network).

A 3D ResNet-18 in which the first convolution and the second one of each residual unit, but for the last stage,
is a SMART block. Input: 16 frames of 112 x 112, cut from 128 x 170; trained from scratch. The layers are those
of the authors' public Caffe model.

At 400 classes 39.7 M parameters and 25.7 GMACs are counted. 23.5 is quoted as published, from memory and not
verified; what it leaves out is not known. The authors use a dropout of 0.2 (``model.dropout``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from study.models.backbones.base import Backbone
from study.models.networks.preactivation import PreActivationUnit, conv3x3x3

CLASSIFIER_KEYS = ("fc8.weight", "fc8.bias")
WIDTHS = (64, 128, 256, 512)
SMART_STAGES = 3
"""Stages, from the first, whose units have a SMART block; the last has two 3x3x3 convolutions."""
UNBIASED_STAGES = 1
"""Stages, from the first, without biases, as the stem."""


class Smart(nn.Module):
    """SMART: appearance from each frame, relation from squared responses of three frames; C_i to C_o channels.

    A 1xkxk convolution with BatchNorm, beside a 3xkxk one with BatchNorm whose squared outputs are averaged in
    pairs of channels (energies: the weights of 0.5 are not trained), with BatchNorm. ReLU on both,
    concatenated, and a 1x1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, bias: bool) -> None:
        super().__init__()
        pad = kernel // 2
        self.appearance = nn.Conv3d(inputs, outputs, (1, kernel, kernel), stride, (0, pad, pad), bias=bias)
        self.appearance_bn = nn.BatchNorm3d(outputs)
        self.relation = nn.Conv3d(inputs, outputs, (3, kernel, kernel), stride, (1, pad, pad), bias=bias)
        self.relation_bn = nn.BatchNorm3d(outputs)
        self.energy_bn = nn.BatchNorm3d(outputs // 2)
        self.reduce = nn.Conv3d(outputs + outputs // 2, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        appearance = self.appearance_bn(self.appearance(x))
        relation = self.relation_bn(self.relation(x))
        energy = self.energy_bn(torch.unflatten(relation * relation, 1, (-1, 2)).mean(dim=2))
        reduced: Tensor = self.reduce(torch.relu(torch.cat([appearance, energy], dim=1)))
        return reduced


class ARTNet18(nn.Module):
    """Clips (N, C, T, H, W) to features (N, 512)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = Smart(in_channels, WIDTHS[0], kernel=7, stride=2, bias=False)
        self.stem_bn = nn.BatchNorm3d(WIDTHS[0])
        self.units = nn.Sequential()
        inputs = WIDTHS[0]
        for stage, width in enumerate(WIDTHS, start=1):
            bias = stage > UNBIASED_STAGES
            for unit in "ab":
                smart = stage <= SMART_STAGES
                second = Smart(width, width, bias=bias) if smart else conv3x3x3(width, width, bias=bias)
                name = f"res{stage + 1}{unit}"
                self.units.add_module(name, PreActivationUnit(inputs, width, second, bias=bias))
                inputs = width

    def forward(self, clips: Tensor) -> Tensor:
        first = self.stem(clips)
        _, activated = self.units((first, torch.relu(self.stem_bn(first))))
        return torch.mean(activated, dim=(2, 3, 4))


def build_artnet18(in_channels: int, frames: int) -> Backbone:
    """The network, without the classifier and the dropout before it."""
    return Backbone(ARTNet18(in_channels), WIDTHS[-1], (), CLASSIFIER_KEYS, whole_clips=True)
