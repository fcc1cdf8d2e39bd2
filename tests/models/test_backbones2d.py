"""VGG-16, MobileNetV2 and BN-Inception: what they compute, and where blocks can go."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d
from torchvision.models import mobilenet_v2, vgg16_bn

from study.errors import ModelError
from study.models.backbones import BACKBONES
from study.models.backbones.base import Backbone
from study.models.backbones.bn_inception import BNInception
from study.models.build import build_model
from study.models.initialization import initialize_backbone
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec


def make(backbone: str, block: dict[str, Any] | None = None, classes: int = 5) -> Recognizer:
    spec = {"backbone": backbone, "block": block or {"type": "conv2d"}, "dropout": 0.0}
    return build_model(ModelSpec.model_validate(spec), num_classes=classes, frames=2)


def describe(backbone: str) -> Backbone:
    """The backbone on the meta device: shapes, and no memory."""
    with torch.device("meta"):
        return BACKBONES.get(backbone)(3, 8)


@pytest.mark.parametrize(("backbone", "torchvisions", "last"), [
    ("mobilenet_v2", mobilenet_v2, "classifier.1"),
    pytest.param("vgg16_bn", vgg16_bn, "classifier.6", marks=pytest.mark.slow),
])  # fmt: skip
def test_plain_network_is_torchvisions_frame_by_frame(backbone: str, torchvisions: Any, last: str) -> None:
    ours, theirs = make(backbone).eval(), torchvisions(num_classes=5).eval()
    state = {name.removeprefix("backbone."): value for name, value in ours.state_dict().items()}
    for kind in ("weight", "bias"):
        state[f"{last}.{kind}"] = state.pop(f"classifier.{kind}")
    theirs.load_state_dict(state)
    clips = torch.randn(1, 3, 2, 64, 64)
    with torch.no_grad():
        expected = (theirs(clips[:, :, 0]) + theirs(clips[:, :, 1])) / 2
        scale = expected.abs().max()
        torch.testing.assert_close(ours(clips) / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("backbone", "by_stage"), [
    ("vgg16_bn", {1: 1, 2: 2, 3: 3, 4: 3, 5: 3}),
    ("mobilenet_v2", {1: 1, 2: 2, 3: 3, 4: 7, 5: 4}),
    ("bn_inception", {1: 6, 2: 15, 3: 9}),
])  # fmt: skip
def test_every_3x3_of_the_body_is_a_position(backbone: str, by_stage: dict[int, int]) -> None:
    described = describe(backbone)
    spatial = [position for position in described.positions if position.kind == "spatial_conv"]
    assert Counter(position.stage for position in spatial) == by_stage
    wide = [
        name
        for name, layer in described.module.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
    ]
    stem = {"vgg16_bn": 1, "mobilenet_v2": 1, "bn_inception": 2}[backbone]
    assert [position.name for position in spatial] == wide[stem:]


def test_mobilenets_residual_blocks_are_those_with_an_identity() -> None:
    """Where TSM shifts in it: ten of seventeen blocks, each with an expansion."""
    described = describe("mobilenet_v2")
    blocks = [position.name for position in described.positions if position.kind == "residual_block"]
    assert blocks == [f"features.{number}" for number in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
    inputs = [position.name for position in described.positions if position.kind == "residual_input"]
    assert inputs == [f"{name}.conv.0.0" for name in blocks]
    for name in inputs:
        assert described.module.get_submodule(name).kernel_size == (1, 1)


def random_bn_inception() -> BNInception:
    network = BNInception(3).double().eval()
    initialize_backbone(network, "", seed=0)
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not name.endswith("weight"):
            value.copy_(torch.rand_like(value) + 0.5)
    return network


def layer(network: nn.Module, name: str, x: Tensor) -> Tensor:
    """Convolution, BatchNorm and ReLU, written out; ``x`` is padded to keep its size at stride 1."""
    conv, norm = network.get_submodule(name), network.get_submodule(f"{name}_bn")
    y = nn.functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.weight.shape[-1] // 2)
    shape = (1, -1, 1, 1)
    y = (y - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + 1e-5).sqrt()
    return (y * norm.weight.view(shape) + norm.bias.view(shape)).clamp(min=0)


def module(network: nn.Module, name: str, x: Tensor) -> Tensor:
    """One Inception module, from the table's words: max-pool in 3c, 4e, 5b; no 1x1 branch where it strides."""

    def run(suffix: str, value: Tensor) -> Tensor:
        return layer(network, f"inception_{name}_{suffix}", value)

    triple = run("3x3", run("3x3_reduce", x))
    double = run("double_3x3_2", run("double_3x3_1", run("double_3x3_reduce", x)))
    if name in ("3c", "4e"):
        return torch.cat([triple, double, max_pool2d(x, 3, 2, ceil_mode=True)], dim=1)
    pooled = max_pool2d(x, 3, 1, 1) if name == "5b" else avg_pool2d(x, 3, 1, 1)
    return torch.cat([run("1x1", x), triple, double, run("pool_proj", pooled)], dim=1)


def test_bn_inception_is_what_the_table_says() -> None:
    network = random_bn_inception()
    frames = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    widths = {}
    with torch.no_grad():
        x = max_pool2d(layer(network, "conv1_7x7_s2", frames), 3, 2, ceil_mode=True)
        x = layer(network, "conv2_3x3", layer(network, "conv2_3x3_reduce", x))
        x = max_pool2d(x, 3, 2, ceil_mode=True)
        for name in ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
            x = module(network, name, x)
            widths[name] = x.shape[1]
        features = network(frames)
    assert list(widths.values()) == [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024]
    assert x.shape == (2, 1024, 2, 3)
    scale = features.abs().max()
    torch.testing.assert_close(features / scale, x.mean(dim=(2, 3)) / scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [224, 256])
def test_bn_inception_halves_five_times(size: int) -> None:
    network = describe("bn_inception").module
    seen = []
    network.inception_5b_1x1.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[-2:]))
    network(torch.zeros(1, 3, size, size, device="meta"))
    assert seen == [(size // 32, size // 32)]


def test_bn_inception_refuses_sizes_it_cannot_halve() -> None:
    with pytest.raises(ModelError, match=r"inception_3c: a feature map of 5 x 5 .*multiples of 32"):
        make("bn_inception")(torch.zeros(1, 3, 2, 40, 40))


def test_weights_of_batchnorm_with_a_leading_axis_are_taken(tmp_path: Any) -> None:
    """As the public file of BN-Inception has them; it lacks the counters that newer BatchNorm has."""
    torch.manual_seed(0)
    state = {
        name: torch.rand(1, *value.shape) if "_bn." in name else torch.rand_like(value)
        for name, value in random_bn_inception().float().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state |= {"last_linear.weight": torch.rand(1000, 1024), "last_linear.bias": torch.rand(1000)}
    torch.save(state, tmp_path / "bn_inception.pth")
    spec = {"backbone": "bn_inception", "init": {"weights": tmp_path / "bn_inception.pth"}}
    model = build_model(ModelSpec.model_validate(spec), num_classes=1000, frames=2)
    norm = model.backbone.inception_4d_3x3_bn
    assert torch.equal(norm.running_var, state["inception_4d_3x3_bn.running_var"][0])
    assert torch.equal(model.classifier.weight, state["last_linear.weight"])
    assert model.weights_report.skipped == ()
    assert all(name.endswith("num_batches_tracked") for name in model.weights_report.new)
