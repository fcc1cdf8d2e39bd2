"""ABM-C-in: an approximated bilinear module inside residual blocks.

Zhu et al., "Approximated Bilinear Modules for Temporal Modeling", ICCV 2019. In the place of the core
convolution stands the product of two 3x3x3 convolutions,

    y = ReLU(BN(main(x)) * auxiliary(x)).

``main`` starts as the 2D convolution (its kernel in the middle frame, zero before and after) and
``auxiliary`` as the constant 1, so that the network starts as the 2D one. That, and the placement (every
residual block of stages 2 to 4 but the first of each), follow the authors' code. So does the core of a basic
block, its first 3x3. The paper's names C-in and A-in are told apart by that code; which of them the published
rows are is uncertain.

In: 16 segments of three frames, stacked to one image of nine channels (``stack: 3``). The authors repeat the
first layer's weights for the stacked frames as they are; here they are divided by three as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.blocks.residual import OpenResidual
from study.models.blocks.views import clip_view, frame_view
from study.models.initialization import NewLayer
from study.models.placement import Site
from study.spec.blocks import ABMBlock


class MainConv(nn.Module):
    """A 3x3x3 convolution that starts as ``conv`` on every frame: (N, C_i, T, H, W) to (N, C_o, T, H, W)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        before_and_after = torch.zeros_like(conv.weight)
        kernel = torch.stack([before_and_after, conv.weight.detach(), before_and_after], dim=2)
        self.weight = nn.Parameter(kernel)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv3d(x, self.weight, padding=1)


class AuxiliaryConv(NewLayer):
    """A 3x3x3 convolution with bias that starts as the constant 1; shapes as in :class:`MainConv`."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(conv.out_channels, conv.in_channels, 3, 3, 3))
        self.bias = nn.Parameter(torch.empty(conv.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv3d(x, self.weight, self.bias, padding=1)

    def init_parameters(self, generator: torch.Generator) -> None:
        nn.init.zeros_(self.weight)
        nn.init.ones_(self.bias)


class ABMResidual(OpenResidual):
    """A residual block whose core is the product of two 3x3x3 convolutions: (N*T, C, H, W) to the same shape."""

    def __init__(self, site: Site, frames: int) -> None:
        super().__init__(site)
        conv = self.get_submodule(self.core_name)
        if not isinstance(conv, nn.Conv2d):
            raise ModelError(
                f"{site.name}.{self.core_name}: expected a 2D convolution, found {type(conv).__name__}"
            )
        self.frames = frames
        self.main = MainConv(conv)
        self.auxiliary = AuxiliaryConv(conv)
        delattr(self, self.core_name)

    def core(self, x: Tensor) -> Tensor:
        clips = clip_view(x, self.frames)
        norm = self.bn2 if self.is_bottleneck else self.bn1
        y: Tensor = self.relu(norm(frame_view(self.main(clips))) * frame_view(self.auxiliary(clips)))
        return y


def build_abm(spec: ABMBlock, site: Site, frames: int) -> nn.Module:
    """The residual block at ``site`` with the product in it, or itself where its shortcut is a projection.

    Raises:
        ModelError: when there is no residual block of a ResNet.
    """
    if getattr(site.module, "downsample", None) is not None:
        return site.module
    return ABMResidual(site, frames)
