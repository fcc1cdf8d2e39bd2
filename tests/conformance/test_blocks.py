"""What every block must do in every backbone and placement. To register a block is to be tested here.

A block of the union ``AnyBlock`` without an entry in ``BLOCKS`` fails the first test.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from study.models.backbones import BACKBONES
from study.models.build import build_model
from study.models.initialization import NewLayer
from study.models.recognizer import Recognizer
from study.spec.blocks import AnyBlock, BlockSpec
from study.spec.model import BackboneName, ModelSpec

FRAMES, CLASSES = 4, 5

MERGE_IN = {"type": "sth", "arrangement": "merge_in"}
BLOCKS: dict[str, dict[str, Any]] = {
    "conv2d": {"type": "conv2d"},
    "hybrid": {"type": "sth", "p": "1/4"},
    "hybrid p=1/8": {"type": "sth", "p": "1/8"},
    "hybrid p=1/2": {"type": "sth", "p": "1/2"},
    "merge_out": {"type": "sth", "arrangement": "merge_out"},
    "merge_in": MERGE_IN,
    "merge_in max": {**MERGE_IN, "attention": "cost", "attention_pool": "max"},
    "dilated": {"type": "sth", "dilation": [1, 2, 3], "dilation_cycle": "per_stage"},
    **{
        f"attention {structure}": {"type": "sth", "attention": structure}
        for structure in ("cost", "concat", "se_pair", "sk_r2", "shared_se_r2", "fc_sigmoid")
    },
    "sequential": {"type": "two_plus_one", "order": "sequential"},
    "parallel": {"type": "two_plus_one", "order": "parallel"},
    "tsm": {"type": "tsm"},
    "tsm in place": {"type": "tsm_in_place"},
    "stsm": {"type": "stsm"},
    "gsf": {"type": "gsf"},
    "tam": {"type": "tam"},
    "conv3d": {"type": "conv3d", "inflation": "random"},
    "i3d": {"type": "i3d", "inflation": "random"},
    "p3d": {"type": "p3d"},
    "mfnet": {"type": "mfnet"},
    "cost_conv a": {"type": "cost_conv", "coefficients": "learned"},
    "cost_conv b": {"type": "cost_conv"},
    "stm": {"type": "stm"},
    "abm": {"type": "abm_c_in"},
    "tdm": {"type": "tdm"},
    "nonlocal": {"type": "nonlocal", "zero_gamma": False},
}
PLAIN: dict[str, dict[str, Any]] = {
    "p=0": {"type": "sth", "p": 0},
    "tsm": {"type": "tsm", "from_next": 0, "from_previous": 0},
    "tsm in place": {"type": "tsm_in_place", "from_next": 0, "from_previous": 0},
    "stsm": {"type": "stsm", "shifts": []},
}
"""Options with which a block is the plain 2D convolution."""
WEIGHTLESS = ("tsm", "tsm_in_place", "stsm")
"""Blocks that add no parameters."""
STARTS_PLAIN = ("abm_c_in",)
"""Blocks that start as the 2D network and know order once they have learned."""
PLACEMENTS: dict[str, dict[str, Any]] = {
    "all": {},
    "stages 2-3": {"stages": [2, 3]},
    "every second": {"every": 2},
}
PARTLY: dict[str, tuple[str, ...]] = {
    "resnet18": (
        *("conv2d", "hybrid", "attention cost", "merge_out", "sequential", "parallel"),
        *("stm", "abm", "tdm", "tsm", "gsf", "tam", "i3d", "p3d"),
    ),
    "resnet34": ("hybrid",),
    "resnet50": (
        *("conv2d", "attention cost", "merge_out", "sequential", "parallel"),
        *("cost_conv b", "stm", "abm", "tdm", "nonlocal"),
        *("tsm", "tsm in place", "stsm", "gsf", "tam", "conv3d", "i3d", "p3d", "mfnet"),
    ),
    "resnet101": ("hybrid",),
    "vgg16_bn": ("hybrid",),
    "mobilenet_v2": (
        *("conv2d", "hybrid", "hybrid p=1/8", "dilated", "sequential", "parallel", "tsm"),
        *("cost_conv a", "nonlocal", "tsm in place", "tam", "conv3d", "mfnet"),
    ),
    "bn_inception": ("conv2d", "hybrid", "attention cost", "merge_out", "sequential", "parallel", "tam"),
}
"""Backbones too large to be run with every option and placement. Those that differ from another in depth only
have one."""

CASES = [
    (backbone, block, placement)
    for backbone in BACKBONES
    if not BACKBONES.module(backbone).startswith("study.models.networks.")  # test_networks.py has those
    for block in PARTLY.get(backbone, BLOCKS)
    for placement in (("all",) if backbone in PARTLY else PLACEMENTS)
]
every_case = pytest.mark.parametrize(("backbone", "block", "placement"), CASES)


def make(backbone: str, block: dict[str, Any], placement: dict[str, Any], seed: int = 0) -> Recognizer:
    spec = ModelSpec.model_validate(
        {"backbone": backbone, "block": block, "placement": placement, "dropout": 0.0}
    )
    return build_model(spec, num_classes=CLASSES, frames=FRAMES, seed=seed)


def make_clips(requires_grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, FRAMES, 32, 32, generator=generator).requires_grad_(requires_grad)


def disturb(model: Recognizer) -> None:
    """Move every weight of the new layers away from its initial value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in model.modules():
            for weight in layer.parameters() if isinstance(layer, NewLayer) else ():
                weight += 0.01 * torch.randn(weight.shape, generator=generator)


