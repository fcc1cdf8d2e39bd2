"""STH-Conv against Eq. 2, written out channel by channel and tap by tap in float64."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.kernels import Geometry, implementation
from study.kernels.library import runs_gathered
from study.models.blocks.sth import STHConv2d, build_sth
from study.models.placement import Site
from study.spec.blocks import STHBlock

FRAMES, C_I, C_O = 4, 8, 16


def make_site(conv: nn.Conv2d, index: int = 0, index_in_stage: int = 0) -> Site:
    return Site("spatial_conv", "layer1.0.conv2", 1, index, index_in_stage, conv)


def make_block(
    spec: STHBlock, *, stride: int = 1, bias: bool = False, index: int = 0
) -> tuple[nn.Module, nn.Conv2d]:
    """A block with random float64 weights, and an untouched copy of the convolution it replaces."""
    torch.manual_seed(0)
    conv = nn.Conv2d(C_I, C_O, 3, stride=stride, padding=1, bias=bias).double()
    original = nn.Conv2d(C_I, C_O, 3, stride=stride, padding=1, bias=bias).double()
    original.load_state_dict(conv.state_dict())
    block = build_sth(spec, make_site(conv), FRAMES).double()
    for name, parameter in block.named_parameters():
        if name.startswith(("temporal", "attention")):
            nn.init.normal_(parameter, std=0.3)
    return block, original


def temporal_channels(arrangement: str, group_count: int, m: int) -> range:
    """The input channels that output channel ``m`` sees through temporal kernels (Fig. 3, both readings)."""
    size = C_I // group_count
    if arrangement == "hybrid":
        group = m // (C_O // group_count)
        return range(group * size, (group + 1) * size)
    if arrangement == "merge_in":
        return range(size)
    return range(C_I) if m < C_O // group_count else range(0)


def naive_parts(
    x: Tensor, spatial: dict, temporal: dict, *, stride: int, d_s: int, d_t: int
) -> tuple[Tensor, Tensor]:
    """O_S and O_T of Eq. 2, (N, C_o, T, H', W'); kernels are given by (output, input) channel."""
    t, h, w = x.shape[2:]
    padded = nn.functional.pad(x, (d_s, d_s, d_s, d_s, d_t, d_t))

    def tap(c: int, k: int, i: int, j: int) -> Tensor:
        """What the tap (k, i, j) of a kernel reads for every output pixel; (1, 1, 1) is its center."""
        moved = padded[:, c, k * d_t : k * d_t + t, i * d_s : i * d_s + h, j * d_s : j * d_s + w]
        return moved[:, :, ::stride, ::stride]

    square = [torch.stack([tap(c, 1, i, j) for i in range(3) for j in range(3)]) for c in range(C_I)]
    line = [torch.stack([tap(c, k, 1, 1) for k in range(3)]) for c in range(C_I)]
    parts = []
    for kernels, taps in ((spatial, square), (temporal, line)):
        channels = [torch.zeros_like(taps[0][0]) for _ in range(C_O)]
        for (m, c), kernel in kernels.items():
            channels[m] = channels[m] + torch.tensordot(kernel.flatten(), taps[c], dims=1)
        parts.append(torch.stack(channels, dim=1))
    return parts[0], parts[1]


def naive_kernels(block: STHConv2d, original: nn.Conv2d, arrangement: str, groups: int) -> tuple[dict, dict]:
    """Leaves with the kernel of every (output, input) pair; spatial ones from the original convolution."""
    spatial, temporal = {}, {}
    first_temporal_row = 0
    for m in range(C_O):
        channels = temporal_channels(arrangement, groups, m)
        for c in range(C_I):
            if c in channels:
                kernel = block.temporal.weight[m - first_temporal_row, c - channels.start, :, 0]
                temporal[m, c] = kernel.detach().clone().requires_grad_()
            else:
                spatial[m, c] = original.weight[m, c].detach().clone().requires_grad_()
    return spatial, temporal


def folded(x: Tensor) -> Tensor:
    n, c, t, h, w = x.shape
    return x.transpose(1, 2).reshape(n * t, c, h, w)


def unfolded(y: Tensor) -> Tensor:
    return y.unflatten(0, (-1, FRAMES)).transpose(1, 2)


VARIANTS = [
    (arrangement, groups, stride, dilation, axes, how)
    for arrangement in ("hybrid", "merge_out", "merge_in")
    for groups in (2, 4, 8)
    for stride in (1, 2)
    for dilation, axes in ((1, "both"), *itertools.product((2, 3), ("both", "temporal", "spatial")))
    for how in (("dense", "gathered") if arrangement == "hybrid" else ("auto",))
]


@pytest.mark.parametrize(("arrangement", "groups", "stride", "dilation", "axes", "how"), VARIANTS)
def test_equals_equation_2(
    arrangement: str, groups: int, stride: int, dilation: int, axes: str, how: str
) -> None:
    """Output, and the gradients to the input and to every kernel."""
    spec = STHBlock.model_validate(
        {
            "type": "sth",
            "p": f"1/{groups}",
            "arrangement": arrangement,
            "dilation": [dilation],
            "dilation_axes": axes,
        }
    )
    block, original = make_block(spec, stride=stride)
    spatial, temporal = naive_kernels(block, original, arrangement, groups)
    x = torch.randn(2, C_I, FRAMES, 5, 6, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    with implementation(how):
        y = unfolded(block(folded(ours)))
    d_s = dilation if axes != "temporal" else 1
    d_t = dilation if axes != "spatial" else 1
    expected = sum(naive_parts(theirs, spatial, temporal, stride=stride, d_s=d_s, d_t=d_t))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)

    upstream = torch.randn_like(y)
    y.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)
    rows = {m: [c for c in range(C_I) if (m, c) in spatial] for m in range(C_O)}
    stored = [torch.stack([spatial[m, c].grad for c in rows[m]]) for m in range(C_O) if rows[m]]
    torch.testing.assert_close(block.spatial.weight.grad, torch.stack(stored), rtol=0, atol=1e-11)
    rows = {m: [c for c in range(C_I) if (m, c) in temporal] for m in range(C_O)}
    stored = [torch.stack([temporal[m, c].grad for c in rows[m]]) for m in range(C_O) if rows[m]]
    torch.testing.assert_close(block.temporal.weight.grad[..., 0], torch.stack(stored), rtol=0, atol=1e-11)


@pytest.mark.parametrize("arrangement", ["hybrid", "merge_in"])
@pytest.mark.parametrize("stride", [1, 2])
def test_attention_weighs_the_two_parts_of_each_clip(arrangement: str, stride: int) -> None:
    """Eq. 3, with the coefficients that the attention gave: one pair of vectors for each clip."""
    spec = STHBlock(type="sth", arrangement=arrangement, attention="concat")
    block, original = make_block(spec, stride=stride)
    spatial, temporal = naive_kernels(block, original, arrangement, 4)
    x = torch.randn(2, C_I, FRAMES, 5, 6, dtype=torch.float64)
    seen = []
    block.attention.register_forward_hook(lambda module, inputs, output: seen.append(output))
    y = unfolded(block(folded(x)))
    o_s, o_t = naive_parts(x, spatial, temporal, stride=stride, d_s=1, d_t=1)
    (alpha_s, alpha_t) = seen[0]
    assert alpha_s.shape == (2, C_O)
    for n, m in itertools.product(range(2), range(C_O)):
        expected = alpha_s[n, m] * o_s[n, m] + alpha_t[n, m] * o_t[n, m]
        torch.testing.assert_close(y[n, m], expected, rtol=0, atol=1e-12)


def test_coefficients_in_float32_beside_parts_in_bfloat16() -> None:
    """As autocast has them on a GPU."""
    block, _ = make_block(STHBlock(type="sth", attention="cost"), bias=True)
    block = block.bfloat16()
    block.bias.data = block.bias.data.float()
    block.attention.register_forward_hook(lambda module, inputs, out: (out[0].float(), out[1].float()))
    assert block(torch.randn(FRAMES, C_I, 5, 5).bfloat16()).dtype == torch.bfloat16


def test_temporal_slice_moves_from_group_to_group() -> None:
    """Fig. 2: eight input channels, p = 1/4: output group g sees channels 2g and 2g + 1 over time."""
    block, _ = make_block(STHBlock(type="sth"))
    for c in range(C_I):
        x = torch.zeros(1, C_I, FRAMES, 3, 3, dtype=torch.float64)
        x[:, c, 1] = 1
        later = unfolded(block(folded(x)))[0, :, 2].abs().sum(dim=(1, 2))
        answering = {m for m in range(C_O) if later[m] > 0}
        group = c // 2
        assert answering == set(range(4 * group, 4 * group + 4))


@pytest.mark.parametrize(("arrangement", "spatial", "temporal"), [
    ("hybrid", (16, 6, 3, 3), (16, 2, 3, 1)),
    ("merge_in", (16, 6, 3, 3), (16, 2, 3, 1)),
    ("merge_out", (12, 8, 3, 3), (4, 8, 3, 1)),
])  # fmt: skip
def test_only_kept_weights_are_parameters(arrangement: str, spatial: tuple, temporal: tuple) -> None:
    block, _ = make_block(STHBlock(type="sth", arrangement=arrangement))
    shapes = {name: tuple(parameter.shape) for name, parameter in block.named_parameters()}
    assert shapes == {"spatial.weight": spatial, "temporal.weight": temporal}


def test_bias_is_added_once() -> None:
    block, _ = make_block(STHBlock(type="sth"), bias=True)
    x = torch.zeros(FRAMES, C_I, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(block(x), block.bias[:, None, None].expand(FRAMES, C_O, 3, 3))


@pytest.mark.parametrize("dilation", [1, 2])
def test_p_0_is_the_convolution_itself(dilation: int) -> None:
    block, original = make_block(STHBlock(type="sth", p=0, dilation=(dilation,)))
    block.load_state_dict(original.state_dict())
    x = torch.randn(FRAMES, C_I, 7, 7, dtype=torch.float64)
    expected = nn.functional.conv2d(x, original.weight, padding=dilation, dilation=dilation)
    assert torch.equal(block(x), expected)


@pytest.mark.parametrize(("cycle", "index", "in_stage", "rate"), [
    ("global", 0, 0, 1), ("global", 4, 1, 2), ("global", 5, 0, 3),
    ("per_stage", 5, 0, 1), ("per_stage", 4, 1, 2),
])  # fmt: skip
def test_dilation_rates_take_turns(cycle: str, index: int, in_stage: int, rate: int) -> None:
    spec = STHBlock(type="sth", dilation=(1, 2, 3), dilation_cycle=cycle)
    block = build_sth(spec, make_site(nn.Conv2d(8, 8, 3, padding=1), index, in_stage), FRAMES)
    assert (block.geometry.spatial_dilation, block.geometry.temporal_dilation) == (rate, rate)


@pytest.mark.parametrize(("conv", "message"), [
    (nn.Conv2d(6, 8, 3, padding=1), r"layer1.0.conv2: model.block.p: 1/4 does not divide its 6 input chan"),
    (nn.Conv2d(8, 6, 3, padding=1), r"does not divide its 6 output channels"),
    (nn.Conv2d(8, 8, 3, padding=1, groups=2), r"needs a convolution with 1 group, not 2"),
    (nn.Conv2d(8, 8, 3, padding=0), r"not centered"),
    (nn.Conv2d(8, 8, 2, padding=1), r"not centered"),
])  # fmt: skip
def test_a_convolution_that_cannot_take_it_is_refused(conv: nn.Conv2d, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_sth(STHBlock(type="sth"), make_site(conv), FRAMES)


def test_the_form_is_chosen_by_channels_and_device() -> None:
    small, large = (Geometry(channels, channels, 4, "hybrid") for channels in (64, 256))
    assert (runs_gathered(torch.empty(0), small), runs_gathered(torch.empty(0), large)) == (False, True)
    # What a CPU would execute is counted without one (study.cost.count).
    assert runs_gathered(torch.empty(0, device="meta"), large)


def test_a_form_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    block, _ = make_block(STHBlock(type="sth"))
    groups, conv2d = [], nn.functional.conv2d

    def spy(*args: Any, **options: Any) -> Tensor:
        groups.append(options.get("groups", args[-1]))
        return conv2d(*args, **options)

    monkeypatch.setattr(nn.functional, "conv2d", spy)
    for how in ("dense", "gathered", "library", "fused"):
        with implementation(how):
            block(torch.randn(FRAMES, C_I, 5, 5, dtype=torch.float64))
    temporal = 4
    assert groups == [1, temporal, 4, temporal, 1, temporal, 1, temporal]
