"""Weights of a 2D network in networks with shifts and temporal blocks: everything of it is taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec

FRAMES = 4
NEW = {
    "tsm": (), "tsm_in_place": (), "stsm": (), "gsf": ("gsf.",), "tam": ("tam.",), "conv3d": (), "i3d": (),
    "p3d": ("temporal.",), "mfnet": ("motion.",),
}  # fmt: skip
"""What the names of parameters that a block adds contain."""


def make(block: dict[str, Any], weights: Path | str = "random", seed: int = 0) -> Recognizer:
    model = {"backbone": "resnet_tiny", "block": block, "init": {"weights": weights}}
    return build_model(ModelSpec.model_validate(model), num_classes=5, frames=FRAMES, seed=seed).eval()


def scores(model: Recognizer) -> Tensor:
    with torch.no_grad():
        return model(torch.randn(2, 3, FRAMES, 32, 32, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def plain() -> Recognizer:
    return make({"type": "conv2d"}, seed=1)


@pytest.fixture
def file(plain: Recognizer, tmp_path: Path) -> Path:
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    return tmp_path / "plain.pth"


@pytest.mark.parametrize("block", NEW)
def test_only_what_the_block_adds_is_new(block: str, file: Path) -> None:
    model = make({"type": block}, file)
    report = model.weights_report
    added = {name for name in model.state_dict() if any(part in name for part in NEW[block])}
    assert set(report.new) == added
    assert set(report.loaded) == set(model.state_dict()) - added
    assert not report.skipped
    assert bool(NEW[block]) == bool(added)
    assert bool(report.inflated) == (block in ("conv3d", "i3d"))
    assert all(name.endswith("kernels.weight") for name in report.inflated)


@pytest.mark.parametrize("block", ["tsm", "tsm_in_place", "stsm", "mfnet"])
def test_values_are_those_of_the_file(block: str, file: Path, plain: Recognizer) -> None:
    found = [
        value for name, value in make({"type": block}, file).state_dict().items() if "motion" not in name
    ]
    for value, expected in zip(found, plain.state_dict().values(), strict=True):
        assert torch.equal(value, expected)


@pytest.mark.parametrize("block", ["conv3d", "i3d"])
def test_kernels_in_the_middle_tap_give_the_2d_network(block: str, file: Path, plain: Recognizer) -> None:
    model = make({"type": block, "inflation": "center"}, file)
    torch.testing.assert_close(scores(model), scores(plain), rtol=0, atol=1e-5)
    assert not torch.allclose(scores(make({"type": block}, file)), scores(plain), rtol=0, atol=1e-5)


def test_random_kernels_are_new(file: Path) -> None:
    model = make({"type": "conv3d", "inflation": "random"}, file)
    assert len(model.weights_report.new) == 12
    assert all(name.endswith("kernels.weight") for name in model.weights_report.new)


def test_what_the_file_lacks_inside_a_wrapped_block_is_named_alone(file: Path) -> None:
    entries = torch.load(file)
    del entries["backbone.layer1.0.bn1.bias"]
    torch.save(entries, file)
    model = {"backbone": "resnet_tiny", "block": {"type": "tsm_in_place"}}
    init = {"weights": file, "allow_random": ["layer1.0.*.bn1.bias"]}
    network = build_model(ModelSpec.model_validate({**model, "init": init}), num_classes=5, frames=FRAMES)
    assert network.weights_report.new == ("backbone.layer1.0.layer.bn1.bias",)


@pytest.mark.parametrize("block", NEW)
def test_a_trained_network_is_loaded_again(block: str, tmp_path: Path) -> None:
    trained = make({"type": block}, seed=3)
    torch.save(trained.state_dict(), tmp_path / "trained.pth")
    again = make({"type": block}, tmp_path / "trained.pth")
    assert torch.equal(scores(again), scores(trained))
