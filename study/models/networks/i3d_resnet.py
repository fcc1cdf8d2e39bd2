"""I3D with a ResNet-50: torchvision's 2D network with a time axis.

Two forms that the literature calls by one name:

``i3d_resnet50``
    the baseline on Something-Something of Wang and Gupta ("Videos as Space-Time Region Graphs", ECCV 2018,
    Table 1), which STH's Table 2 quotes with 28.0 M parameters, 153 GMACs and two clips a video. The stem keeps
    all frames, a pool after the first stage halves them, and the last stage keeps its resolution. Input: 32
    frames of 224 x 224. That this is the form is inferred from its cost: of the variants of stem and last stage
    that were tried, it alone gives 153.
``i3d_resnet50_k400``
    the Kinetics network of Wang et al. ("Non-local Neural Networks", CVPR 2018, section 4): the stem and its
    pool halve the frames as well, and the last stage halves the resolution. Input: 32 frames, two apart ("32 x
    2" there), of 224 x 224.

In both, 3x1x1 kernels are on the first 1x1 of every second bottleneck (every one in the first stage); the 3x3
stay 1x3x3 and hold the stride. Five non-local blocks on top make NL-I3D: ``residual_block`` positions of stages
2 and 3, every second, from the second.

One average over all of time and space and one linear layer follow. Where the original averages scores over
positions of larger test clips, that is the same, for the mean of a linear map is the map of the mean.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models.resnet import resnet50

from study.models.backbones.base import Backbone, Position
from study.models.backbones.resnet import CLASSIFIER_KEYS
from study.models.networks.inflation import STILL, TimeSpan, inflate, require_frames, set_input_channels

TEMPORAL = {"layer1": (1, 1, 1), "layer2": (1, 0, 1, 0), "layer3": (1, 0, 1, 0, 1, 0), "layer4": (0, 1, 0)}
"""Bottlenecks whose first 1x1 convolution is 3x1x1."""
CONVS: dict[str, TimeSpan] = {
    f"{stage}.{number}.conv1": (3, 1)
    for stage, blocks in TEMPORAL.items()
    for number, temporal in enumerate(blocks)
    if temporal
}
SOMETHING = CONVS | {"conv1": (5, 1), "maxpool": STILL}
KINETICS = CONVS | {"conv1": (5, 2), "maxpool": (2, 2)}


def _build(
    name: str, spans: dict[str, TimeSpan], last_stride: int, least: int, in_channels: int, frames: int
) -> Backbone:
    require_frames(name, frames, least)
    network = resnet50(weights=None)
    features: int = network.fc.in_features
    network.fc = nn.Identity()
    for layer in (network.layer4[0].conv2, network.layer4[0].downsample[0]):
        layer.stride = (last_stride, last_stride)
    set_input_channels(network, "conv1", in_channels)
    inflate(network, lambda layer, _: spans.get(layer, STILL))
    network.layer1.append(nn.MaxPool3d((2, 1, 1)))  # "pool2"; at the end of its stage no name changes
    positions = tuple(
        Position("residual_block", f"{stage}.{number}", int(stage[-1]))
        for stage, blocks in TEMPORAL.items()
        for number in range(len(blocks))
    )
    return Backbone(network, features, positions, CLASSIFIER_KEYS, whole_clips=True)


build_i3d_resnet50 = partial(_build, "i3d_resnet50", SOMETHING, 1, 2)
build_i3d_resnet50_k400 = partial(_build, "i3d_resnet50_k400", KINETICS, 2, 7)
