"""Depthwise STH-Conv against its definition, channel by channel and tap by tap in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from study.errors import ModelError
from study.kernels import implementation
from study.models.blocks.sth import build_sth
from study.models.blocks.sth_depthwise import DepthwiseSTHConv2d
from study.models.placement import Site
from study.spec.blocks import STHBlock

FRAMES, CHANNELS = 4, 8


def make_block(*, stride: int = 1, bias: bool = False, **options: Any) -> tuple[nn.Module, nn.Conv2d]:
    """A block with random float64 weights, and an untouched copy of the convolution it replaces."""
    torch.manual_seed(0)
    settings = {"stride": stride, "padding": 1, "groups": CHANNELS, "bias": bias}
    conv, original = (nn.Conv2d(CHANNELS, CHANNELS, 3, **settings).double() for _ in range(2))
    original.load_state_dict(conv.state_dict())
    site = Site("spatial_conv", "features.1.conv.0.0", 1, 0, 0, conv)
    block = build_sth(STHBlock.model_validate({"type": "sth", **options}), site, FRAMES).double()
    for name, parameter in block.named_parameters():
        if name.startswith("temporal"):
            nn.init.normal_(parameter)
    return block, original


def naive(x: Tensor, kernels: list[Tensor], stride: int, dilation: int) -> Tensor:
    """Each channel with its own kernel: (3, 3) over space, or (3,) over time."""
    t, h, w = x.shape[2:]
    d = dilation
    padded = pad(x, (d, d, d, d, d, d))
    channels = []
    for c, kernel in enumerate(kernels):
        total = torch.zeros_like(x[:, c])
        for i in range(3):
            if kernel.dim() == 1:
                total = total + kernel[i] * padded[:, c, i * d : i * d + t, d : d + h, d : d + w]
                continue
            for j in range(3):
                tap = padded[:, c, d : d + t, i * d : i * d + h, j * d : j * d + w]
                total = total + kernel[i, j] * tap
        channels.append(total[:, :, ::stride, ::stride])
    return torch.stack(channels, dim=1)


@pytest.mark.parametrize("how", ["auto", "gathered"])
@pytest.mark.parametrize("groups", [2, 4, 8])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 3)])
def test_every_gth_channel_is_temporal(how: str, groups: int, stride: int, dilation: int) -> None:
    """Output, and the gradients to the input and every kernel."""
    block, original = make_block(stride=stride, p=f"1/{groups}", dilation=[dilation])
    temporal = [c for c in range(CHANNELS) if c % groups == 0]
    kernels = [original.weight[c, 0].detach().clone() for c in range(CHANNELS)]
    for number, c in enumerate(temporal):
        kernels[c] = block.temporal.weight[number, 0, :, 0].detach().clone()
    for kernel in kernels:
        kernel.requires_grad_()
    x = torch.randn(2, CHANNELS, FRAMES, 5, 6, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    with implementation(how):
        y = block(ours.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, FRAMES)).transpose(1, 2)
    expected = naive(theirs, kernels, stride, dilation)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)

    upstream = torch.randn_like(y)
    y.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)
    spatial = torch.stack([kernels[c].grad for c in range(CHANNELS) if c not in temporal])
    torch.testing.assert_close(block.spatial.weight.grad[:, 0], spatial, rtol=0, atol=1e-11)
    over_time = torch.stack([kernels[c].grad for c in temporal])
    torch.testing.assert_close(block.temporal.weight.grad[:, 0, :, 0], over_time, rtol=0, atol=1e-11)


def test_only_kept_weights_are_parameters() -> None:
    block, _ = make_block(p="1/4")
    assert isinstance(block, DepthwiseSTHConv2d)
    shapes = {name: tuple(parameter.shape) for name, parameter in block.named_parameters()}
    assert shapes == {"spatial.weight": (6, 1, 3, 3), "temporal.weight": (2, 1, 3, 1)}


@pytest.mark.parametrize("how", ["auto", "gathered"])
def test_bias_is_added_once(how: str) -> None:
    block, original = make_block(bias=True)
    with implementation(how):
        y = block(torch.zeros(FRAMES, CHANNELS, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(y, original.bias[:, None, None].expand(FRAMES, CHANNELS, 3, 3))


def test_p_0_is_the_convolution_itself() -> None:
    block, original = make_block(p=0)
    x = torch.randn(FRAMES, CHANNELS, 5, 5, dtype=torch.float64)
    assert torch.equal(block(x), original(x))


def test_temporal_kernels_may_start_at_zero() -> None:
    site = Site("spatial_conv", "conv", 1, 0, 0, nn.Conv2d(8, 8, 3, padding=1, groups=8))
    block = build_sth(STHBlock(type="sth", temporal_init="zero"), site, FRAMES)
    block.temporal.init_parameters(torch.Generator().manual_seed(0))
    assert not block.temporal.weight.any()


@pytest.mark.parametrize(("options", "message"), [
    ({"p": "1/16"}, r"features\.1\.conv\.0\.0: model\.block\.p: 1/16 does not divide its 8 input"),
    ({"arrangement": "merge_out"}, r"model\.block\.arrangement: 'merge_out': .*Allowed: hybrid"),
    ({"attention": "cost"}, r"model\.block\.attention: 'cost': .*depthwise.*Allowed: none"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_block(**options)
