"""Building recognizers: determinism, what arms share, placement, the plain network against torchvision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.models import resnet18

from study.errors import ModelError, SpecError
from study.models.build import build_model
from study.models.recognizer import Recognizer, fold_frames
from study.spec.model import ModelSpec


def make(backbone: str = "resnet_tiny", frames: int = 4, seed: int = 0, **model: Any) -> Recognizer:
    spec = ModelSpec.model_validate({"backbone": backbone, "dropout": 0.0, **model})
    return build_model(spec, num_classes=5, frames=frames, seed=seed)


HYBRID = {"type": "sth", "p": "1/4"}
ATTENTION = {"type": "sth", "p": "1/4", "attention": "cost"}


def test_same_seed_same_weights_other_seed_others() -> None:
    first, again, other = make(block=ATTENTION), make(block=ATTENTION), make(block=ATTENTION, seed=1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for name, value in first.named_parameters():
        if value.dim() > 1:
            assert not torch.equal(value, dict(other.named_parameters())[name]), name


def test_global_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    make(block=ATTENTION)
    assert torch.equal(before, torch.random.get_rng_state())


def test_arms_share_what_they_have_in_common() -> None:
    """Every parameter of the same name and shape starts equal; the hybrid's kernels are the 2D network's."""
    plain, hybrid, attention = (
        make(block=block).state_dict() for block in ({"type": "conv2d"}, HYBRID, ATTENTION)
    )
    for one, other in ((plain, hybrid), (hybrid, attention)):
        shared = [name for name in one if name in other]
        assert "classifier.weight" in shared
        assert len(shared) > 50
        assert all(torch.equal(one[name], other[name]) for name in shared)
    assert "backbone.layer1.0.conv2.temporal.weight" in hybrid.keys() & attention.keys()
    for m, c in ((0, 4), (5, 0), (15, 11)):
        kept = [channel for channel in range(16) if channel // 4 != m // 4].index(c)
        ours = hybrid["backbone.layer1.0.conv2.spatial.weight"][m, kept]
        assert torch.equal(ours, plain["backbone.layer1.0.conv2.weight"][m, c])


def test_classifier_starts_small() -> None:
    spec = ModelSpec(backbone="resnet_tiny")
    classifier = build_model(spec, num_classes=1000, frames=4).classifier
    assert abs(classifier.weight.std().item() - 0.001) < 2e-5
    assert abs(classifier.weight.mean().item()) < 2e-5
    assert not classifier.bias.any()


def test_plain_network_is_torchvisions_frame_by_frame() -> None:
    """With the same weights, the scores are the mean over frames of torchvision's."""
    ours = make("resnet18", frames=3).eval()
    theirs = resnet18(num_classes=5).eval()
    state = {name.removeprefix("backbone."): value for name, value in ours.state_dict().items()}
    state |= {"fc.weight": state.pop("classifier.weight"), "fc.bias": state.pop("classifier.bias")}
    theirs.load_state_dict(state)
    clips = torch.randn(2, 3, 3, 64, 48)
    with torch.no_grad():
        expected = sum(theirs(clips[:, :, t]) for t in range(3)) / 3
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-6)


def test_folded_frames_are_channels_last_and_in_order() -> None:
    clips = torch.randn(2, 3, 4, 6, 5)
    frames = fold_frames(clips)
    assert frames.is_contiguous(memory_format=torch.channels_last)
    for n, t in ((0, 0), (0, 3), (1, 2)):
        assert torch.equal(frames[n * 4 + t], clips[n, :, t])


@pytest.mark.parametrize(("backbone", "sites"), [
    ("resnet_tiny", 12), ("resnet18", 16), ("resnet34", 32), ("resnet50", 16), ("resnet101", 33),
])  # fmt: skip
def test_every_3x3_of_the_body_is_a_site(backbone: str, sites: int) -> None:
    model = make(backbone, block=HYBRID)
    assert [site.index for site in model.sites] == list(range(sites))
    others = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv2d)}
    kernels = {name: model.get_submodule(name).kernel_size for name in others}
    assert kernels.pop("backbone.conv1") in ((7, 7), (3, 3))
    assert set(kernels.values()) == {(1, 1)}


@pytest.mark.parametrize(("placement", "names"), [
    ({"stages": [2]}, ["layer2.0.conv1", "layer2.0.conv2", "layer2.1.conv1", "layer2.1.conv2"]),
    ({"stages": [1, 3], "every": 3}, ["layer1.0.conv1", "layer1.1.conv2", "layer3.1.conv1"]),
    ({"every": 11}, ["layer1.0.conv1", "layer3.1.conv2"]),
])  # fmt: skip
def test_placement_fills_what_it_says(placement: dict[str, Any], names: list[str]) -> None:
    model = make(block=HYBRID, placement=placement)
    assert [site.name for site in model.sites] == names
    assert [site.stage for site in model.sites] == [int(name[5]) for name in names]
    replaced = {name for name, module in model.backbone.named_modules() if hasattr(module, "temporal")}
    assert replaced == set(names)


@pytest.mark.parametrize(("placement", "message"), [
    ({"stages": [4]}, r"model\.placement\.stages: 4: .*'resnet_tiny'.*Allowed: 1, 2, 3"),
    ({"stages": []}, r"no site"),
])  # fmt: skip
def test_no_site_filled_is_an_error(placement: dict[str, Any], message: str) -> None:
    with pytest.raises((ModelError, SpecError), match=message):
        make(block=HYBRID, placement=placement)


def test_p_that_does_not_divide_names_the_site() -> None:
    with pytest.raises(
        ModelError, match=r"layer1\.0\.conv1: model\.block\.p: 1/32 does not divide its 16 input"
    ):
        make(block={"type": "sth", "p": "1/32"})


def test_other_numbers_of_frames_are_refused() -> None:
    with pytest.raises(ModelError, match=r"expected clips \(N, C, 4, H, W\), got \(2, 3, 5, 32, 32\)"):
        make()(torch.zeros(2, 3, 5, 32, 32))


def test_other_input_channels() -> None:
    spec = ModelSpec(backbone="resnet18")
    model = build_model(spec, num_classes=5, frames=2, in_channels=10)
    assert model(torch.randn(1, 10, 2, 32, 32)).shape == (1, 5)


def test_gradients_reach_the_stored_weights_only() -> None:
    """A step of plain SGD with weight decay changes no entry that the operator does not have."""
    model = make(block=HYBRID)
    weight = model.backbone.layer1[0].conv2.spatial.weight
    assert weight.numel() == 16 * 12 * 9
    model(torch.randn(2, 3, 4, 32, 32)).square().sum().backward()
    assert weight.grad is not None
    assert (weight.grad != 0).all()
