"""What every network of whole clips must do, at the smallest input that it takes.

A backbone below ``study.models.networks`` without an entry in ``NETWORKS`` fails the first test.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from study.models.backbones import BACKBONES
from study.models.build import build_model
from study.models.initialization import NewLayer
from study.models.recognizer import Recognizer
from study.spec.model import ModelSpec

CLASSES = 5

NETWORKS: dict[str, tuple[int, int]] = {
    "i3d_resnet50": (4, 32),
    "i3d_resnet50_k400": (8, 32),
    "i3d_inception": (8, 32),
    "s3d": (16, 32),
    "s3d_g": (16, 32),
    "r2plus1d_34": (8, 32),
    "ip_csn_50": (16, 64),
    "ir_csn_50": (16, 64),
    "c3d": (16, 112),
    "p3d_199": (16, 32),
    "eco_full": (4, 32),
    "eco_lite": (8, 32),
    "artnet18": (16, 32),
    "stnet50": (10, 32),
    "stnet101": (10, 32),
    "tdn_resnet50": (10, 64),
}
"""Frames and pixels of a clip, by network. Where BatchNorm follows a depthwise convolution, the last feature map
must have more than one position, or biases before it cannot matter."""
SLOW = {"c3d"}
EQUAL_WEIGHTS = ("tdn_resnet50",)
"""Networks in which differences of frames start with equal weights and cancel out but for the outermost frames."""
every_network = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NETWORKS]
)


def make(name: str, seed: int = 0, in_channels: int = 3) -> Recognizer:
    spec = ModelSpec.model_validate({"backbone": name, "block": {"type": "none"}, "dropout": 0.0})
    frames = NETWORKS[name][0]
    return build_model(spec, num_classes=CLASSES, frames=frames, seed=seed, in_channels=in_channels)


def disturb(model: Recognizer) -> None:
    """Move every weight of the new layers away from its initial value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in model.modules():
            for weight in layer.parameters() if isinstance(layer, NewLayer) else ():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)


def make_clips(name: str, *, clips: int = 2, in_channels: int = 3) -> Tensor:
    frames, size = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    return torch.randn(clips, in_channels, frames, size, size, generator=generator)


def test_every_network_has_a_case() -> None:
    networks = {name for name in BACKBONES if BACKBONES.module(name).startswith("study.models.networks.")}
    assert set(NETWORKS) == networks


@every_network
def test_network(name: str) -> None:
    """Shape; gradients to every frame and parameter; order of frames; state dict round trip."""
    model = make(name)
    if name in EQUAL_WEIGHTS:
        disturb(model)
    clips = make_clips(name).requires_grad_()
    scores = model(clips)
    assert scores.shape == (2, CLASSES)
    (scores * torch.arange(2 * CLASSES).view(2, CLASSES)).sum().backward()
    assert clips.grad is not None
    assert (clips.grad.abs().sum(dim=(1, 3, 4)) > 0).all(), "a frame gets no gradient"
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key

    model.eval()
    with torch.no_grad():
        scores, reversed_ = model(make_clips(name)), model(make_clips(name).flip(2))
        assert (scores - reversed_).abs().max() / scores.abs().max() > 1e-3
        other = make(name, seed=1).eval()
        assert not torch.equal(other(make_clips(name)), scores)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(make_clips(name)), scores)


@every_network
def test_clips_do_not_mix(name: str) -> None:
    """A clip's scores are the same alone and beside another."""
    model, clips = make(name).eval(), make_clips(name)
    with torch.no_grad():
        both, alone = model(clips), model(clips[1:])
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5 * float(both.abs().max()))


@every_network
def test_other_input_channels(name: str) -> None:
    with torch.no_grad():
        scores = make(name, in_channels=2).eval()(make_clips(name, clips=1, in_channels=2))
    assert scores.shape == (1, CLASSES)
