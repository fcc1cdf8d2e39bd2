"""TRN's head against sums over subsets of frames."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest
import torch

from study.errors import ModelError
from study.models.build import build_model
from study.models.consensus_trn import TRNMultiscale, draw_subsets, fixed_subsets, unrank_subset
from study.models.initialization import initialize_new_layers
from study.spec.model import ModelSpec


def make(frames: int = 5) -> TRNMultiscale:
    head = TRNMultiscale(num_classes=7, frames=frames)
    initialize_new_layers(head, "consensus", seed=0)
    return head.eval()


def test_equals_sums_over_subsets() -> None:
    head = make()
    x = torch.randn(2, 5, 256)
    expected = torch.zeros(2, 7)
    seen = 0
    for scale in (2, 3, 4, 5):
        _, first, _, second = head.relations[5 - scale]
        assert first.weight.shape == (256, scale * 256)
        for subset in fixed_subsets(5, scale):
            seen += 1
            features = torch.cat([x[:, t] for t in subset], dim=1).clamp(min=0)
            hidden = (features @ first.weight.T + first.bias).clamp(min=0)
            expected += hidden @ second.weight.T + second.bias
    assert seen == 3 + 3 + 3 + 1
    torch.testing.assert_close(head(x), expected, rtol=1e-5, atol=1e-5)
    assert (head(x) - head(x.flip(1))).abs().max() > 1e-2


@pytest.mark.parametrize("scale", range(1, 7))
def test_ranks_are_lexicographic(scale: int) -> None:
    every = list(combinations(range(6), scale))
    assert [unrank_subset(6, scale, rank) for rank in range(len(every))] == every


@pytest.mark.parametrize("frames", [2, 3, 8, 16, 64])
def test_subsets(frames: int) -> None:
    for scale in range(2, frames + 1):
        for subsets in (fixed_subsets(frames, scale), draw_subsets(frames, scale)):
            assert len(set(subsets)) == len(subsets) == min(3, comb(frames, scale))
            for subset in subsets:
                assert len(subset) == scale
                assert list(subset) == sorted(set(subset))
                assert subset[0] >= 0
                assert subset[-1] < frames


def test_subsets_of_testing_never_change() -> None:
    """A change would make scores of stored weights differ from those on record."""
    assert fixed_subsets(8, 2) == [(0, 4), (1, 7), (5, 7)]
    assert fixed_subsets(8, 5) == [(0, 2, 4, 6, 7), (1, 3, 4, 6, 7), (2, 3, 4, 5, 6)]


def test_training_draws_and_testing_does_not() -> None:
    head = make(frames=8)
    x = torch.randn(2, 8, 256)
    assert torch.equal(head(x), head(x))
    head.train()
    torch.manual_seed(0)
    first = head(x)
    assert not torch.equal(head(x), first)
    torch.manual_seed(0)
    assert torch.equal(head(x), first)


def test_every_relation_gets_a_gradient() -> None:
    spec = ModelSpec.model_validate({"backbone": "resnet_tiny", "consensus": "trn"})
    model = build_model(spec, num_classes=5, frames=4)
    assert model.classifier.out_features == 256
    scores = model(torch.randn(2, 3, 4, 32, 32))
    assert scores.shape == (2, 5)
    (scores * torch.arange(10).view(2, 5)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_initial_weights_depend_on_the_seed_alone() -> None:
    spec = ModelSpec.model_validate({"backbone": "resnet_tiny", "consensus": "trn"})
    one, again, other = (build_model(spec, num_classes=5, frames=4, seed=s).consensus for s in (0, 0, 1))
    weight = one.relations[0][1].weight
    assert torch.equal(weight, again.relations[0][1].weight)
    assert not torch.equal(weight, other.relations[0][1].weight)
    assert weight.abs().max() <= (4 * 256) ** -0.5
    assert weight.abs().max() > 0.99 * (4 * 256) ** -0.5


@pytest.mark.parametrize(("backbone", "frames"), [("resnet_tiny", 1), ("i3d_resnet50", 8)])
def test_a_single_step_is_refused(backbone: str, frames: int) -> None:
    block = {"type": "conv2d" if backbone == "resnet_tiny" else "none"}
    spec = ModelSpec.model_validate({"backbone": backbone, "block": block, "consensus": "trn"})
    with pytest.raises(ModelError, match=r"model\.consensus: 'trn' .* at least 2, got 1"):
        build_model(spec, num_classes=5, frames=frames)
