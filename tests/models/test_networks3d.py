"""Networks of whole clips against torchvision's, naive versions, and the shapes their papers print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.googlenet import GoogLeNet
from torchvision.models.video.resnet import Conv2Plus1D
from torchvision.models.video.s3d import S3D

from study.errors import ModelError, WeightsError
from study.models.backbones import BACKBONES
from study.models.build import build_model
from study.models.initialization import initialize_backbone
from study.models.networks.p3d import PseudoConv
from study.models.networks.pooling import WindowAverage
from study.models.networks.r2plus1d import derive_midplanes
from study.models.networks.s3d import SelfGating
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec


def make(name: str, frames: int, *, classes: int = 5, weights: Any = "random", **init: Any) -> Recognizer:
    spec = {"backbone": name, "block": {"type": "none"}, "dropout": 0, "init": {"weights": weights, **init}}
    return build_model(ModelSpec.model_validate(spec), num_classes=classes, frames=frames).eval()


def randomize(network: nn.Module) -> nn.Module:
    """Every parameter and buffer somewhere near a working value, none at its initial one."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand_like(value) + 0.5)
        elif value.is_floating_point() and value.dim() < 2:
            value.copy_(torch.rand_like(value) * 0.5 + 0.25)
        elif value.is_floating_point():
            value.copy_(torch.randn_like(value) / value[0].numel() ** 0.5)
    return network.eval()


