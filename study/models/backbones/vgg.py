"""VGG-16 with BatchNorm as torchvision builds it.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, Table
1, configuration D. The two hidden layers of 4096 units belong to the features: at 174 classes and 8 frames of
224 x 224, 134.98 M parameters and 123.7 GMACs. Views of other sizes are pooled to the 7 x 7 that they expect.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torchvision.models import vgg

from study.models.backbones.base import Backbone, Position
from study.models.networks.inflation import set_input_channels

CLASSIFIER_KEYS = ("classifier.6.weight", "classifier.6.bias")
FEATURES = 4096
FIRST = "features.0"
"""The first convolution. No p divides its 3 input channels, so it is no position."""


def build_vgg16_bn(in_channels: int, frames: int) -> Backbone:
    """The network without its last layer and the dropout before it; the dropout between the hidden layers stays.

    Positions are the 3x3 convolutions but the first; a stage ends at a max-pool.
    """
    network: vgg.VGG = vgg.vgg16_bn(weights=None, init_weights=False)
    network.classifier = network.classifier[:-2]
    set_input_channels(network, FIRST, in_channels)
    return Backbone(network, FEATURES, tuple(_positions(network.features)), CLASSIFIER_KEYS)


def _positions(layers: nn.Sequential) -> Iterator[Position]:
    stage = 1
    for child, layer in layers.named_children():
        name = f"features.{child}"
        if isinstance(layer, nn.Conv2d) and name != FIRST:
            yield Position("spatial_conv", name, stage)
        stage += isinstance(layer, nn.MaxPool2d)
