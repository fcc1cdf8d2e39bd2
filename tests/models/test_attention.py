"""The structures of the attentive integration: budgets, formulas, and the probe."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from study.errors import ModelError
from study.models.attention_probe import collect_attention
from study.models.blocks.attention import STRUCTURES, build_attention
from study.models.build import build_model
from study.spec.model import ModelSpec

R50_CHANNELS = [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3

BUDGETS = {
    "cost": lambda c: c * c + 4,
    "concat": lambda c: c * c + 9 * c // 4,
    "se_pair": lambda c: c * c + 5 * c // 2,
    "sk_r2": lambda c: c * c + 3 * c // 2,
    "shared_se_r2": lambda c: c * c + 3 * c // 2,
    "fc_sigmoid": lambda c: c * c + c,
}
OVERHEAD_M = {
    "cost": 1.258, "concat": 1.266, "se_pair": 1.267,
    "sk_r2": 1.263, "shared_se_r2": 1.263, "fc_sigmoid": 1.261,
}  # fmt: skip


def test_every_structure_has_a_budget() -> None:
    assert set(BUDGETS) == set(STRUCTURES) == set(OVERHEAD_M)


@pytest.mark.parametrize("structure", BUDGETS)
def test_parameter_budget(structure: str) -> None:
    """For one block, and over the 16 of a ResNet-50, where the published figures leave 1.247 to 1.272 M."""
    with torch.device("meta"):
        sizes = {
            c: sum(p.numel() for p in build_attention(structure, c, "avg").parameters())
            for c in set(R50_CHANNELS)
        }
    assert sizes == {c: BUDGETS[structure](c) for c in sizes}
    overhead = sum(sizes[c] for c in R50_CHANNELS) / 1e6
    assert round(overhead, 3) == OVERHEAD_M[structure]
    assert 1.247 <= overhead <= 1.272


def by_hand(structure: str, weights: dict[str, Tensor], s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_S and alpha_T of pooled parts (N, C), from the structures' descriptions."""

    def two_layers(name: str, x: Tensor) -> Tensor:
        hidden = (x @ weights[f"{name}.0.weight"].T + weights[f"{name}.0.bias"]).clamp(min=0)
        return hidden @ weights[f"{name}.2.weight"].T + weights[f"{name}.2.bias"]

    c = s.shape[1]
    if structure == "cost":
        u, v = s @ weights["shared.weight"].T, t @ weights["shared.weight"].T
        (a, b), (d, e) = weights["across.weight"]
        scores = a * u + b * v, d * u + e * v
    elif structure == "concat":
        both = two_layers("mlp", torch.cat([s, t], dim=1))
        scores = both[:, :c], both[:, c:]
    elif structure == "se_pair":
        scores = two_layers("spatial", s), two_layers("temporal", t)
    elif structure == "shared_se_r2":
        scores = two_layers("mlp", s), two_layers("mlp", t)
    elif structure == "sk_r2":
        scores = torch.zeros_like(s), two_layers("path", s + t)
    else:
        scores = torch.zeros_like(s), (s + t) @ weights["path.weight"].T + weights["path.bias"]
    total = scores[0].exp() + scores[1].exp()
    return scores[0].exp() / total, scores[1].exp() / total


@pytest.mark.parametrize("structure", BUDGETS)
def test_formula(structure: str) -> None:
    torch.manual_seed(0)
    attention = build_attention(structure, 8, "avg").double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    spatial, temporal = torch.randn(2, 3, 10, 8, dtype=torch.float64)
    ours = attention(*attention.squeeze(spatial, temporal))
    theirs = by_hand(structure, attention.state_dict(), spatial.mean(1), temporal.mean(1))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("structure", BUDGETS)
def test_max_pooling(structure: str) -> None:
    """Of each part, or of their sum where the structure weighs that."""
    attention = build_attention(structure, 8, "max")
    spatial, temporal = torch.randn(2, 3, 10, 8)
    expected = [part.max(dim=1).values for part in (spatial, temporal)]
    if structure in ("sk_r2", "fc_sigmoid"):
        expected = [(spatial + temporal).max(dim=1).values]
    pooled = attention.squeeze(spatial, temporal)
    assert len(pooled) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(pooled, expected, strict=True))
    assert attention(*pooled)[1].shape == (3, 8)


def test_means_do_not_overflow_in_half_precision() -> None:
    """The sum of the pixels of a clip is beyond what float16 holds."""
    part = torch.full((1, 70000, 4), 2.0, dtype=torch.float16)
    means = build_attention("cost", 4, "avg").squeeze(part, part)
    assert all(torch.equal(mean, torch.full((1, 4), 2.0, dtype=torch.float16)) for mean in means)


def test_starts_near_one_half() -> None:
    attention = build_attention("cost", 64, "avg")
    attention.init_parameters(torch.Generator().manual_seed(0))
    alpha_s, alpha_t = attention(torch.randn(2, 64), torch.randn(2, 64))
    torch.testing.assert_close(alpha_s + alpha_t, torch.ones(2, 64))
    assert (alpha_s - 0.5).abs().max() < 0.01
    weight = attention.shared.weight
    assert abs(weight.std().item() - 0.01) < 0.001


@pytest.mark.parametrize(("structure", "channels"), [("sk_r4", 64), ("cost", 6)])
def test_unknown_or_indivisible_is_refused(structure: str, channels: int) -> None:
    with pytest.raises(ModelError, match=r"model\.block\.attention"):
        build_attention(structure, channels, "avg")


def make_tiny(block: dict) -> torch.nn.Module:
    spec = ModelSpec.model_validate({"backbone": "resnet_tiny", "block": block})
    return build_model(spec, num_classes=3, frames=4).eval()


def test_probe_sees_every_block_and_leaves_no_hook() -> None:
    model = make_tiny({"type": "sth", "attention": "cost"})
    clips = torch.randn(2, 3, 4, 16, 16)
    with collect_attention(model) as seen:
        model(clips)
        model(clips[:1])
    model(clips)
    assert list(seen) == [site.name for site in model.sites]
    first = seen["layer1.0.conv1"]
    assert [tuple(alpha.shape) for alpha in first.alpha_s] == [(2, 16), (1, 16)]
    torch.testing.assert_close(first.alpha_s[0] + first.alpha_t[0], torch.ones(2, 16))
    torch.testing.assert_close(first.alpha_s[0][:1], first.alpha_s[1])
    assert not first.alpha_s[0].requires_grad
    assert not any(module._forward_hooks for module in model.modules())


def test_probe_of_a_network_without_attention_is_empty() -> None:
    model = make_tiny({"type": "sth"})
    with collect_attention(model) as seen:
        model(torch.randn(1, 3, 4, 16, 16))
    assert seen == {}
