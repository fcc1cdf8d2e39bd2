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
}
PLAIN: dict[str, dict[str, Any]] = {"p=0": {"type": "sth", "p": 0}}
"""Options with which a block is the plain 2D convolution."""
PLACEMENTS: dict[str, dict[str, Any]] = {
    "all": {},
    "stages 2-3": {"stages": [2, 3]},
    "every second": {"every": 2},
}
PARTLY: dict[str, tuple[str, ...]] = {
    "resnet18": ("conv2d", "hybrid", "attention cost", "merge_out", "sequential", "parallel"),
    "resnet34": ("hybrid",),
    "resnet50": ("conv2d", "attention cost", "merge_out", "sequential", "parallel"),
    "resnet101": ("hybrid",),
}
"""Backbones too large to be run with every option and placement. Those that differ from another in depth only
have one."""

CASES = [
    (backbone, block, placement)
    for backbone in BACKBONES
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


@lru_cache(maxsize=4)
def scores_of_plain(backbone: str) -> Tensor:
    with torch.no_grad():
        return make(backbone, BLOCKS["conv2d"], {}).eval()(make_clips())


def test_every_block_and_backbone_has_a_case() -> None:
    union = get_args(get_args(AnyBlock)[0])
    assert {kind.model_fields["type"].annotation.__args__[0] for kind in union} == {
        block["type"] for block in BLOCKS.values()
    }
    assert set(BACKBONES) == set(get_args(BackboneName))


@every_case
def test_block(backbone: str, block: str, placement: str) -> None:
    """Shape; gradients to the input and every parameter; order of frames; state dict round trip."""
    model = make(backbone, BLOCKS[block], PLACEMENTS[placement])
    spec: BlockSpec = ModelSpec.model_validate({"block": BLOCKS[block]}).block
    clips = make_clips(requires_grad=True)
    scores = model(clips)
    assert scores.shape == (2, CLASSES)
    (scores * torch.arange(2 * CLASSES).view(2, CLASSES)).sum().backward()
    assert clips.grad is not None
    assert (clips.grad.abs().sum(dim=(1, 3, 4)) > 0).all(), "a frame gets no gradient"
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    if not spec.orderless:
        assert any(isinstance(module, NewLayer) for module in model.modules())

    model.eval()
    with torch.no_grad():
        scores, reversed_ = model(make_clips()), model(make_clips().flip(2))
        change = (scores - reversed_).abs().max() / scores.abs().max()
        assert change < 1e-5 if spec.orderless else change > 1e-3
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
