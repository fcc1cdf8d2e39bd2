"""Counts against the figures worked out for the paper's tables, and the counters against each other."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from study.cost import count as counting
from study.cost.count import count_cost
from study.cost.oracle import LayerCost, derive_layers
from study.errors import CountError
from study.models.blocks.sth import STHConv2d
from study.spec.model import ModelSpec


def make_spec(backbone: str, block: dict[str, Any], **model: Any) -> ModelSpec:
    return ModelSpec.model_validate({"backbone": backbone, "block": block, **model})


HYBRID = {"type": "sth", "p": "1/4"}
COST = {**HYBRID, "attention": "cost"}
PLAIN = {"type": "conv2d"}

PAPER = [
    ("resnet50", PLAIN, 23.865, 32.70, 32.88),
    ("resnet50", {"type": "sth", "p": "1/8"}, 22.921, 31.47, 31.65),
    ("resnet50", HYBRID, 21.978, 30.23, 30.41),
    ("resnet50", {"type": "sth", "p": "1/2"}, 20.092, 27.77, 27.95),
    ("resnet50", {**HYBRID, "arrangement": "merge_out"}, 21.978, 30.23, 30.41),
    ("resnet50", {**HYBRID, "arrangement": "merge_in"}, 21.978, 30.23, 30.41),
    ("resnet50", {**COST, "dilation": [1, 2, 3]}, 23.236, 30.24, 30.41),
    ("resnet50", {"type": "two_plus_one", "order": "sequential"}, 27.637, 37.63, 37.81),
    ("resnet50", {"type": "two_plus_one", "order": "parallel"}, 27.637, 37.63, 37.81),
    ("resnet18", PLAIN, 11.266, 14.51, None),
    ("resnet18", HYBRID, 9.435, 12.27, None),
    ("resnet18", {**HYBRID, "attention": "concat"}, 10.84, None, None),
    ("resnet34", HYBRID, 17.860, 24.61, None),
    pytest.param("resnet101", HYBRID, 39.299, 57.31, None, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("backbone", "block", "params", "gmacs", "fvcore"), PAPER)
def test_paper_scale(
    backbone: str, block: dict[str, Any], params: float, gmacs: float | None, fvcore: float | None
) -> None:
    """174 classes, 8 frames of 224 x 224; reference counts were made by another program."""
    cost = count_cost(make_spec(backbone, block), num_classes=174, frames=8, size=224)
    assert cost.params_m == pytest.approx(params, abs=0.0051 if params == 10.84 else 0.00051)
    if gmacs is not None:
        assert cost.gmacs_per_view == pytest.approx(gmacs, abs=0.0071)
    if fvcore is not None:
        assert cost.fvcore_gmacs == pytest.approx(fvcore, abs=0.0071)


@pytest.mark.parametrize("structure", ["cost", "concat", "se_pair", "sk_r2", "shared_se_r2", "fc_sigmoid"])
@pytest.mark.parametrize("placement", [{}, {"stages": [2], "every": 2}])
def test_counters_agree_on_every_structure(structure: str, placement: dict[str, Any]) -> None:
    spec = make_spec("resnet_tiny", {**HYBRID, "attention": structure}, placement=placement)
    cost = count_cost(spec, num_classes=7, frames=3, size=30)
    layers = derive_layers(spec, num_classes=7, frames=3, size=30)
    assert cost.params_m == pytest.approx(sum(layer.params for layer in layers) / 1e6, rel=1e-12)
    assert cost.gmacs_per_view == pytest.approx(sum(layer.macs for layer in layers) / 1e9, rel=1e-12)


def test_masked_weights_count_as_executed_only() -> None:
    """In the tiny network every hybrid layer runs dense: 9 C^2 + 3 C^2 / 4 for 6.75 C^2 + 3 C^2 / 4."""
    plain = count_cost(make_spec("resnet_tiny", PLAIN), num_classes=2, frames=4, size=32)
    hybrid = count_cost(make_spec("resnet_tiny", HYBRID), num_classes=2, frames=4, size=32)
    assert plain.executed_gmacs == plain.gmacs_per_view
    body = (plain.gmacs_per_view - hybrid.gmacs_per_view) * 9 / 1.5
    assert hybrid.executed_gmacs - plain.executed_gmacs == pytest.approx(body * 0.75 / 9, rel=1e-9)


def test_uncounted_operators_are_listed() -> None:
    cost = count_cost(make_spec("resnet_tiny", COST), num_classes=2, frames=4, size=32)
    assert cost.uncounted["aten::softmax"] == 12
    assert cost.uncounted["aten::lerp"] == 12
    assert not any("unflatten" in name for name in cost.uncounted)


def test_initial_weights_are_not_loaded() -> None:
    spec = make_spec("resnet_tiny", HYBRID, init={"weights": "/does/not/exist.pth"})
    assert count_cost(spec, num_classes=2, frames=4, size=16).params_m > 0


def test_without_fvcore_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec("resnet_tiny", HYBRID)
    with_fvcore = count_cost(spec, num_classes=2, frames=4, size=32)
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    without = count_cost(spec, num_classes=2, frames=4, size=32)
    assert without.fvcore_gmacs is None
    assert without.gmacs_per_view == pytest.approx(with_fvcore.gmacs_per_view, rel=1e-12)


def distort(monkeypatch: pytest.MonkeyPatch, name: str, **change: int) -> None:
    """Let the closed form be wrong about one module."""

    def derive(*args: Any, **kwargs: Any) -> list[LayerCost]:
        layers = derive_layers(*args, **kwargs)
        assert name in {layer.name for layer in layers}
        return [replace(layer, **change) if layer.name == name else layer for layer in layers]

    monkeypatch.setattr(counting, "derive_layers", derive)


@pytest.mark.parametrize("change", [{"macs": 1}, {"params": 1}])
def test_a_disagreement_names_the_module(monkeypatch: pytest.MonkeyPatch, change: dict[str, int]) -> None:
    distort(monkeypatch, "backbone.layer2.0.conv2", **change)
    with pytest.raises(CountError, match=r"backbone\.layer2\.0\.conv2"):
        count_cost(make_spec("resnet_tiny", HYBRID), num_classes=2, frames=4, size=32)


def test_the_tolerance_is_half_a_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec("resnet_tiny", PLAIN)
    macs = 16 * 16 * 9 * 16 * 16 * 4
    distort(monkeypatch, "backbone.layer1.0.conv2", macs=int(macs * 1.004))
    count_cost(spec, num_classes=2, frames=4, size=32)
    distort(monkeypatch, "backbone.layer1.0.conv2", macs=int(macs * 1.006))
    with pytest.raises(CountError, match=r"layer1\.0\.conv2"):
        count_cost(spec, num_classes=2, frames=4, size=32)


def test_work_outside_of_known_modules_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix product in a module that the closed form has no entry for."""
    from study.models.recognizer import Recognizer

    original = Recognizer.forward

    def forward(self: Recognizer, clips: torch.Tensor) -> torch.Tensor:
        square = clips.flatten(0, 3)
        return original(self, clips) + (square @ square.T).sum()

    monkeypatch.setattr(Recognizer, "forward", forward)
    with pytest.raises(CountError, match="outside of the modules"):
        count_cost(make_spec("resnet_tiny", PLAIN), num_classes=2, frames=4, size=32)


def test_an_operator_of_unknown_cost_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    original = STHConv2d.forward
    monkeypatch.setattr(STHConv2d, "forward", lambda self, x: torch.cumsum(original(self, x), dim=1))
    with pytest.raises(CountError, match=r"aten::cumsum"):
        count_cost(make_spec("resnet_tiny", HYBRID), num_classes=2, frames=4, size=32)


def test_parameters_that_the_closed_form_lacks_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        counting, "derive_layers", lambda *args, **kwargs: derive_layers(*args, **kwargs)[:-1]
    )
    with pytest.raises(CountError, match=r"classifier\.weight"):
        count_cost(make_spec("resnet_tiny", PLAIN), num_classes=2, frames=4, size=32)
