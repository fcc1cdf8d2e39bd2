"""STM, ABM and TDN's module against their formulas, written out frame by frame."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from study.errors import ModelError
from study.models.blocks.abm import build_abm
from study.models.blocks.channelwise import ChannelwiseTemporal
from study.models.blocks.stm import build_stm
from study.models.blocks.tdm import build_tdm
from study.models.build import build_model
from study.models.initialization import initialize_new_layers
from study.models.placement import Site
from study.models.recognizer import Recognizer
from study.spec.blocks import ABMBlock, STMBlock, TDMBlock
from study.spec.model import ModelSpec

FRAMES = 4


def make_residual(kind: type[BasicBlock | Bottleneck], stride: int = 1) -> nn.Module:
    """A residual block of 16 channels in its middle, with BatchNorm that does something."""
    torch.manual_seed(0)
    inputs, width = 8 if stride > 1 else 16 * kind.expansion, 16
    outputs = width * kind.expansion
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    block = kind(inputs, width, stride, shortcut if stride > 1 else None).double().eval()
    return disturb(block)


def disturb(module: nn.Module) -> nn.Module:
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean=1, std=0.2)
            nn.init.normal_(layer.bias, std=0.2)
            nn.init.normal_(layer.running_mean, std=0.2)
    return module


def place(factory: Any, spec: Any, module: nn.Module) -> Any:
    """The block in the place of ``module``, with its initial weights."""
    block = factory(spec, Site("residual_block", "layer1.0", 1, 0, 0, module), FRAMES)
    initialize_new_layers(block, "", seed=0)
    return disturb(block.double().eval())


def make_frames(module: nn.Module, side: int = 5) -> Tensor:
    channels = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d)).in_channels
    return torch.randn(2 * FRAMES, channels, side, side, dtype=torch.float64)


def each_frame(x: Tensor) -> list[list[Tensor]]:
    """Clips of frames (1, C, H, W)."""
    return [[x[clip * FRAMES + t][None] for t in range(FRAMES)] for clip in range(2)]


def test_channelwise_temporal_starts_as_a_shift() -> None:
    layer = ChannelwiseTemporal(8, FRAMES, past=slice(0, 2), future=slice(6, None))
    initialize_new_layers(layer, "x", seed=0)
    x = torch.randn(2 * FRAMES, 8, 3, 2)
    expected = torch.zeros_like(x)
    for clip in (0, FRAMES):
        for t in range(FRAMES):
            expected[clip + t, 2:6] = x[clip + t, 2:6]
            if t > 0:
                expected[clip + t, :2] = x[clip + t - 1, :2]
            if t < FRAMES - 1:
                expected[clip + t, 6:] = x[clip + t + 1, 6:]
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("stride", [1, 2])
def test_stm(kind: type[BasicBlock | Bottleneck], stride: int) -> None:
    """conv3x3 of shifted frames beside the difference of a transformed frame and the one before it."""
    plain = make_residual(kind, stride)
    stm = place(build_stm, STMBlock(type="stm", reduction=4), plain)
    x = make_frames(plain)
    is_basic = kind is BasicBlock
    entered = x if is_basic else plain.bn1(plain.conv1(x)).relu()
    conv, norm = (plain.conv1, plain.bn1) if is_basic else (plain.conv2, plain.bn2)
    quarter = entered.shape[1] // 4
    rows = []
    for frames in each_frame(entered):
        nothing = torch.zeros_like(frames[0])
        for t in range(FRAMES):
            before = frames[t - 1] if t else nothing
            after = frames[t + 1] if t + 1 < FRAMES else nothing
            mixed = torch.cat(
                [before[:, :quarter], frames[t][:, quarter:-quarter], after[:, -quarter:]], dim=1
            )
            reduced, following = (stm.motion.bn(stm.motion.reduce(frame)) for frame in (frames[t], after))
            moved = stm.motion.transform(following) - reduced if t + 1 < FRAMES else torch.zeros_like(reduced)
            motion = stm.motion.expand(moved)
            if stride == 2:  # 5 x 5 pixels, the last row and column on their own
                motion = functional.max_pool2d(functional.pad(motion, (0, 1, 0, 1), value=-1e9), 2)
            rows.append(norm(conv(mixed)).relu() + motion)
    core = torch.cat(rows)
    y = plain.bn2(plain.conv2(core)) if is_basic else plain.bn3(plain.conv3(core))
    expected = (y + (x if plain.downsample is None else plain.downsample(x))).relu()
    torch.testing.assert_close(stm(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
def test_abm(kind: type[BasicBlock | Bottleneck]) -> None:
    """The product of two sums over the frames t - 1, t and t + 1."""
    plain = make_residual(kind)
    name, norm = ("conv1", plain.bn1) if kind is BasicBlock else ("conv2", plain.bn2)
    kernel = plain.get_submodule(name).weight.detach().clone()
    entered = plain.conv1, plain.bn1
    x = make_frames(plain)
    abm = place(build_abm, ABMBlock(type="abm_c_in"), plain)
    assert torch.equal(abm.main.weight[:, :, 1], kernel)
    assert not abm.main.weight[:, :, [0, 2]].any()
    assert not abm.auxiliary.weight.any()
    assert torch.equal(abm.auxiliary.bias, torch.ones(16, dtype=torch.float64))
    for weight in (abm.main.weight, abm.auxiliary.weight, abm.auxiliary.bias):
        nn.init.normal_(weight, std=0.1)
    x_in = entered[1](entered[0](x)).relu() if kind is Bottleneck else x
    rows = []
    for frames in each_frame(x_in):
        for t in range(FRAMES):
            main, auxiliary = 0, abm.auxiliary.bias[:, None, None]
            for tap, other in enumerate((t - 1, t, t + 1)):
                if 0 <= other < FRAMES:
                    main = main + functional.conv2d(frames[other], abm.main.weight[:, :, tap], padding=1)
                    auxiliary = auxiliary + functional.conv2d(
                        frames[other], abm.auxiliary.weight[:, :, tap], padding=1
                    )
            rows.append((norm(main) * auxiliary).relu())
    core = torch.cat(rows)
    y = plain.bn3(plain.conv3(core)) if kind is Bottleneck else plain.bn2(plain.conv2(core))
    torch.testing.assert_close(abm(x), (y + x).relu(), rtol=0, atol=1e-12)


def test_abm_leaves_projections_alone() -> None:
    plain = make_residual(Bottleneck, stride=2)
    assert build_abm(ABMBlock(type="abm_c_in"), Site("residual_block", "b", 1, 0, 0, plain), FRAMES) is plain


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck])
def test_tdm(kind: type[BasicBlock | Bottleneck]) -> None:
    """The attention out of differences with the frame ahead and the frame before."""
    plain = make_residual(kind)
    tdm = place(build_tdm, TDMBlock(type="tdm", reduction=4), plain)
    part = tdm.difference
    x = make_frames(plain, side=6)
    entered = plain.bn1(plain.conv1(x)).relu()

    def respond(difference: Tensor) -> Tensor:
        coarse = part.coarse_bn(part.coarse(functional.avg_pool2d(difference, 2)))
        coarse = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        m = part.expand_bn(part.expand((difference + part.fine_bn(part.fine(difference)) + coarse) / 3))
        return 1 / (1 + torch.exp(-m)) - 0.5

    rows = []
    for frames in each_frame(entered):
        reduced = [part.reduce_bn(part.reduce(frame)) for frame in frames]
        attended = []
        for t in range(FRAMES):
            ahead, back = torch.zeros_like(reduced[t]), torch.zeros_like(reduced[t])
            if t + 1 < FRAMES:
                ahead = part.align(reduced[t + 1]) - reduced[t]
            if t > 0:
                back = part.align(reduced[t - 1]) - reduced[t]
            attended.append(frames[t] * (1 + 0.5 * respond(ahead) + 0.5 * respond(back)))
        nothing = torch.zeros_like(attended[0])
        for t in range(FRAMES):
            after = attended[t + 1] if t + 1 < FRAMES else nothing
            before = attended[t - 1] if t else nothing
            rows.append(torch.cat([after[:, :2], before[:, 2:4], attended[t][:, 4:]], dim=1))
    middle = torch.cat(rows)
    y = plain.bn2(plain.conv2(middle))
    if kind is Bottleneck:
        y = plain.bn3(plain.conv3(y.relu()))
    torch.testing.assert_close(tdm(x), (y + x).relu(), rtol=0, atol=1e-12)


def build(backbone: str, block: dict[str, Any]) -> Recognizer:
    spec = ModelSpec.model_validate({"backbone": backbone, "block": block, "dropout": 0.0})
    return build_model(spec, num_classes=5, frames=FRAMES).eval()


@pytest.mark.parametrize("backbone", ["resnet_tiny", "resnet50"])
@pytest.mark.parametrize("block", ["stm", "abm_c_in", "tdm"])
def test_without_its_temporal_weights_it_is_the_plain_network(backbone: str, block: str) -> None:
    """ABM starts so. In STM the shift and the motion are taken out, in TDN's module the shift and the attention."""
    plain, model = build(backbone, {"type": "conv2d"}), build(backbone, {"type": block})
    for layer in model.modules():
        if isinstance(layer, ChannelwiseTemporal):
            nn.init.zeros_(layer.weight)
            nn.init.ones_(layer.weight[:, :, 1])
    for name, parameter in model.named_parameters():
        if name.endswith(("motion.expand.weight", "difference.expand.weight")):
            nn.init.zeros_(parameter)
    clips = torch.randn(2, 3, FRAMES, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(clips), plain(clips), rtol=0, atol=1e-6)
        assert plain(clips).abs().max() > 1e-4


