"""Training on STH-Conv gives the same bits again, on one thread and on several, and needs no compiler."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from study.kernels import watch
from study.kernels.native import build
from study.models.blocks.sth import build_sth
from study.models.placement import Site
from study.spec.blocks import STHBlock

FRAMES = 4


def train(channels: int, threads: int, attention: str) -> list[Tensor]:
    """The result and all gradients of a layer, from the same beginning."""
    torch.manual_seed(0)
    site = Site("spatial_conv", "conv", 1, 0, 0, nn.Conv2d(channels, channels, 3, padding=1, bias=True))
    layer = build_sth(STHBlock.model_validate({"type": "sth", "attention": attention}), site, FRAMES)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.1)
    x = torch.randn(4 * FRAMES, channels, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = layer(x)
        y.square().sum().backward()
    finally:
        torch.set_num_threads(before)
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize("attention", ["none", "cost"])
@pytest.mark.parametrize("channels", [16, 128])
def test_the_same_bits_again(channels: int, attention: str) -> None:
    results = {}
    for threads in (1, 2):
        first, second = (train(channels, threads, attention) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        results[threads] = first
    for one, two in zip(results[1], results[2], strict=True):
        assert (one - two).norm() <= 1e-5 * one.norm()


@pytest.mark.parametrize("channels", [16, 128])
def test_kernels_that_a_machine_has_change_no_bit(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with watch() as ran:
        there = train(channels, 1, "cost")
        monkeypatch.setattr(build, "load", lambda: None)
        none = train(channels, 1, "cost")
    assert not ran
    assert all(torch.equal(one, other) for one, other in zip(there, none, strict=True))
