"""(2+1)D against torch's 3D convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv3d

from study.models.blocks.two_plus_one import build_two_plus_one
from study.models.placement import Site
from study.spec.blocks import TwoPlusOneBlock


@pytest.mark.parametrize("order", ["sequential", "parallel"])
@pytest.mark.parametrize("stride", [1, 2])
def test_equals_two_3d_convolutions(order: str, stride: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, stride=stride, padding=1, bias=False).double()
    site = Site("spatial_conv", "conv", 1, 0, 0, conv)
    block = build_two_plus_one(TwoPlusOneBlock(type="two_plus_one", order=order), site, 5).double()
    nn.init.normal_(block.temporal.weight)
    x = torch.randn(2, 4, 5, 6, 7, dtype=torch.float64)
    spatial = conv3d(x, conv.weight[:, :, None], stride=(1, stride, stride), padding=(0, 1, 1))
    kernel = block.temporal.weight[..., None]
    if order == "sequential":
        expected = conv3d(spatial, kernel, padding=(1, 0, 0))
    else:
        expected = spatial + conv3d(x, kernel, stride=(1, stride, stride), padding=(1, 0, 0))
    y = block(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 5)).transpose(1, 2)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
