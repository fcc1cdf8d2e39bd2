"""The plain 2D convolution, frame by frame: TSN, the baseline (p = 0)."""

from __future__ import annotations

from torch import nn

from study.models.placement import Site
from study.spec.blocks import Conv2dBlock


def build_conv2d(spec: Conv2dBlock, site: Site, frames: int) -> nn.Module:
    """The convolution that stands at ``site``, untouched."""
    return site.conv
