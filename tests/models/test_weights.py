"""Initial weights from files: what is taken over, what stays random, and what is refused."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import models
from torchvision.models import get_model_weights, list_models, resnet18

from study.errors import WeightsError
from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.spec import weights_digest as digests
from study.spec.model import InitSpec, ModelSpec

HYBRID = {"type": "sth", "p": "1/4"}


def random_resnet18(classes: int = 1000) -> dict[str, Tensor]:
    """A state dict of torchvision's ResNet-18 in which nothing has its initial value."""
    torch.manual_seed(0)
    network = resnet18(num_classes=classes)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) * 0.1 + 0.5)
    return dict(network.state_dict())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(random_resnet18(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def make(path: Any, block: dict[str, Any] | None = None, classes: int = 5, **init: Any) -> Recognizer:
    spec = {"backbone": "resnet18", "dropout": 0, "init": {"weights": path, **init}}
    spec["block"] = block or {"type": "conv2d"}
    return build_model(ModelSpec.model_validate(spec), num_classes=classes, frames=2)


def test_the_2d_network_is_loaded_whole(file: Path) -> None:
    model = make(file)
    expected = random_resnet18()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, expected[name]), name
    report = model.weights_report
    assert report.source == str(file)
    assert set(report.new) == {"classifier.weight", "classifier.bias"}
    assert set(report.skipped) == {"classifier.weight", "classifier.bias"}
    assert set(report.loaded) == set(model.state_dict()) - set(report.new)


def test_a_classifier_of_the_same_classes_is_loaded(file: Path) -> None:
    model = make(file, classes=1000)
    assert torch.equal(model.classifier.weight, random_resnet18()["fc.weight"])
    assert model.weights_report.new == ()


def without_temporal_slice(state: dict[str, Tensor], groups: int) -> dict[str, Tensor]:
    """The 2D network whose 3x3 kernels are zero where hybrid kernels are temporal."""
    pruned = {name: value.clone() for name, value in state.items()}
    for name, weight in pruned.items():
        if name.startswith("layer") and weight.shape[2:] == (3, 3):
            outputs, inputs = weight.shape[:2]
            for m in range(outputs):
                group = m * groups // outputs
                weight[m, group * inputs // groups : (group + 1) * inputs // groups] = 0
    return pruned


@pytest.mark.parametrize("block", [
    {"type": "sth", "p": "1/8"}, {"type": "sth", "p": "1/2"},
    {"type": "two_plus_one", "order": "parallel"},
])  # fmt: skip
def test_with_temporal_weights_at_zero_it_is_the_pruned_2d_network(file: Path, block: dict[str, Any]) -> None:
    model = make(file, block, classes=1000).double().eval()
    for name, parameter in model.named_parameters():
        if ".temporal." in name:
            torch.nn.init.zeros_(parameter)
    reference = resnet18().double().eval()
    state = random_resnet18()
    if block["type"] == "sth":
        state = without_temporal_slice(state, int(block["p"][2:]))
    reference.load_state_dict(state)
    clips = torch.randn(1, 3, 2, 40, 40, dtype=torch.float64)
    with torch.no_grad():
        expected = (reference(clips[:, :, 0]) + reference(clips[:, :, 1])) / 2
        scale = expected.abs().max()
        torch.testing.assert_close(model(clips) / scale, expected / scale, rtol=0, atol=1e-6)


def test_sequential_with_a_centered_identity_is_the_2d_network(file: Path) -> None:
    model = make(file, {"type": "two_plus_one", "order": "sequential"}, classes=1000).double().eval()
    for name, parameter in model.named_parameters():
        if ".temporal." in name:
            torch.nn.init.zeros_(parameter)
            parameter.data[:, :, 1, 0] = torch.eye(parameter.shape[0])
    reference = resnet18().double().eval()
    reference.load_state_dict(random_resnet18())
    clips = torch.randn(1, 3, 2, 40, 40, dtype=torch.float64)
    with torch.no_grad():
        expected = (reference(clips[:, :, 0]) + reference(clips[:, :, 1])) / 2
        scale = expected.abs().max()
        torch.testing.assert_close(model(clips) / scale, expected / scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("arrangement", "kept"), [
    ("merge_in", (slice(None), slice(16, None))), ("merge_out", (slice(16, None), slice(None))),
])  # fmt: skip
def test_merge_keeps_the_kernels_of_its_channels(
    file: Path, arrangement: str, kept: tuple[slice, ...]
) -> None:
    model = make(file, {**HYBRID, "arrangement": arrangement})
    weight = model.backbone.layer1[0].conv2.spatial.weight
    assert torch.equal(weight, random_resnet18()["layer1.0.conv2.weight"][kept])


def test_report_of_a_block_with_new_layers(file: Path) -> None:
    report = make(file, {**HYBRID, "attention": "cost"}).weights_report
    assert "backbone.layer1.0.conv2.spatial.weight" in report.loaded
    expected = {f"backbone.layer1.0.conv2.{name}.weight" for name in
                ("temporal", "attention.shared", "attention.across")}  # fmt: skip
    assert {name for name in report.new if name.startswith("backbone.layer1.0.conv2")} == expected


def test_random_weights_are_all_new() -> None:
    report = make("random").weights_report
    assert report.source == ""
    assert report.loaded == ()
    assert "backbone.layer4.1.conv2.weight" in report.new


def test_a_trained_recognizer_is_loaded_with_its_temporal_weights(tmp_path: Path) -> None:
    """As for a network that was trained on another data set."""
    trained = make("random", HYBRID)
    for parameter in trained.parameters():
        torch.nn.init.normal_(parameter)
    torch.save({"model": trained.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    model = make(tmp_path / "checkpoint.pt", HYBRID, classes=7)
    for name, value in trained.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(model.state_dict()[name], value), name
    assert set(model.weights_report.new) == {"classifier.weight", "classifier.bias"}


def test_a_prefix_of_data_parallel_is_cut(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in random_resnet18().items()}
    torch.save({"state_dict": state}, tmp_path / "file.pth")
    assert "backbone.conv1.weight" in make(tmp_path / "file.pth").weights_report.loaded


def test_what_stays_random_is_an_error_unless_allowed(tmp_path: Path) -> None:
    state = random_resnet18()
    del state["layer3.0.conv1.weight"], state["layer3.0.bn1.bias"]
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(
        WeightsError, match=r"holds no value for backbone\.layer3\.0\.conv1\.\S*weight, .*bn1\.bias"
    ):
        make(tmp_path / "file.pth", HYBRID)
    report = make(tmp_path / "file.pth", HYBRID, allow_random=["layer3.0.*"]).weights_report
    assert "backbone.layer3.0.conv1.spatial.weight" in report.new


def test_a_missing_layer_is_not_excused_by_the_site_of_another(tmp_path: Path) -> None:
    """layer1.1 is not layer1.10, and a bias without a weight is not inherited."""
    state = random_resnet18()
    del state["conv1.weight"]
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match=r"backbone\.conv1\.weight"):
        make(tmp_path / "file.pth", HYBRID)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    state = random_resnet18()
    state["conv1.weight"] = torch.zeros(64, 10, 7, 7)
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(
        WeightsError, match=r"conv1\.weight: shape \(64, 10, 7, 7\), the model has \(64, 3, 7, 7\)"
    ):
        make(tmp_path / "file.pth")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must not run",))


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps({"conv1.weight": Evil()}, protocol=2)])
def test_a_file_that_holds_no_weights_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"file\.pth"):
        make(path)
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [[1, 2], {"conv1.weight": 3}, {}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match="expected a"):
        make(tmp_path / "file.pth")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"model\.init\.weights: .*nothing\.pth: cannot be read: No such file"
    ):
        make(tmp_path / "nothing.pth")


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torchvision's cache with a file of its kind for ResNet-18."""
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.save(random_resnet18(), folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()
    path = (folder / "made.pth").rename(folder / f"resnet18-{digest[:8]}.pth")
    monkeypatch.setitem(digests.IMAGENET_FILES, "resnet18", path.name)
    return path


def test_imagenet_weights_come_from_the_cache(imagenet: Path) -> None:
    assert make("imagenet").weights_report.source == str(imagenet)


def test_a_damaged_download_is_found(imagenet: Path) -> None:
    imagenet.write_bytes(imagenet.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="damaged"):
        make("imagenet")


def test_absent_imagenet_weights_say_where_and_how(imagenet: Path) -> None:
    imagenet.unlink()
    with pytest.raises(WeightsError) as error:
        make("imagenet")
    assert str(imagenet) in str(error.value)
    assert f"https://download.pytorch.org/models/{imagenet.name}" in str(error.value)


def test_the_cache_is_where_torch_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert digests.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert digests.hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


@pytest.mark.parametrize("backbone", digests.IMAGENET_FILES)
def test_file_names_are_torchvisions(backbone: str) -> None:
    """A network that torchvision does not have takes the weights of one that it has."""
    every = {name: get_model_weights(name) for name in list_models(module=models)}
    urls = {
        name: entry.IMAGENET1K_V1.url for name, entry in every.items() if "IMAGENET1K_V1" in entry.__members__
    }
    url = digests.IMAGENET_URL + digests.IMAGENET_FILES[backbone]
    assert url == urls.get(backbone, url)
    assert url in urls.values()


def test_digests(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(b"abc")
    assert digests.weights_digest(InitSpec(), "resnet50") == ""
    assert digests.weights_digest(InitSpec(weights="imagenet"), "resnet50") == "resnet50-0676ba61"
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digests.weights_digest(InitSpec(weights=path), "resnet50") == known
    with pytest.raises(WeightsError, match="no ImageNet weights for backbone 'resnet_tiny'"):
        digests.weights_digest(InitSpec(weights="imagenet"), "resnet_tiny")
    with pytest.raises(WeightsError, match="absent"):
        digests.weights_digest(InitSpec(weights=tmp_path / "absent"), "resnet50")
