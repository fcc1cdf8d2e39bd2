"""A real file of ImageNet weights in a network: MobileNetV2 with 1001 classes, the first being background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import mobilenet_v2

from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def file(shared_dir: Path) -> Path:
    return shared_dir / "data" / "weights" / "mobilenet_v2_imagenet.pth"


@pytest.fixture(scope="module")
def state(file: Path) -> dict[str, Tensor]:
    return torch.load(file, weights_only=True)


def make(file: Path, block: dict[str, Any], classes: int = 174) -> Recognizer:
    spec = {"backbone": "mobilenet_v2", "block": block, "dropout": 0.0, "init": {"weights": file}}
    return build_model(ModelSpec.model_validate(spec), num_classes=classes, frames=2).eval()


def reference(state: dict[str, Tensor]) -> torch.nn.Module:
    network = mobilenet_v2(num_classes=1001).eval()
    network.load_state_dict(state)
    return network


def test_the_2d_network_is_loaded_and_its_classifier_skipped(file: Path, state: dict[str, Tensor]) -> None:
    model = make(file, {"type": "conv2d"})
    report = model.weights_report
    assert report.source == str(file)
    assert set(report.skipped) == set(report.new) == {"classifier.weight", "classifier.bias"}
    assert set(report.loaded) == {f"backbone.{name}" for name in state if not name.startswith("classifier.")}
    frames = torch.rand(2, 3, 224, 224) * 2 - 1
    with torch.no_grad():
        expected = reference(state).features(frames).mean(dim=(2, 3))
        torch.testing.assert_close(model.backbone(frames), expected, rtol=1e-4, atol=1e-5)


def test_with_the_files_own_classes_it_predicts_as_torchvisions(file: Path, state: dict[str, Tensor]) -> None:
    model = make(file, {"type": "conv2d"}, classes=1001)
    assert model.weights_report.new == ()
    clips = torch.rand(1, 3, 2, 224, 224) * 2 - 1
    network = reference(state)
    with torch.no_grad():
        expected = (network(clips[:, :, 0]) + network(clips[:, :, 1])) / 2
        torch.testing.assert_close(model(clips), expected, rtol=1e-4, atol=1e-4)


def test_sth_takes_over_the_spatial_kernels_and_starts_new_temporal_ones(
    file: Path, state: dict[str, Tensor]
) -> None:
    """With temporal weights at zero it is the 2D network without every fourth depthwise kernel."""
    model = make(file, {"type": "sth", "p": "1/4"}, classes=1001).double()
    temporal = {name for name, _ in model.named_parameters() if name.endswith(".temporal.weight")}
    assert len(temporal) == 17
    assert set(model.weights_report.new) == temporal
    assert model.weights_report.skipped == ()
    network = reference(state).double()
    for name, parameter in network.named_parameters():
        if parameter.dim() == 4 and parameter.shape[1:] == (1, 3, 3):
            kept = [c for c in range(len(parameter)) if c % 4]
            site = model.backbone.get_submodule(name.removesuffix(".weight"))
            assert torch.equal(site.spatial.weight, parameter[kept]), name
            assert site.temporal.weight.any()
            torch.nn.init.zeros_(site.temporal.weight)
            torch.nn.init.zeros_(parameter[::4])
    clips = torch.rand(1, 3, 2, 64, 64, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = (network(clips[:, :, 0]) + network(clips[:, :, 1])) / 2
        torch.testing.assert_close(model(clips), expected, rtol=0, atol=1e-6)
