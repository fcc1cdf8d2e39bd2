"""CoST: one 2D kernel applied to three views of a clip (Li et al., CVPR 2019).

"Collaborative Spatiotemporal Feature Learning for Video Action Recognition", section 3.2. The kernel (C_o,
C_i, k, k) is convolved over height and width, over time and width, and over time and height, with the spatial
stride in all three, and the results are summed with coefficients that a softmax makes out of three scores for
each output channel:

    y = a_HW * y_HW + a_TW * y_TW + a_TH * y_TH.

In CoST (a) the scores are parameters, 0.7 for the view HW and -0.7 for the others at the start. In CoST (b)
they are predicted for each clip: every view is max-pooled over time and space, passes a C x C layer that the
views share, and then a 3 x 3 layer across them. No biases and no activation stand between the two. Initial
values, pooling and layers follow the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.blocks.geometry import require_same_padding
from study.models.blocks.views import clip_view, frame_view
from study.models.initialization import NewLayer
from study.models.placement import Site
from study.spec.blocks import CoSTBlock

VIEWS = 3
"""Height-width, time-width, time-height."""
WEIGHT_STD = 0.01
"""Standard deviation of initial weights in CoST (b)."""


class LearnedCoefficients(NewLayer):
    """CoST (a): coefficients (1, 3, C) that do not depend on the clip. 3 C parameters."""

    scores: nn.Parameter

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.empty(VIEWS, channels))

    def forward(self, views: list[Tensor]) -> Tensor:
        return self.scores.softmax(dim=0).unsqueeze(0)

    def init_parameters(self, generator: torch.Generator) -> None:
        nn.init.constant_(self.scores, -0.7)
        nn.init.constant_(self.scores[0], 0.7)


class PredictedCoefficients(NewLayer):
    """CoST (b): coefficients (N, 3, C) from the views, each (N, C, T, H, W). C^2 + 9 parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shared = nn.Linear(channels, channels, bias=False)
        self.across = nn.Linear(VIEWS, VIEWS, bias=False)

    def forward(self, views: list[Tensor]) -> Tensor:
        pooled = torch.stack([view.amax(dim=(2, 3, 4)) for view in views], dim=1)
        scores: Tensor = self.across(self.shared(pooled).transpose(1, 2))
        return scores.softmax(dim=2).transpose(1, 2)

    def init_parameters(self, generator: torch.Generator) -> None:
        for layer in (self.shared, self.across):
            nn.init.normal_(layer.weight, std=WEIGHT_STD, generator=generator)


class CoSTConv(nn.Module):
    """The CoST operation: (N*T, C_i, H, W) to (N*T, C_o, H', W').

    Args:
        conv: the 2D convolution it replaces; weight and bias are taken over and keep their names.
        coefficients: from the views to their coefficients.
        frames: T.
    """

    def __init__(self, conv: nn.Conv2d, coefficients: NewLayer, frames: int) -> None:
        super().__init__()
        self.weight = conv.weight
        self.bias = conv.bias
        self.coefficients = coefficients
        self.frames = frames
        self.stride = conv.stride[0]
        self.dilation = conv.dilation[0]
        self.groups = conv.groups

    def forward(self, x: Tensor) -> Tensor:
        clips = clip_view(x, self.frames)
        views = [self._convolve(clips, axis) for axis in range(VIEWS)]
        alphas = self.coefficients(views)[..., None, None, None].unbind(dim=1)
        y = frame_view(sum_weighted(views, alphas))
        return y if self.bias is None else y + self.bias[:, None, None].to(y.dtype)

    def _convolve(self, clips: Tensor, still: int) -> Tensor:
        """Convolve over two axes of (T, H, W), one tap on the axis ``still``."""
        padding = [self.dilation * (self.weight.shape[2] // 2)] * 3
        padding[still] = 0
        return functional.conv3d(
            clips,
            self.weight.unsqueeze(2 + still),
            stride=(1, self.stride, self.stride),
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )


def sum_weighted(views: list[Tensor], alphas: tuple[Tensor, ...]) -> Tensor:
    """The sum of ``views``, (N, C, T, H, W) each, times coefficients that broadcast over time and space."""
    # Autocast on a GPU computes a softmax in float32.
    parts = [view * alpha.to(view.dtype) for view, alpha in zip(views, alphas, strict=True)]
    return parts[0] + parts[1] + parts[2]


def build_cost_conv(spec: CoSTBlock, site: Site, frames: int) -> nn.Module:
    """The CoST operation in the place of the convolution at ``site``, whose kernel is the first view's.

    Raises:
        ModelError: when the convolution is not square or not centered on the pixels its stride keeps.
    """
    require_same_padding(site)
    for name in ("kernel_size", "stride", "dilation"):
        height, width = getattr(site.conv, name)
        if height != width:
            raise ModelError(f"{site.name}: {name} {height} x {width}; views need one that is square")
    channels = site.conv.out_channels
    make = LearnedCoefficients if spec.coefficients == "learned" else PredictedCoefficients
    return CoSTConv(site.conv, make(channels), frames)