def trace(module: nn.Module, clips: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Outputs of the submodules called ``names`` for ``clips``."""
    outputs: dict[str, Tensor] = {}
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda _, inputs, output, name=name: outputs.__setitem__(name, output)
        )
    with torch.no_grad():
        module(clips)
    return outputs


STAGES = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4")


@pytest.mark.parametrize(("name", "names", "frames", "size", "shapes"), [
    ("i3d_resnet50", STAGES, 32, 224,
     [(64, 32, 112), (64, 32, 56), (256, 16, 56), (512, 16, 28), (1024, 16, 14), (2048, 16, 14)]),
    ("i3d_resnet50_k400", STAGES, 32, 224,
     [(64, 16, 112), (64, 8, 56), (256, 4, 56), (512, 4, 28), (1024, 4, 14), (2048, 4, 7)]),
    ("i3d_inception", ("conv1", "maxpool2", "maxpool3", "maxpool4", "inception5b"), 64, 224,
     [(64, 32, 112), (192, 32, 28), (480, 16, 14), (832, 8, 7), (1024, 8, 7)]),
    ("s3d", ("features.0", "features.7", "features.13", "features.15"), 64, 224,
     [(64, 32, 112), (480, 16, 14), (832, 8, 7), (1024, 8, 7)]),
    ("r2plus1d_34", ("stem", "layer1", "layer2", "layer3", "layer4"), 32, 112,
     [(64, 32, 56), (64, 32, 56), (128, 16, 28), (256, 8, 14), (512, 4, 7)]),
    ("ip_csn_50", ("stem", "layer1", "layer2", "layer3", "layer4"), 8, 224,
     [(64, 8, 56), (256, 8, 56), (512, 4, 28), (1024, 2, 14), (2048, 1, 7)]),
    ("c3d", ("pool1", "pool2", "pool3", "pool4", "pool5"), 16, 112,
     [(64, 16, 56), (128, 8, 28), (256, 4, 14), (512, 2, 7), (512, 1, 4)]),
    ("p3d_199", ("stem", "layer1", "layer2", "layer3", "layer4"), 16, 160,
     [(64, 8, 40), (256, 4, 40), (512, 2, 20), (1024, 1, 10), (2048, 1, 5)]),
])  # fmt: skip
def test_shapes_of_the_papers(
    name: str, names: tuple[str, ...], frames: int, size: int, shapes: list[tuple[int, int, int]]
) -> None:
    """Channels, frames and height after each stage."""
    with torch.device("meta"):
        backbone = BACKBONES.get(name)(3, frames)
    outputs = trace(backbone.module.eval(), torch.empty(1, 3, frames, size, size, device="meta"), names)
    assert [tuple(outputs[layer].shape[1:4]) for layer in names] == shapes
    assert backbone.whole_clips


@pytest.mark.parametrize("name", ["i3d_resnet50", "i3d_resnet50_k400"])
def test_i3d_convolves_time_in_every_second_bottleneck(name: str) -> None:
    network = make(name, 8).backbone
    temporal = {
        key: layer.kernel_size
        for key, layer in network.named_modules()
        if isinstance(layer, nn.Conv3d) and layer.kernel_size[0] > 1
    }
    places = ("1.0", "1.1", "1.2", "2.0", "2.2", "3.0", "3.2", "3.4", "4.1")
    assert temporal == {"conv1": (5, 7, 7), **{f"layer{place}.conv1": (3, 1, 1) for place in places}}


def test_non_local_blocks_have_their_five_places() -> None:
    """After blocks 1, 3 of res3 and 1, 3, 5 of res4: every second of stages 2 and 3, from the second."""
    positions = BACKBONES.get("i3d_resnet50")(3, 32).positions
    names = [position.name for position in positions if position.stage in (2, 3)][1::2]
    assert names == ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]


@pytest.mark.parametrize(("name", "layer", "frames", "middle"), [
    ("i3d_resnet50", "layer1.2", 12, 6), ("i3d_resnet50_k400", "layer1.2", 48, 6),
    ("i3d_inception", "inception3b", 32, 8),
])  # fmt: skip
def test_inflated_from_imagenet_a_still_video_is_its_image(
    tmp_path: Path, name: str, layer: str, frames: int, middle: int
) -> None:
    """Away from the ends of the clip, where frames of zeros are in sight."""
    flat = GoogLeNet(transform_input=True, init_weights=False) if name == "i3d_inception" else resnet50()
    torch.save(randomize(flat).state_dict(), tmp_path / "flat.pth")
    model = make(name, frames, weights=tmp_path / "flat.pth")
    image = torch.randn(1, 3, 64, 64)
    clip = image.unsqueeze(2).expand(1, 3, frames, 64, 64)
    expected = trace(flat, image, (layer,))[layer]
    found = trace(model, clip, (f"backbone.{layer}",))[f"backbone.{layer}"]
    torch.testing.assert_close(found[:, :, middle], expected, rtol=1e-4, atol=1e-4 * float(expected.max()))
    assert not torch.allclose(found[:, :, 0], expected, rtol=1e-2)


def test_report_names_what_was_inflated(tmp_path: Path) -> None:
    flat = randomize(resnet50())
    torch.save(flat.state_dict(), tmp_path / "flat.pth")
    model = make("i3d_resnet50", 4, weights=tmp_path / "flat.pth")
    report = model.weights_report
    assert set(report.new) == {"classifier.weight", "classifier.bias"}
    convs = {name for name, layer in model.named_modules() if isinstance(layer, nn.Conv3d)}
    assert set(report.inflated) == {f"{name}.weight" for name in convs}
    weight, plain = model.backbone.layer1[0].conv1.weight, flat.layer1[0].conv1.weight
    for tap in range(3):
        torch.testing.assert_close(weight[:, :, tap], plain / 3)


def test_s3d_is_torchvisions_with_its_weights(tmp_path: Path) -> None:
    """Two windows in time and in width. The classifier is stored as a 1x1x1 convolution."""
    theirs = randomize(S3D(num_classes=7))
    torch.save(theirs.state_dict(), tmp_path / "s3d.pth")
    ours = make("s3d", 24, classes=7, weights=tmp_path / "s3d.pth")
    assert ours.weights_report.new == ours.weights_report.skipped == ()
    clips = torch.randn(1, 3, 24, 210, 242)
    with torch.no_grad():
        torch.testing.assert_close(ours(clips), theirs(clips), rtol=1e-4, atol=1e-5)


def test_a_classifier_of_other_classes_is_left_out(tmp_path: Path) -> None:
    torch.save(randomize(S3D(num_classes=7)).state_dict(), tmp_path / "s3d.pth")
    report = make("s3d", 16, classes=8, weights=tmp_path / "s3d.pth").weights_report
    assert set(report.new) == {"classifier.weight", "classifier.bias"}


def test_gates_are_no_part_of_s3ds_weights(tmp_path: Path) -> None:
    torch.save(S3D(num_classes=7).state_dict(), tmp_path / "s3d.pth")
    with pytest.raises(WeightsError, match=r"features\.0\.2\.fc\.weight"):
        make("s3d_g", 16, weights=tmp_path / "s3d.pth")
    report = make("s3d_g", 16, weights=tmp_path / "s3d.pth", allow_random=["features.*.fc.*"]).weights_report
    assert len(report.new) == 2 * (2 + 2 * 9 + 1)


def test_open_gates_leave_s3d() -> None:
    clips = torch.randn(1, 3, 16, 64, 64)
    plain, gated = make("s3d", 16), make("s3d_g", 16)
    for layer in gated.modules():
        if isinstance(layer, SelfGating):
            nn.init.constant_(layer.fc.bias, 50.0)
            nn.init.zeros_(layer.fc.weight)
    with torch.no_grad():
        torch.testing.assert_close(gated(clips), plain(clips))


def test_a_gate_by_hand() -> None:
    gate = SelfGating(2)
    initialize_backbone(gate, "gate", 0)
    nn.init.constant_(gate.fc.bias, 0.3)
    x = torch.randn(2, 2, 3, 4, 5)
    y = gate(x)
    for n in range(2):
        means = [x[n, c].sum() / 60 for c in range(2)]
        for c in range(2):
            z = gate.fc.weight[c, 0] * means[0] + gate.fc.weight[c, 1] * means[1] + 0.3
            torch.testing.assert_close(y[n, c], x[n, c] / (1 + torch.exp(-z)))


def test_windows_by_hand() -> None:
    x = torch.randn(1, 2, 3, 8, 7)
    windows = [x[:, :, t : t + 2, h : h + 7].mean(dim=(2, 3, 4)) for t in range(2) for h in range(2)]
    torch.testing.assert_close(WindowAverage()(x), sum(windows) / 4)
    small = torch.randn(1, 2, 1, 3, 2)
    torch.testing.assert_close(WindowAverage()(small), small.mean(dim=(2, 3, 4)))
    torch.testing.assert_close(WindowAverage()(x.bfloat16()), WindowAverage()(x).bfloat16())


@pytest.mark.parametrize(("inputs", "outputs", "middle"), [(64, 64, 144), (64, 128, 230), (512, 512, 1152)])
def test_midplanes_by_hand(inputs: int, outputs: int, middle: int) -> None:
    """27 C^2 / 12 C = 2.25 C; 27 x 64 x 128 / (9 x 64 + 3 x 128) = 221184 / 960 = 230.4."""
    assert derive_midplanes(inputs, outputs) == middle


def test_r2plus1d_computes_midplanes_for_each_convolution() -> None:
    network = make("r2plus1d_34", 8).backbone
    convs = {name: layer for name, layer in network.named_modules() if isinstance(layer, Conv2Plus1D)}
    assert len(convs) == 2 * (3 + 4 + 6 + 3)
    assert convs["layer2.0.conv1.0"][0].out_channels == 230
    assert convs["layer2.0.conv2.0"][0].out_channels == 288
    assert {layer.eps for layer in network.modules() if isinstance(layer, nn.BatchNorm3d)} == {1e-3}


def test_ip_csn_with_identities_is_ir_csn() -> None:
    """So nothing but a linear map stands before each depthwise convolution."""
    preserved, reduced = make("ip_csn_50", 8), make("ir_csn_50", 8)
    depthwise = [layer for layer in reduced.modules() if isinstance(layer, nn.Conv3d) and layer.groups > 1]
    assert len(depthwise) == 16
    assert {layer.kernel_size for layer in depthwise} == {(3, 3, 3)}
    state = {
        key.replace(".conv2.0.2.", ".conv2.0."): value
        for key, value in preserved.state_dict().items()
        if ".conv2.0.0." not in key and ".conv2.0.1." not in key
    }
    reduced.load_state_dict(state)
    for name, layer in preserved.named_modules():
        if name.endswith(".conv2.0.0"):
            layer.weight.data.copy_(torch.eye(layer.out_channels)[:, :, None, None, None])
        if name.endswith(".conv2.0.1"):
            nn.init.constant_(layer.weight, (1 + layer.eps) ** 0.5)
    clips = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(preserved(clips), reduced(clips), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", "ABC")
def test_pseudo_convolutions_by_hand(kind: str) -> None:
    conv = randomize(PseudoConv(4, kind))
    x = torch.randn(2, 4, 5, 6, 6)

    def spatial(y: Tensor) -> Tensor:
        frames = [
            nn.functional.conv2d(y[:, :, t], conv.spatial[0].weight[:, :, 0], padding=1) for t in range(5)
        ]
        return conv.spatial[1](torch.stack(frames, dim=2)).relu()

    def temporal(y: Tensor) -> Tensor:
        taps = conv.temporal[0].weight[..., 0, 0].unbind(-1)
        out = torch.zeros_like(y)
        for t in range(5):
            for tap, weight in enumerate(taps):
                if 0 <= t + tap - 1 < 5:
                    out[:, :, t] += torch.einsum("oc,nchw->nohw", weight, y[:, :, t + tap - 1])
        return conv.temporal[1](out).relu()

    s = spatial(x)
    expected = {"A": temporal(s), "B": s + temporal(x), "C": s + temporal(s)}[kind]
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


def test_p3d_takes_its_blocks_in_turn_and_ends_in_2d() -> None:
    network = make("p3d_199", 16).backbone
    kinds = [layer.kind for layer in network.modules() if isinstance(layer, PseudoConv)]
    assert "".join(kinds) == ("ABC" * 16)[: 3 + 8 + 36]
    last = [layer for layer in network.layer4.modules() if isinstance(layer, nn.Conv3d)]
    assert {layer.kernel_size[0] for layer in last} == {1}


@pytest.mark.parametrize(("name", "frames", "message"), [
    ("i3d_resnet50", 1, "takes at least 2"), ("i3d_resnet50_k400", 6, "takes at least 7"),
    ("i3d_inception", 2, "takes at least 3"), ("s3d", 4, "takes at least 5"),
    ("s3d_g", 4, "takes at least 5"), ("p3d_199", 15, "takes at least 16"),
    ("c3d", 15, "takes 16"), ("c3d", 17, "takes 16"),
])  # fmt: skip
def test_too_few_frames_are_refused(name: str, frames: int, message: str) -> None:
    with pytest.raises(ModelError, match=rf"clip\.frames: {frames}: {name.split('_g')[0]}\S* {message}"):
        make(name, frames)


@pytest.mark.parametrize(("name", "frames"), [
    ("i3d_resnet50", 2), ("i3d_resnet50_k400", 7), ("i3d_inception", 3), ("s3d", 5), ("r2plus1d_34", 1),
    ("ip_csn_50", 1), ("p3d_199", 17),
])  # fmt: skip
def test_the_fewest_frames_work(name: str, frames: int) -> None:
    with torch.no_grad():
        assert make(name, frames)(torch.randn(1, 3, frames, 32, 32)).isfinite().all()


def test_c3d_refuses_other_resolutions() -> None:
    with pytest.raises(ModelError, match=r"64 x 64 pixels ends in \(512, 1, 3, 3\).*takes 112 x 112"):
        make("c3d", 16)(torch.zeros(1, 3, 16, 64, 64))
