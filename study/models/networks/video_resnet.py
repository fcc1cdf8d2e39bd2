"""torchvision's ResNets of clips, with other convolutions in their blocks than torchvision ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torchvision.models.video.resnet import BasicBlock, Bottleneck, VideoResNet

from study.models.backbones.base import Backbone
from study.models.networks.inflation import set_input_channels

CAFFE2_EPS = 1e-3
"""BatchNorm's epsilon where networks were trained with Caffe2 (VMZ)."""
CLASSIFIER_KEYS = ("fc.weight", "fc.bias")
DEPTHS = [3, 4, 6, 3]
"""Blocks of each stage of a ResNet-34 or 50."""


@dataclass(frozen=True)
class ConvMaker:
    """What torchvision's blocks call for their 3x3x3 convolution.

    Attributes:
        make: from C_i, C_o and the stride in time and space to the module.
    """

    make: Callable[[int, int, int], nn.Module]

    def __call__(self, inputs: int, outputs: int, midplanes: int, stride: int = 1) -> nn.Module:
        """The convolution; torchvision's number of channels in between is left out of account."""
        return self.make(inputs, outputs, stride)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        """Stride of a shortcut, as long in time as in space. torchvision calls it by this name."""
        return stride, stride, stride


def build_video_resnet(
    block: type[BasicBlock | Bottleneck],
    conv: Callable[[int, int, int], nn.Module],
    stem: Callable[[], nn.Sequential],
    in_channels: int,
) -> Backbone:
    """A ResNet with ``DEPTHS`` blocks, whose stages from the second halve time and space.

    Args:
        block: torchvision's basic block or bottleneck.
        conv: from C_i, C_o and the stride to what stands in the place of a 3x3x3 convolution.
        stem: what comes before the first stage; its first layer is a convolution.
        in_channels: channels of a frame.
    """
    network = VideoResNet(block, [ConvMaker(conv)] * 4, DEPTHS, stem)
    features: int = network.fc.in_features
    network.fc = nn.Identity()
    set_input_channels(network, "stem.0", in_channels)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            layer.eps = CAFFE2_EPS
    return Backbone(network, features, (), CLASSIFIER_KEYS, whole_clips=True)
