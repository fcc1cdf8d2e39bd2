"""GSF, TAM, inflated convolutions, P3D and MFNet, each against its definition written out in float64."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from study.errors import ModelError
from study.models.blocks.gsf import GateShiftFuse, build_gsf
from study.models.blocks.inflated import build_conv3d, build_i3d
from study.models.blocks.mfnet import MotionBlock, build_mfnet
from study.models.blocks.p3d import build_p3d
from study.models.blocks.tam import TemporalAdaptiveModule, build_tam
from study.models.initialization import NewLayer, make_generator
from study.models.placement import Site
from study.spec.blocks import Conv3dBlock, GSFBlock, I3DBlock, MFNetBlock, P3DBlock, TAMBlock

N, FRAMES, CHANNELS = 2, 4, 8


def make_frames(channels: int = CHANNELS, size: tuple[int, int] = (5, 6)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N * FRAMES, channels, *size, dtype=torch.float64, generator=generator)
    return x.to(memory_format=torch.channels_last)


def to_clips(x: Tensor) -> Tensor:
    return x.unflatten(0, (N, FRAMES)).transpose(1, 2)


def from_clips(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)


def initialize(module: nn.Module) -> nn.Module:
    """New layers drawn as the harness draws them; BatchNorm with statistics that are not the identity."""
    generator = make_generator(0, "x")
    for layer in module.modules():
        if isinstance(layer, NewLayer):
            with torch.no_grad():
                layer.init_parameters(generator)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return module.double().eval()


def site(kind: Any, module: nn.Module, **order: Any) -> Site:
    return Site(kind, "layer1.0", **{"stage": 1, "index": 0, "index_in_stage": 0, **order}, module=module)


def close(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, rtol=0, atol=1e-10)


@torch.no_grad()
def test_gate_shift_fuse() -> None:
    torch.manual_seed(0)
    block = initialize(GateShiftFuse(CHANNELS, FRAMES))
    assert isinstance(block, GateShiftFuse)
    x = make_frames(CHANNELS + 3)
    y = to_clips(block(x))
    clips = to_clips(x)
    close(y[:, CHANNELS:], clips[:, CHANNELS:])
    half = CHANNELS // 2
    gates = torch.tanh(block.gate(torch.relu(block.norm(clips[:, :CHANNELS]))))
    for number, fuse in enumerate((block.fuse_next, block.fuse_previous)):
        part = clips[:, number * half : (number + 1) * half]
        moving = gates[:, number : number + 1] * part
        moved = torch.zeros_like(moving)
        if number == 0:
            moved[:, :, :-1] = moving[:, :, 1:]
        else:
            moved[:, :, 1:] = moving[:, :, :-1]
        planes = torch.stack([moved.mean((3, 4)), (part - moving).mean((3, 4))], dim=1)
        weight = torch.sigmoid(functional.conv2d(planes, fuse.weight, fuse.bias, padding=1))[:, 0]
        weight = weight[..., None, None]
        fused = weight * moved + (1 - weight) * (part - moving)
        for i in range(half // 2):
            for j in range(2):
                close(y[:, number * half + 2 * i + j], fused[:, j * half // 2 + i])


def test_gsf_stands_before_the_last_batchnorm() -> None:
    torch.manual_seed(0)
    original = Bottleneck(32, 8).double().eval()
    block = initialize(build_gsf(GSFBlock(type="gsf"), site("residual_block", original), FRAMES))
    assert block.gsf.channels == 8
    x = make_frames(32)
    with torch.no_grad():
        y = original.relu(original.bn2(original.conv2(original.relu(original.bn1(original.conv1(x))))))
        close(block(x), torch.relu(original.bn3(block.gsf(original.conv3(y))) + x))


def test_gsf_needs_a_multiple_of_four_channels() -> None:
    with pytest.raises(ModelError, match="fraction: 1/4 of its 8 channels"):
        build_gsf(GSFBlock(type="gsf"), site("residual_block", BasicBlock(8, 8)), FRAMES)


@torch.no_grad()
def test_temporal_adaptive_module() -> None:
    torch.manual_seed(0)
    block = initialize(TemporalAdaptiveModule(CHANNELS, FRAMES))
    assert isinstance(block, TemporalAdaptiveModule)
    nn.init.normal_(block.kernel[0].weight)
    nn.init.normal_(block.kernel[3].weight)
    x = make_frames()
    clips = to_clips(x)
    pooled = clips.mean((3, 4))
    expected = torch.zeros_like(clips)
    for n in range(N):
        importance = block.importance(pooled[n : n + 1])[0]
        for c in range(CHANNELS):
            kernel = block.kernel(pooled[n, c][None])[0]
            assert kernel.sum() == pytest.approx(1)
            for t in range(FRAMES):
                for tap in range(3):
                    source = t + tap - 1
                    if 0 <= source < FRAMES:
                        expected[n, c, t] += kernel[tap] * importance[c, source] * clips[n, c, source]
    y = block(x)
    close(to_clips(y), expected)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_tam_precedes_the_convolution() -> None:
    conv = nn.Conv2d(CHANNELS, 6, 3, stride=2, padding=1).double()
    block = initialize(build_tam(TAMBlock(type="tam"), site("spatial_conv", conv), FRAMES))
    x = make_frames()
    close(block(x), conv(block.tam(x)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
def test_inflated_convolution(stride: int, groups: int, kernel: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(CHANNELS, 6, kernel, stride=stride, padding=kernel // 2, groups=groups).double()
    spec = Conv3dBlock(type="conv3d", inflation="random")
    block = initialize(build_conv3d(spec, site("spatial_conv", conv), FRAMES))
    x = make_frames()
    full = nn.Conv3d(
        CHANNELS, 6, (3, kernel, kernel), (1, stride, stride), (1, kernel // 2, kernel // 2), groups=groups
    )
    full.weight, full.bias = block.kernels.weight, conv.bias
    close(to_clips(block(x)), full(to_clips(x)))


@pytest.mark.parametrize("kernel", [1, 3])
def test_inflation(kernel: int) -> None:
    """center: the 2D result. mean: the 2D result on frames whose neighbors are equal, 2/3 of it at the ends."""
    conv = nn.Conv2d(CHANNELS, 6, kernel, padding=kernel // 2, bias=False).double()
    x = make_frames()
    center = build_conv3d(Conv3dBlock(type="conv3d", inflation="center"), site("spatial_conv", conv), FRAMES)
    close(center(x), conv(x))
    mean = build_conv3d(Conv3dBlock(type="conv3d"), site("spatial_conv", conv), FRAMES)
    still = to_clips(x)[:, :, :1].expand(-1, -1, FRAMES, -1, -1)
    result, image = to_clips(mean(from_clips(still))), to_clips(conv(x))[:, :, 0]
    for t in range(FRAMES):
        close(result[:, :, t], image * (2 / 3 if t in (0, FRAMES - 1) else 1))


@pytest.mark.parametrize(("stage", "pattern"), [
    (1, [1, 1, 1]), (2, [1, 0, 1, 0]), (3, [1, 0, 1, 0, 1, 0]), (4, [0, 1, 0]),
])  # fmt: skip
def test_i3d_alternates_as_its_authors_have_it(stage: int, pattern: list[int]) -> None:
    for number, grows in enumerate(pattern):
        conv = nn.Conv2d(CHANNELS, 6, 1, bias=False)
        here = site("residual_input", conv, stage=stage, index_in_stage=number)
        assert (build_i3d(I3DBlock(type="i3d"), here, FRAMES) is not conv) == bool(grows)
        assert build_i3d(I3DBlock(type="i3d", pattern="all"), here, FRAMES) is not conv


@pytest.mark.parametrize("variant", ["A", "B", "C"])
@pytest.mark.parametrize("stride", [1, 2])
def test_p3d(variant: Literal["A", "B", "C"], stride: int) -> None:
    torch.manual_seed(0)
    shortcut = nn.Sequential(nn.Conv2d(CHANNELS, 16, 1, stride, bias=False), nn.BatchNorm2d(16))
    original = Bottleneck(CHANNELS, 4, stride, shortcut).double().eval()
    spec = P3DBlock(type="p3d", variants=("B", variant))
    block = initialize(build_p3d(spec, site("residual_block", original, index=3), FRAMES))
    x = make_frames()
    unit = block.temporal
    hidden = torch.relu(original.bn1(original.conv1(x)))
    spatial = torch.relu(original.bn2(original.conv2(hidden)))
    source, s = (hidden, stride) if variant == "B" else (spatial, 1)
    kernel = unit.conv.weight[..., None]
    temporal = functional.conv3d(to_clips(source), kernel, stride=(1, s, s), padding=(1, 0, 0))
    temporal = torch.relu(unit.norm(from_clips(temporal)))
    core = {"A": temporal, "B": spatial + temporal, "C": spatial + temporal}[variant]
    close(block(x), torch.relu(original.bn3(original.conv3(core)) + shortcut(x)))


@torch.no_grad()
def test_motion_block() -> None:
    torch.manual_seed(0)
    block = initialize(MotionBlock(CHANNELS, 4, FRAMES))
    assert isinstance(block, MotionBlock)
    x = make_frames()
    reduced = to_clips(block.reduce(x))
    following = torch.stack([reduced[:, :, min(t + 1, FRAMES - 1)] for t in range(FRAMES)], dim=2)
    height, width = x.shape[2:]
    motion = []
    for dy, dx in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
        displaced = torch.zeros_like(reduced)
        for i in range(height):
            for j in range(width):
                if 0 <= i + dy < height and 0 <= j + dx < width:
                    displaced[..., i, j] = following[..., i + dy, j + dx]
        motion.append(displaced - reduced)
    expected = block.norm(block.restore(from_clips(torch.cat(motion, dim=1))))
    close(block(x), expected)


def test_mfnet_stands_at_the_end_of_a_stage() -> None:
    original = BasicBlock(16, 16).double().eval()
    spec = MFNetBlock(type="mfnet")
    assert build_mfnet(spec, site("residual_block", original), FRAMES) is original
    for options in ({"spec": spec, "ends_stage": True}, {"spec": MFNetBlock(type="mfnet", sites="all")}):
        here = site("residual_block", original, ends_stage=options.get("ends_stage", False))
        block = initialize(build_mfnet(options["spec"], here, FRAMES))
        x = make_frames(16)
        close(block(x), original(x) + block.motion(original(x)))


def test_mfnet_needs_a_channel_of_differences() -> None:
    here = site("residual_block", BasicBlock(8, 8), ends_stage=True)
    with pytest.raises(ModelError, match="reduction: 16 is more than its 8 channels"):
        build_mfnet(MFNetBlock(type="mfnet"), here, FRAMES)
