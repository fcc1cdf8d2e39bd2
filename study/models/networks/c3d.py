"""C3D: Tran et al., "Learning Spatiotemporal Features with 3D Convolutional Networks", ICCV 2015, Figure 3.

Eight 3x3x3 convolutions, five max-pools, two hidden layers of 4096, no BatchNorm. Input: 16 frames of 112 x 112,
and no other number of frames, for the first hidden layer sees the whole last feature map, 512 x 1 x 4 x 4 (its
pool is padded by one pixel). 78.41 M parameters at 101 classes, 38.55 GMACs. It has no path from ImageNet.

Layers are named as in public copies of the Sports-1M weights. The original subtracts a mean clip from its
input; here it gets what every network gets.
"""

from __future__ import annotations

from torch import Tensor, nn

from study.errors import ModelError
from study.models.backbones.base import Backbone
from study.models.networks.inflation import require_frames

FRAMES = 16
LAYERS = (
    (("conv1a", 3, 64),),
    (("conv2a", 64, 128),),
    (("conv3a", 128, 256), ("conv3b", 256, 256)),
    (("conv4a", 256, 512), ("conv4b", 512, 512)),
    (("conv5a", 512, 512), ("conv5b", 512, 512)),
)
"""Name, input and output channels of the convolutions before each pool."""
LAST_MAP = (512, 1, 4, 4)
FEATURES = 4096
CLASSIFIER_KEYS = ("fc8.weight", "fc8.bias")
HIDDEN_DROPOUT = 0.5


class C3D(nn.Module):
    """Clips (N, C, 16, 112, 112) to features (N, 4096).

    Raises:
        ModelError: in the forward pass, for a resolution that does not end in 4 x 4.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        for stage, convs in enumerate(LAYERS, start=1):
            for name, inputs, outputs in convs:
                channels = in_channels if name == "conv1a" else inputs
                self.add_module(name, nn.Conv3d(channels, outputs, kernel_size=3, padding=1))
            # The first pool keeps all frames; the last is padded, so that 7 x 7 gives 4 x 4.
            kernel = (1, 2, 2) if stage == 1 else (2, 2, 2)
            padding = (0, 1, 1) if stage == len(LAYERS) else 0
            self.add_module(f"pool{stage}", nn.MaxPool3d(kernel, padding=padding))
        self.fc6 = nn.Linear(LAST_MAP[0] * LAST_MAP[1] * LAST_MAP[2] * LAST_MAP[3], FEATURES)
        self.dropout = nn.Dropout(HIDDEN_DROPOUT)
        self.fc7 = nn.Linear(FEATURES, FEATURES)

    def forward(self, clips: Tensor) -> Tensor:
        x = clips
        for stage, convs in enumerate(LAYERS, start=1):
            for name, _, _ in convs:
                x = self.relu(self.get_submodule(name)(x))
            x = self.get_submodule(f"pool{stage}")(x)
        if x.shape[1:] != LAST_MAP:
            raise ModelError(
                f"c3d: a view of {clips.shape[3]} x {clips.shape[4]} pixels ends in {tuple(x.shape[1:])} "
                f"and not in {LAST_MAP}; it takes 112 x 112"
            )
        x = self.dropout(self.relu(self.fc6(x.flatten(1))))
        features: Tensor = self.relu(self.fc7(x))
        return features


def build_c3d(in_channels: int, frames: int) -> Backbone:
    """The network, without the classifier (fc8) and the dropout before it."""
    require_frames("c3d", frames, FRAMES, FRAMES)
    return Backbone(C3D(in_channels), FEATURES, (), CLASSIFIER_KEYS, whole_clips=True)
