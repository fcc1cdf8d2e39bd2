"""ECO Lite and ECO Full: Zolfaghari et al., "ECO: Efficient Convolutional Network for Online Video
Understanding", ECCV 2018, Figures 1 and 2.

BN-Inception, frame by frame, up to the first 3x3 of the third branch of module 3c (96 channels at 28 x 28 for
224 x 224), then the last three stages of a 3D ResNet-18 on those maps stacked over time. Lite ends there. Full
runs the rest of BN-Inception on each frame too, and joins its mean over frames (1024 channels) to the 512 of the
3D part. The number of frames is a multiple of 4.

At 400 classes, Lite has 37.50 M parameters, 23.24 GMACs at 8 frames and 46.49 at 16; Full 47.50 M, 32.2 and
64.4, as published. So rows of the literature called "ECO" with 47.5 M are Full, and "ECO_En", 150 M, is four
Lite networks with 16, 20, 24 and 32 frames. Shapes of layers are those of the authors' public model files.

Initial weights: a file for ``bn_inception`` fits the 2D part by its names. The authors start the 3D part from a
3D ResNet-18 trained on Kinetics; it is new here. They drop 0.3 of the 3D features and 0.5 of the 2D ones before
the classifier; here ``model.dropout`` is for both.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.models.backbones.base import Backbone
from study.models.backbones.bn_inception import CLASSIFIER_KEYS, MODULES, STEM_OUTPUTS, InceptionLayers
from study.models.initialization import NewLayer, initialize_layers
from study.models.networks.preactivation import PreActivationUnit, conv3x3x3

SPLIT = 2
"""Index of the module whose third branch the 3D part starts from: 3c."""
FRAME_MULTIPLE = 4
VIDEO_FEATURES = 512
UNITS = (("res3b", 128), ("res4a", 256), ("res4b", 256), ("res5a", 512), ("res5b", VIDEO_FEATURES))
"""Residual units of the 3D part after its first convolution, and their channels."""


class VideoPart(NewLayer):
    """Maps of frames (N, 96, T, H, W) to features of the clip (N, 512), at a quarter of the resolution."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.res3a = conv3x3x3(inputs, 128)
        self.res3a_bn = nn.BatchNorm3d(128)
        self.units = nn.Sequential()
        channels = 128
        for name, outputs in UNITS:
            unit = PreActivationUnit(channels, outputs, conv3x3x3(outputs, outputs))
            self.units.add_module(name, unit)
            channels = outputs

    def init_parameters(self, generator: torch.Generator) -> None:
        initialize_layers(self, generator)

    def forward(self, maps: Tensor) -> Tensor:
        first = self.res3a(maps)
        _, activated = self.units((first, torch.relu(self.res3a_bn(first))))
        return torch.mean(activated, dim=(2, 3, 4))


class ECO(InceptionLayers):
    """Clips (N, C, T, H, W) to features: (N, 512) for Lite, (N, 1024 + 512) for Full, the frames' first."""

    def __init__(self, in_channels: int, frames: int, *, full: bool) -> None:
        super().__init__()
        self.frames = frames
        self.full = full
        self.add_stem(in_channels)
        channels = STEM_OUTPUTS
        for module in MODULES[:SPLIT]:
            channels = self.add_inception(module, channels)
        self.features = VIDEO_FEATURES
        if full:
            for module in MODULES[SPLIT:]:
                channels = self.add_inception(module, channels)
            self.features += channels
        else:
            self.add_double(MODULES[SPLIT], channels)
        self.video = VideoPart(MODULES[SPLIT].double[1])

    def forward(self, clips: Tensor) -> Tensor:
        x = self.run_stem(clips.transpose(1, 2).flatten(0, 1))
        for module in MODULES[:SPLIT]:
            x = self.run_inception(module, x)
        maps = self.run_double(MODULES[SPLIT], x)
        video: Tensor = self.video(torch.unflatten(maps, 0, (-1, self.frames)).transpose(1, 2))
        return torch.cat([self._average_frames(x, maps), video], dim=1) if self.full else video

    def _average_frames(self, x: Tensor, maps: Tensor) -> Tensor:
        """The rest of BN-Inception, averaged over pixels and frames: (N, 1024)."""
        x = self.run_inception(MODULES[SPLIT], x, double=maps)
        for module in MODULES[SPLIT + 1 :]:
            x = self.run_inception(module, x)
        return torch.unflatten(x.mean(dim=(2, 3)), 0, (-1, self.frames)).mean(dim=1)


def _build(full: bool, in_channels: int, frames: int) -> Backbone:
    if frames % FRAME_MULTIPLE:
        name = "eco_full" if full else "eco_lite"
        raise ModelError(f"clip.frames: {frames}: {name} takes multiples of {FRAME_MULTIPLE}")
    network = ECO(in_channels, frames, full=full)
    return Backbone(network, network.features, (), CLASSIFIER_KEYS, whole_clips=True)


build_eco_full = partial(_build, True)
build_eco_lite = partial(_build, False)
