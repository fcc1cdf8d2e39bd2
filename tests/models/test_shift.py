"""Shifts against copies by slice, as their authors write them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from study.errors import ModelError
from study.models.blocks.shift import Move, build_shift, shift_channels
from study.models.placement import Site
from study.spec.blocks import AnyBlock, STSMBlock, TSMBlock, TSMInPlaceBlock

FRAMES, CHANNELS = 4, 16


def clips(requires_grad: bool = False) -> Tensor:
    """(N*T, C, H, W) in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * FRAMES, CHANNELS, 5, 6, dtype=torch.float64, generator=generator)
    return x.to(memory_format=torch.channels_last).requires_grad_(requires_grad)


def shift_by_slices(x: Tensor, groups: list[tuple[int, int, int]]) -> Tensor:
    """``groups``: axis of (N, T, C, H, W), step, channels."""
    video = x.unflatten(0, (2, FRAMES))
    out = video.clone()
    start = 0
    for axis, step, channels in groups:
        source = video[:, :, start : start + channels]
        target = torch.zeros_like(source)
        length = source.shape[axis]
        for place in range(length):
            if 0 <= place - step < length:
                target.select(axis, place).copy_(source.select(axis, place - step))
        out[:, :, start : start + channels] = target
        start += channels
    return out.flatten(0, 1)


def make_site(kind: Any, module: nn.Module) -> Site:
    return Site(kind, "layer1.0.conv1", 1, 0, 0, module)


def identity_conv() -> nn.Conv2d:
    conv = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False).double()
    conv.weight.data = torch.eye(CHANNELS, dtype=torch.float64)[:, :, None, None]
    return conv


def run(spec: Any, x: Tensor) -> Tensor:
    return build_shift(spec, make_site("residual_input", identity_conv()), FRAMES)(x)


def test_tsm_takes_from_the_next_then_from_the_previous_frame() -> None:
    x = clips()
    expected = x.unflatten(0, (2, FRAMES)).clone()
    video = expected.clone()
    expected[:, :, :4] = 0
    expected[:, :-1, :2] = video[:, 1:, :2]
    expected[:, 1:, 2:4] = video[:, :-1, 2:4]
    torch.testing.assert_close(run(TSMBlock(type="tsm"), x), expected.flatten(0, 1), rtol=0, atol=0)


def test_fractions_are_options() -> None:
    x = clips()
    expected = shift_by_slices(x, [(1, -1, 4), (1, 1, 8)])
    block = TSMBlock(type="tsm", from_next="1/4", from_previous="1/2")
    torch.testing.assert_close(run(block, x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("shifts", "groups"), [
    ("T", [(1, -1, 2), (1, 1, 2)]),
    ("TH", [(1, -1, 2), (1, 1, 2), (3, -1, 1), (3, 1, 1)]),
    ("TW", [(1, -1, 2), (1, 1, 2), (4, -1, 1), (4, 1, 1)]),
    ("HW", [(3, -1, 1), (3, 1, 1), (4, -1, 1), (4, 1, 1)]),
    ("THW", [(1, -1, 2), (1, 1, 2), (3, -1, 1), (3, 1, 1), (4, -1, 1), (4, 1, 1)]),
    ([{"axis": "W", "step": 1, "fraction": "1/2"}, {"axis": "T", "step": -1, "fraction": 0.5}],
     [(4, 1, 8), (1, -1, 8)]),
])  # fmt: skip
def test_stsm_along_every_axis(shifts: Any, groups: list[tuple[int, int, int]]) -> None:
    x = clips()
    block = STSMBlock.model_validate({"type": "stsm", "shifts": shifts})
    torch.testing.assert_close(run(block, x), shift_by_slices(x, groups), rtol=0, atol=0)


def test_stsm_in_time_is_tsm() -> None:
    assert STSMBlock(type="stsm", shifts="T").list_shifts() == TSMBlock(type="tsm").list_shifts()


def test_gradient_is_the_opposite_shift() -> None:
    x = clips(requires_grad=True)
    weight = clips().detach().flip(0)
    moves = [Move("T", -1, 2), Move("H", 1, 3)]
    (gradient,) = torch.autograd.grad((shift_channels(x, FRAMES, moves) * weight).sum(), x)
    expected = shift_by_slices(weight, [(1, 1, 2), (3, -1, 3)])
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0)


def test_channels_last_memory_is_kept() -> None:
    y = shift_channels(clips(), FRAMES, [Move("T", -1, 2), Move("W", 1, 2)])
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_in_place_shifts_the_shortcut_too() -> None:
    torch.manual_seed(0)
    block = BasicBlock(CHANNELS, CHANNELS).double().eval()
    x = clips()
    shifted = build_shift(TSMInPlaceBlock(type="tsm_in_place"), make_site("residual_block", block), FRAMES)
    with torch.no_grad():
        expected = block(shift_by_slices(x, [(1, -1, 2), (1, 1, 2)]))
        torch.testing.assert_close(shifted(x), expected, rtol=0, atol=1e-12)


def test_nothing_to_shift_leaves_the_layer_alone() -> None:
    conv = identity_conv()
    block = TSMBlock(type="tsm", from_next=0, from_previous=0)
    assert build_shift(block, make_site("residual_input", conv), FRAMES) is conv


def test_a_fraction_of_a_channel_is_refused() -> None:
    block = TSMBlock(type="tsm", from_next="1/3")
    with pytest.raises(ModelError, match=r"layer1\.0\.conv1: 1/3 of its 16 channels"):
        build_shift(block, make_site("residual_input", identity_conv()), FRAMES)


@pytest.mark.parametrize("block", [
    {"type": "tsm", "from_next": "3/4", "from_previous": "1/2"},
    {"type": "tsm_in_place", "from_next": "-1/4"},
    {"type": "stsm", "shifts": [{"axis": "T", "step": 1, "fraction": 0}]},
    {"type": "stsm", "shifts": [{"axis": "T", "step": 2, "fraction": 0.5}]},
    {"type": "stsm", "shifts": "TT"},
    {"type": "gsf", "fraction": 0},
])  # fmt: skip
def test_options_out_of_range_are_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AnyBlock).validate_python(block)
