"""TDN: its stem against differences written out, where its weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d
from torchvision.models import resnet50

from study.errors import ModelError
from study.models.blocks.tdm import TDMResidual
from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec


def make(frames: int = 10, **model: object) -> Recognizer:
    spec = ModelSpec.model_validate(
        {"backbone": "tdn_resnet50", "block": {"type": "none"}, "dropout": 0.0, **model}
    )
    return build_model(spec, num_classes=5, frames=frames).eval()


@pytest.mark.parametrize(("segments", "share"), [(2, 0.25), (8, 0.5)])
def test_differences_are_mixed_into_stem_and_first_stage(segments: int, share: float) -> None:
    """Half of each with eight segments, a quarter of the differences otherwise."""
    network = make(5 * segments).backbone.double()
    clip = torch.randn(1, 3, 5 * segments, 64, 64, dtype=torch.float64)
    seen: dict[str, Tensor] = {}
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: inputs[0]})
        )
        for name in ("layer1", "layer2")
    ]
    branch = network.difference
    with torch.no_grad():
        network(clip)
        for hook in hooks:
            hook.remove()
        for segment in range(segments):
            frames = [clip[:, :, 5 * segment + t] for t in range(5)]
            stacked = torch.cat([frames[t + 1] - frames[t] for t in range(4)], dim=1)
            stem = max_pool2d(branch.bn(branch.conv(avg_pool2d(stacked, 2))).relu(), 3, 2, 1)
            trunk = max_pool2d(network.bn1(network.conv1(frames[2])).relu(), 3, 2, 1)
            mixed = (1 - share) * trunk + share * enlarge(stem)
            torch.testing.assert_close(seen["layer1"][segment][None], mixed, rtol=1e-12, atol=1e-12)
            mixed = (1 - share) * network.layer1(mixed) + share * enlarge(branch.layer1(stem))
            torch.testing.assert_close(seen["layer2"][segment][None], mixed, rtol=1e-12, atol=1e-12)


def enlarge(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def test_long_term_modules_are_in_stages_2_to_4() -> None:
    network = make().backbone
    found = {name.split(".")[0] for name, layer in network.named_modules() if isinstance(layer, TDMResidual)}
    assert found == {"layer2", "layer3", "layer4"}
    assert sum(isinstance(layer, TDMResidual) for layer in network.modules()) == 4 + 6 + 3


def test_weights_of_an_image_network_start_both_paths(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = resnet50(weights=None)
    for layer in trained.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean)
    state = trained.state_dict()
    torch.save(state, tmp_path / "resnet50.pth")
    model = make(init={"weights": str(tmp_path / "resnet50.pth")})
    ours = model.backbone.state_dict()
    for name in ("conv1.weight", "layer2.0.conv2.weight", "layer4.2.bn3.running_mean"):
        assert torch.equal(ours[name], state[name])
        assert f"backbone.{name}" in model.weights_report.loaded
    for name in ("1.conv2.weight", "2.bn3.running_mean"):
        assert torch.equal(ours[f"difference.layer1.{name}"], state[f"layer1.{name}"])
    mean = state["conv1.weight"].mean(dim=1)
    for channel in (0, 7, 11):
        torch.testing.assert_close(ours["difference.conv.weight"][:, channel], mean)
    report = model.weights_report
    new = [name for name in report.new if "num_batches" not in name]
    assert all(".difference." in name or ".temporal." in name or "classifier" in name for name in new)
    assert set(report.skipped) == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("frames", [8, 3])
def test_frames_come_in_fives(frames: int) -> None:
    with pytest.raises(ModelError, match=rf"clip\.frames: {frames}: expected a multiple of 5"):
        make(frames)