@pytest.mark.parametrize("block", ["stm", "abm_c_in", "tdm"])
@pytest.mark.parametrize(("backbone", "message"), [
    ("mobilenet_v2", r"features\.3: .*needs a residual block of a ResNet, found InvertedResidual"),
    ("i3d_resnet50", r"layer\d\.\d: .*needs a 2D network, but this one sees whole clips"),
    ("vgg16_bn", r"has no site of kind 'residual_block'"),
])  # fmt: skip
def test_other_networks_are_refused(block: str, backbone: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(backbone, {"type": block})


@pytest.mark.parametrize(("first", "found"), [("stm", "STMResidual"), ("nonlocal", "BasicBlockNonLocal")])
def test_two_blocks_in_one_residual_block_are_refused(first: str, found: str) -> None:
    on_top = {"block": {"type": "tdm"}}
    spec = ModelSpec.model_validate({"backbone": "resnet_tiny", "block": {"type": first}, "on_top": on_top})
    with pytest.raises(ModelError, match=rf"layer1\.0: .* found {found}"):
        build_model(spec, num_classes=5, frames=FRAMES)


def test_a_position_that_is_gone_is_named() -> None:
    on_top = {"block": {"type": "sth"}}
    spec = ModelSpec.model_validate(
        {"backbone": "resnet_tiny", "block": {"type": "abm_c_in"}, "on_top": on_top}
    )
    with pytest.raises(ModelError, match=r"layer1\.0\.conv1: block 'sth' finds its position gone"):
        build_model(spec, num_classes=5, frames=FRAMES)
