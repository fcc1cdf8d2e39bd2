"""I3D with Inception-v1: Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, Figure 3.

torchvision's GoogLeNet, which has BatchNorm and 3x3 kernels in place of 5x5 as I3D has, with a time axis: every
k x k kernel, also of the max-pools, becomes k x k x k, but the first two max-pools, which keep all frames. Input:
64 frames of 224 x 224. ImageNet weights are torchvision's; they expect values from -1 to 1, as I3D does, which
torchvision's input transform makes of frames normalized by ImageNet's mean and deviation. Frames of other than
3 channels (optical flow) are taken as they are.

12.70 M parameters and 111.2 GMACs at 400 classes. 12.06 M and 107.9 are quoted as published, from memory and
not verified; what they leave out is not known.
"""

from __future__ import annotations

from torch import nn
from torchvision.models.googlenet import GoogLeNet

from study.models.backbones.base import Backbone
from study.models.networks.inflation import STILL, TimeSpan, inflate, require_frames, set_input_channels
from study.models.networks.pooling import WindowAverage

CLASSIFIER_KEYS = ("fc.weight", "fc.bias")
STILL_POOLS = ("maxpool1", "maxpool2")
LEAST_FRAMES = 3


def build_i3d_inception(in_channels: int, frames: int) -> Backbone:
    """The network: clips (N, C, T, H, W) to features (N, 1024)."""
    require_frames("i3d_inception", frames, LEAST_FRAMES)
    network = GoogLeNet(aux_logits=False, transform_input=in_channels == 3, init_weights=False)
    features: int = network.fc.in_features
    set_input_channels(network, "conv1.conv", in_channels)
    inflate(network, _span_of)
    network.avgpool, network.dropout, network.fc = WindowAverage(), nn.Identity(), nn.Identity()
    return Backbone(network, features, (), CLASSIFIER_KEYS, whole_clips=True)


def _span_of(name: str, layer: nn.Conv2d | nn.MaxPool2d) -> TimeSpan:
    """As long as wide, with the stride in space in time too."""
    if name in STILL_POOLS:
        return STILL
    kernel, stride = layer.kernel_size, layer.stride
    return kernel if isinstance(kernel, int) else kernel[0], stride if isinstance(stride, int) else stride[0]
