"""Micro-batches add up to the batch, and a loss that is not finite leaves the steps that led to it."""

from __future__ import annotations

import math

import pytest
import torch

from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.spec.loading import load_study
from study.spec.record import Failure
from study.training.steps import WINDOW, DivergedError, StepWindow, backpropagate

CPU = torch.device("cpu")


def small_model() -> Recognizer:
    arm = load_study(["table7"]).experiment("table7").row("STH hybrid").arms[0]
    torch.manual_seed(0)
    return build_model(arm.settings.model, num_classes=4, frames=4, seed=0, in_channels=3).double()


def gradients(model: Recognizer, inputs: torch.Tensor, labels: torch.Tensor, micro: int) -> torch.Tensor:
    model.zero_grad(set_to_none=True)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    backpropagate(model, inputs, labels, micro_batch=micro, precision="fp32", scaler=scaler)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("micro", [1, 2, 3, 4])
def test_micro_batches_give_the_gradient_of_the_batch(micro: int) -> None:
    """Exactly so where nothing mixes the clips of a batch: BatchNorm in evaluation mode, no dropout."""
    model = small_model().eval()
    inputs, labels = torch.randn(5, 3, 4, 32, 32, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    whole = gradients(model, inputs, labels, 5)
    assert float(whole.abs().max()) > 1e-3
    torch.testing.assert_close(gradients(model, inputs, labels, micro), whole, rtol=1e-9, atol=1e-11)


def test_loss_and_scores_are_those_of_the_batch() -> None:
    model = small_model().eval()
    inputs, labels = torch.randn(5, 3, 4, 32, 32, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    loss, scores = backpropagate(model, inputs, labels, micro_batch=2, precision="fp32", scaler=scaler)
    expected = model(inputs)
    torch.testing.assert_close(scores, expected.detach())
    torch.testing.assert_close(
        loss, torch.nn.functional.cross_entropy(expected.float(), labels).double(), rtol=1e-6, atol=0
    )


def feed(losses: list[float]) -> StepWindow:
    window = StepWindow(2, [f"video {number}" for number in range(len(losses))])
    for number, loss in enumerate(losses):
        window.add(number, 0.1, torch.tensor(loss, dtype=torch.float64), torch.tensor([number]))
    return window


def test_finite_losses_pass() -> None:
    feed([1.0] * 100).check()
    StepWindow(0, []).check()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 7, WINDOW - 1, WINDOW, 3 * WINDOW + 5])
def test_the_window_ends_with_the_first_loss_that_is_not_finite(place: int, bad: float) -> None:
    losses = [float(number) for number in range(place)] + [bad] * (WINDOW + 3)
    with pytest.raises(DivergedError, match=rf"epoch 3 is {bad} at step {place + 1}$") as caught:
        feed(losses).check()
    steps = caught.value.steps
    assert steps[-1].step == place + 1
    assert len(steps) == min(place, WINDOW) + 1
    assert [step.loss for step in steps[:-1]] == [float(n) for n in range(place)][-WINDOW:]
    assert steps[-1].videos == (f"video {place}",)
    assert {step.epoch for step in steps} == {3}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.5])
def test_such_a_loss_survives_json(bad: float) -> None:
    with pytest.raises(DivergedError) as caught:
        feed([1.0, bad if not math.isfinite(bad) else math.nan]).check()
    failure = Failure(kind="DivergedError", message="", steps=caught.value.steps)
    again = Failure.model_validate_json(failure.model_dump_json())
    assert repr(again) == repr(failure)
