"""ECO, ARTNet and StNet: their own operators against definitions written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d
from torchvision.models import resnet50

from study.errors import ModelError
from study.models.backbones import BACKBONES
from study.models.backbones.bn_inception import BNInception
from study.models.build import build_model
from study.models.initialization import initialize_backbone
from study.models.networks.artnet import Smart
from study.models.networks.eco import ECO
from study.models.networks.preactivation import PreActivationUnit, conv3x3x3
from study.models.networks.stnet import StNet, TemporalModeling, TemporalXception
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec


def make(backbone: str, frames: int, **init: Any) -> Recognizer:
    spec = {"backbone": backbone, "block": {"type": "none"}, "dropout": 0.0, "init": init}
    return build_model(ModelSpec.model_validate(spec), num_classes=5, frames=frames)


def randomize(module: nn.Module) -> nn.Module:
    """Every parameter and running statistic random, in float64 and eval mode."""
    torch.manual_seed(0)
    for name, value in module.double().state_dict().items():
        if value.is_floating_point():
            value.copy_(
                torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) * 0.3
            )
    return module.eval()


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """BatchNorm with its running statistics, written out; channels are the second axis."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    y = (x - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + 1e-5).sqrt()
    return y * norm.weight.view(shape) + norm.bias.view(shape)


@pytest.mark.parametrize(("backbone", "frames", "allowed"), [
    ("eco_full", 6, "multiples of 4"), ("eco_lite", 9, "multiples of 4"), ("stnet50", 8, "multiples of 5"),
])  # fmt: skip
def test_other_numbers_of_frames_are_refused(backbone: str, frames: int, allowed: str) -> None:
    with pytest.raises(ModelError, match=rf"clip\.frames: {frames}: {backbone} takes {allowed}"):
        make(backbone, frames)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 4), (4, 6)])
def test_units_add_before_batchnorm(inputs: int, outputs: int) -> None:
    """The shortcut carries raw sums, or a strided convolution of the activated input."""
    unit = randomize(PreActivationUnit(inputs, outputs, conv3x3x3(outputs, outputs)))
    total, activated = torch.randn(2, 2, inputs, 4, 6, 6, dtype=torch.float64)
    new_total, new_activated = unit((total, activated))
    stride = 1 if inputs == outputs else 2
    y = conv3d(activated, unit.conv1.weight, unit.conv1.bias, stride, 1)
    y = conv3d(normalize(unit.bn1, y).clamp(min=0), unit.conv2.weight, unit.conv2.bias, 1, 1)
    shortcut = total if stride == 1 else conv3d(activated, unit.down.weight, unit.down.bias, 2, 1)
    torch.testing.assert_close(new_total, y + shortcut, rtol=0, atol=1e-10)
    expected = normalize(unit.bn, y + shortcut).clamp(min=0)
    torch.testing.assert_close(new_activated, expected, rtol=0, atol=1e-10)
    assert new_total.shape[2:] == ((4, 6, 6) if stride == 1 else (2, 3, 3))


def test_eco_full_holds_bn_inception_and_its_mean_over_frames() -> None:
    """The first 1024 features; the 3D part's 512 are those of Lite with the same weights."""
    full, lite, plain = ECO(3, 4, full=True), ECO(3, 4, full=False), BNInception(3)
    initialize_backbone(full, "", seed=0)
    plain.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith("video.")})
    lite.load_state_dict({k: v for k, v in full.state_dict().items() if k in lite.state_dict()})
    clips = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        features, video = full.eval()(clips), lite.eval()(clips)
        by_frame = torch.stack([plain.eval()(clips[:, :, t]) for t in range(4)])
    assert (features.shape, video.shape) == ((2, 1536), (2, 512))
    torch.testing.assert_close(features[:, :1024], by_frame.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features[:, 1024:], video)


def test_ecos_3d_part_sees_frames_in_order() -> None:
    """Maps of one clip, stacked along time: 28 x 28 for 224 x 224, 8 x 8 here."""
    network = ECO(3, 4, full=False)
    initialize_backbone(network, "", seed=0)
    seen = []
    network.video.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    clips = torch.randn(2, 3, 4, 64, 64)
    with torch.no_grad():
        network.eval()(clips)
        network(clips[:, :, 2:3].expand(2, 3, 4, 64, 64))
    assert seen[0].shape == (2, 96, 4, 8, 8)
    torch.testing.assert_close(seen[0][:, :, 2], seen[1][:, :, 0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(seen[0][:, :, 1], seen[1][:, :, 0])


@pytest.mark.parametrize("backbone", ["eco_full", "eco_lite"])
def test_eco_takes_its_2d_part_from_a_file_of_bn_inception(tmp_path: Path, backbone: str) -> None:
    state = randomize(BNInception(3)).float().state_dict()
    torch.save(state, tmp_path / "bn_inception.pth")
    model = make(backbone, 4, weights=tmp_path / "bn_inception.pth")
    report = model.weights_report
    name = "inception_3c_double_3x3_1.weight"
    assert torch.equal(model.backbone.state_dict()[name], state[name])
    new = {name for name in report.new if not name.startswith("classifier.")}
    assert new == {f"backbone.video.{name}" for name in model.backbone.video.state_dict()}
    assert ("inception_3c_3x3.weight" in report.skipped) == (backbone == "eco_lite")


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (7, 2)])
def test_smart_block(kernel: int, stride: int) -> None:
    """Appearance frame by frame; relation squared and averaged in pairs of neighboring channels by 1/2."""
    block = randomize(Smart(4, 6, kernel, stride, bias=True))
    x = torch.randn(2, 4, 4, 9, 9, dtype=torch.float64)
    pad = kernel // 2
    frames = [
        conv2d(x[:, :, t], block.appearance.weight[:, :, 0], block.appearance.bias, stride, pad)
        for t in range(0, 4, stride)
    ]
    appearance = normalize(block.appearance_bn, torch.stack(frames, dim=2))
    relation = conv3d(x, block.relation.weight, block.relation.bias, stride, (1, pad, pad))
    squares = normalize(block.relation_bn, relation) ** 2
    pairs = [0.5 * squares[:, c] + 0.5 * squares[:, c + 1] for c in (0, 2, 4)]
    energy = normalize(block.energy_bn, torch.stack(pairs, dim=1))
    both = torch.cat([appearance, energy], dim=1).clamp(min=0)
    expected = conv3d(both, block.reduce.weight, block.reduce.bias)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)