@lru_cache(maxsize=4)
def scores_of_plain(backbone: str) -> Tensor:
    with torch.no_grad():
        return make(backbone, BLOCKS["conv2d"], {}).eval()(make_clips())


def test_every_block_and_backbone_has_a_case() -> None:
    union = get_args(get_args(AnyBlock)[0])
    kinds = {kind.model_fields["type"].annotation.__args__[0] for kind in union}
    assert kinds - {"none"} == {block["type"] for block in BLOCKS.values()}
    assert set(BACKBONES) == set(get_args(BackboneName))


@every_case
def test_block(backbone: str, block: str, placement: str) -> None:
    """Shape; gradients to the input and every parameter; order of frames; state dict round trip."""
    model = make(backbone, BLOCKS[block], PLACEMENTS[placement])
    spec: BlockSpec = ModelSpec.model_validate({"block": BLOCKS[block]}).block
    if spec.type in STARTS_PLAIN:
        disturb(model)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # else one step's running means would drown the signal of a deep network
    clips = make_clips(requires_grad=True)
    scores = model(clips)
    assert scores.shape == (2, CLASSES)
    (scores * torch.arange(2 * CLASSES).view(2, CLASSES)).sum().backward()
    assert clips.grad is not None
    assert (clips.grad.abs().sum(dim=(1, 3, 4)) > 0).all(), "a frame gets no gradient"
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    if not spec.orderless and spec.type not in WEIGHTLESS:
        assert any(isinstance(module, NewLayer) for module in model.modules())

    model.eval()
    with torch.no_grad():
        scores, reversed_ = model(make_clips()), model(make_clips().flip(2))
        change = (scores - reversed_).abs().max() / scores.abs().max()
        assert change < 1e-4 if spec.orderless else change > 1e-3
        other = make(backbone, BLOCKS[block], PLACEMENTS[placement], seed=1).eval()
        assert not torch.equal(other(make_clips()), scores)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(make_clips()), scores)


@pytest.mark.parametrize("backbone", ["resnet_tiny", "resnet18", "resnet50"])
@pytest.mark.parametrize("block", PLAIN)
def test_nothing_temporal_is_exactly_the_plain_network(backbone: str, block: str) -> None:
    model = make(backbone, PLAIN[block], {}).eval()
    with torch.no_grad():
        assert torch.equal(model(make_clips()), scores_of_plain(backbone))
    assert set(model.state_dict()) == set(make(backbone, BLOCKS["conv2d"], {}).state_dict())
