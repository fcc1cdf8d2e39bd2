"""TDN with a ResNet-50: short-term differences in the early stages, long-term ones in the late stages.

Wang et al., "TDN: Temporal Difference Networks for Efficient Action Recognition", CVPR 2021. A clip is T
segments of five consecutive frames. The trunk, torchvision's ResNet-50, sees the middle frame of each. Beside
it (section 3.2) a branch sees the four differences of consecutive frames: at half the resolution, through a
copy of the stem and of the first stage. Its outputs, enlarged, are mixed into the trunk's after the stem and
after the first stage. The bottlenecks of stages 2 to 4 hold the long-term module
(:mod:`study.models.blocks.tdm`).

Input: 8 segments, so 40 frames, of 224 x 224. Structure, mixing weights and initial values follow the
authors' code. Its trunk has a bias in every convolution and a stem that is never used (together 0.037 M
parameters); ours has neither, and no accuracy of ours was held against theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import ResNet, resnet50

from study.errors import ModelError
from study.models.backbones.base import Backbone
from study.models.backbones.resnet import CLASSIFIER_KEYS
from study.models.blocks.tdm import build_tdm
from study.models.initialization import NewLayer
from study.models.networks.inflation import set_input_channels
from study.models.placement import Site
from study.spec.blocks import TDMBlock

FRAMES_OF_SEGMENT = 5
MIDDLE = FRAMES_OF_SEGMENT // 2


class DifferenceBranch(NewLayer):
    """Differences of consecutive frames, (N*T, 4 C, H, W), through a copy of a ResNet's stem and first stage.

    It starts with the trunk's weights, whether drawn or loaded; the stem's are averaged over input channels and
    so are equal for the four differences, whose sum is the last frame minus the first. Training tells them apart.
    """

    def __init__(self, trunk: ResNet, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels * (FRAMES_OF_SEGMENT - 1), 64, 7, stride=2, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.layer1 = resnet50(weights=None).layer1
        self._trunk = (trunk,)  # in a tuple, so that it is no submodule of this one

    def forward(self, differences: Tensor) -> tuple[Tensor, Tensor]:
        """What is mixed in after the stem, (N*T, 64, H/8, W/8), and after the first stage, (N*T, 256, H/8, W/8)."""
        x = torch.relu(self.bn(self.conv(functional.avg_pool2d(differences, 2))))
        stem = functional.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        return stem, self.layer1(stem)

    def init_parameters(self, generator: torch.Generator) -> None:
        trunk = self._trunk[0]
        self.conv.weight.copy_(trunk.conv1.weight.mean(dim=1, keepdim=True).expand_as(self.conv.weight))
        self.bn.reset_parameters()
        self.layer1.load_state_dict(trunk.layer1.state_dict())


class TDN(nn.Module):
    """Clips (N, C, 5 T, H, W) to features (N, 2048), the mean over segments.

    Layers of the trunk are named as in torchvision's ResNet.

    Args:
        trunk: a ResNet-50 with Identity for a classifier.
        in_channels: C.
        segments: T.
    """

    conv1: nn.Conv2d
    bn1: nn.BatchNorm2d
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module
    avgpool: nn.Module

    def __init__(self, trunk: ResNet, in_channels: int, segments: int) -> None:
        super().__init__()
        for name, layer in trunk.named_children():
            self.add_module(name, layer)
        self.difference = DifferenceBranch(trunk, in_channels)
        self.segments = segments
        self.share = 0.5 if segments == 8 else 0.25

    def forward(self, clips: Tensor) -> Tensor:
        spans = torch.unflatten(clips.transpose(1, 2), 1, (self.segments, FRAMES_OF_SEGMENT)).flatten(0, 1)
        differences = (spans[:, 1:] - spans[:, :-1]).flatten(1, 2)
        after_stem, after_stage = self.difference(differences)
        x = self.maxpool(self.relu(self.bn1(self.conv1(spans[:, MIDDLE]))))
        x = self._mix(self.layer1(self._mix(x, after_stem)), after_stage)
        x = self.layer4(self.layer3(self.layer2(x)))
        return torch.unflatten(self.avgpool(x).flatten(1), 0, (-1, self.segments)).mean(dim=1)

    def _mix(self, x: Tensor, difference: Tensor) -> Tensor:
        enlarged = functional.interpolate(difference, x.shape[-2:])
        return torch.lerp(x, enlarged, self.share)


def build_tdn_resnet50(in_channels: int, frames: int) -> Backbone:
    """The network.

    Raises:
        ModelError: when ``frames`` is no multiple of 5.
    """
    segments, rest = divmod(frames, FRAMES_OF_SEGMENT)
    if rest or not segments:
        raise ModelError(
            f"backbone 'tdn_resnet50': clip.frames: {frames}: expected a multiple of {FRAMES_OF_SEGMENT}, "
            "five consecutive frames for each segment"
        )
    trunk = resnet50(weights=None)
    features: int = trunk.fc.in_features
    trunk.fc = nn.Identity()
    set_input_channels(trunk, "conv1", in_channels)
    spec, index = TDMBlock(type="tdm"), 0
    for stage, blocks in enumerate((trunk.layer2, trunk.layer3, trunk.layer4), start=2):
        for number, block in enumerate(blocks):
            site = Site("residual_block", f"layer{stage}.{number}", stage, index, number, block)
            blocks[number] = build_tdm(spec, site, segments)
            index += 1
    return Backbone(TDN(trunk, in_channels, segments), features, (), CLASSIFIER_KEYS, whole_clips=True)