def test_artnet_is_smart_but_in_its_last_stage() -> None:
    with torch.device("meta"):
        network = BACKBONES.get("artnet18")(3, 16).module
    smart = [name for name, module in network.named_modules() if isinstance(module, Smart)]
    assert smart == ["stem", *(f"units.res{stage}{unit}.conv2" for stage in (2, 3, 4) for unit in "ab")]
    assert network.units.res2a.conv1.bias is None
    assert network.units.res3a.conv1.bias is not None
    seen = []
    network.units.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0][0], output[0])))
    network(torch.zeros(1, 3, 16, 112, 112, device="meta"))
    assert seen[0][0].shape == (1, 64, 8, 56, 56)
    assert seen[0][1].shape == (1, 512, 1, 7, 7)


def test_stnets_first_convolution_is_that_of_the_super_image() -> None:
    """Five frames stacked by channels and a 2D convolution over 15 channels."""
    network = StNet(resnet50(), 3, 2).double()
    clips = torch.randn(2, 3, 10, 16, 16, dtype=torch.float64)
    weight = network.conv1.weight
    flat = weight.permute(0, 2, 1, 3, 4).flatten(1, 2)  # channels of the first frame, then of the second, ...
    ours = network.conv1(clips)
    assert ours.shape == (2, 64, 2, 8, 8)
    for segment in range(2):
        frames = [clips[:, :, 5 * segment + n] for n in range(5)]
        expected = conv2d(torch.cat(frames, dim=1), flat, stride=2, padding=3)
        torch.testing.assert_close(ours[:, :, segment], expected, rtol=0, atol=1e-10)


def test_stnet_starts_from_resnet(tmp_path: Path) -> None:
    """A super-image of five equal frames gives what the image gave; the temporal blocks are new."""
    network = randomize(resnet50()).float()
    torch.save(network.state_dict(), tmp_path / "resnet50.pth")
    model = make("stnet50", 10, weights=tmp_path / "resnet50.pth").eval()
    report = model.weights_report
    assert report.inflated == ("backbone.conv1.weight",)
    added = ("backbone.temporal2.", "backbone.temporal3.", "backbone.xception.", "classifier.")
    assert all(name.startswith(added) for name in report.new)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        ours = model.backbone.conv1(image[:, :, None].expand(1, 3, 10, 32, 32))
        torch.testing.assert_close(ours[:, :, 1], network.conv1(image), rtol=1e-4, atol=1e-5)


def test_temporal_modeling_block() -> None:
    """It is x + BN(ReLU(conv(x))), in this order, with zeros before and after the clip."""
    block = randomize(TemporalModeling(4, segments=3))
    x = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    padded = torch.cat([torch.zeros_like(x[:, :1]), x, torch.zeros_like(x[:, :1])], dim=1)
    taps = [block.conv.weight[:, :, k, 0] for k in range(3)]
    expected = []
    for t in range(3):
        y = sum(torch.einsum("oc,nchw->nohw", taps[k], padded[:, t + k]) for k in range(3))
        y = (y + block.conv.bias.view(1, -1, 1, 1)).clamp(min=0)
        expected.append(x[:, t] + normalize(block.bn, y))
    ours = block(x.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(ours, torch.stack(expected, dim=1), rtol=0, atol=1e-12)


def test_temporal_xception_block() -> None:
    block = randomize(TemporalXception(6, 4))
    x = torch.randn(2, 6, 5, dtype=torch.float64)
    first = normalize(block.bn1, x)

    def separable(value: Tensor, depthwise: nn.Conv1d, pointwise: nn.Conv1d) -> Tensor:
        channels = [
            conv1d(value[:, c : c + 1], depthwise.weight[c : c + 1], depthwise.bias[c : c + 1], padding=1)
            for c in range(value.shape[1])
        ]
        return conv1d(torch.cat(channels, dim=1), pointwise.weight, pointwise.bias)

    y = normalize(block.bn2, separable(first, block.depthwise1, block.pointwise1)).clamp(min=0)
    y = separable(y, block.depthwise2, block.pointwise2)
    y = y + conv1d(first, block.shortcut.weight, block.shortcut.bias)
    torch.testing.assert_close(block(x), normalize(block.bn3, y).clamp(min=0), rtol=0, atol=1e-12)


def test_stnet_takes_the_maximum_over_segments() -> None:
    """A feature of the clip is that of one of its segments, and all segments can be the one."""
    model = make("stnet50", 20).eval()
    seen = []
    model.backbone.xception.register_forward_hook(lambda _, inputs, output: seen.append(output))
    clips = torch.randn(1, 3, 20, 32, 32)
    with torch.no_grad():
        features = model.backbone(clips)
    assert seen[0].shape == (1, 1024, 4)
    assert torch.equal(features, seen[0].max(dim=2).values)
