"""Optimizer groups and learning rates, against hand arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from study.models.build import build_model
from study.spec.model import ModelSpec
from study.spec.training import OptimizerSpec, ScheduleSpec
from study.training.optim import build_optimizer, derive_learning_rate, set_learning_rate


def rate(progress: float, epochs: int = 50, **schedule: object) -> float:
    spec = ScheduleSpec.model_validate(schedule)
    return derive_learning_rate(OptimizerSpec(lr=0.01), spec, epochs=epochs, progress=progress)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0, 0.01), (19.99, 0.01), (20, 0.001), (39.5, 0.001), (40, 0.0001), (49.9, 0.0001)],
)
def test_steps_at_epochs_20_and_40(progress: float, expected: float) -> None:
    assert rate(progress, milestones=(20, 40)) == pytest.approx(expected)


def test_cosine_after_linear_warmup() -> None:
    options = {"type": "cosine", "warmup_epochs": 2, "epochs": 10}
    assert rate(0, **options) == 0  # type: ignore[arg-type]
    assert rate(1, **options) == pytest.approx(0.005)  # type: ignore[arg-type]
    assert rate(2, **options) == pytest.approx(0.01)  # type: ignore[arg-type]
    # A quarter of the way from 2 to 10: (1 + cos(pi / 4)) / 2.
    assert rate(4, **options) == pytest.approx(0.01 * (1 + math.sqrt(0.5)) / 2)  # type: ignore[arg-type]
    assert rate(10, **options) == pytest.approx(0, abs=1e-12)  # type: ignore[arg-type]


def test_every_parameter_is_in_one_group_and_norms_do_not_decay() -> None:
    model = build_model(ModelSpec(backbone="resnet_tiny"), num_classes=5, frames=4)
    optimizer = build_optimizer(model, OptimizerSpec(lr=0.1, weight_decay=0.3, classifier_lr_mult=5))
    members = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in model.parameters())
    norms = {id(p) for m in model.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    undecayed = {
        id(p) for group in optimizer.param_groups if group["weight_decay"] == 0 for p in group["params"]
    }
    assert undecayed == norms | {id(model.classifier.bias)}
    set_learning_rate(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model.classifier.weight)] == pytest.approx(0.5)
    assert rates[id(model.classifier.bias)] == pytest.approx(1.0)
    assert rates[id(next(model.backbone.parameters()))] == pytest.approx(0.1)


def test_frozen_parameters_are_left_out() -> None:
    model = build_model(ModelSpec(backbone="resnet_tiny"), num_classes=5, frames=4)
    first = next(model.backbone.parameters())
    first.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerSpec())
    assert not any(parameter is first for group in optimizer.param_groups for parameter in group["params"])


def test_the_update_is_that_of_sgd_with_momentum_and_decay() -> None:
    model = build_model(ModelSpec(backbone="resnet_tiny"), num_classes=5, frames=4)
    optimizer = build_optimizer(
        model, OptimizerSpec(lr=0.1, momentum=0.9, weight_decay=0.01, classifier_lr_mult=1)
    )
    set_learning_rate(optimizer, 0.1)
    weight = model.classifier.weight
    start = weight.detach().clone()
    velocity, expected = torch.zeros_like(start), start.clone()
    for step in (1.0, 2.0):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, step)
        velocity = 0.9 * velocity + step + 0.01 * expected
        expected = expected - 0.1 * velocity
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected)
