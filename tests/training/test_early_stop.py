"""A trial is given up when it has diverged or is futile, and else never."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from scipy.stats import binom

from study.spec.training import StopSpec
from study.training.early_stop import CONFIDENCE, StoppedError, bound_from_above, check_progress


def check(
    stop: StopSpec | None, epoch: int = 5, *, loss: float = 1.0, top1: float = 0.5, clips: int = 100
) -> None:
    check_progress(stop, epoch, {"train/loss": loss, "train/top1": top1}, clips=clips)


def test_without_a_rule_nothing_is_given_up() -> None:
    check(None, loss=1e9, top1=0.0)


def test_a_loss_above_the_limit_has_diverged() -> None:
    stop = StopSpec(max_loss=4.0)
    check(stop, loss=4.0)
    with pytest.raises(StoppedError, match=r"diverged: training loss 4\.1 of epoch 5 is above 4"):
        check(stop, loss=4.1)


def test_futility_needs_proof() -> None:
    """10 of 100 is below 15 %, but may be chance; 100 of 1,000 is not."""
    stop = StopSpec(min_top1=0.15)
    check(stop, top1=0.10, clips=100)
    with pytest.raises(StoppedError, match=r"futile: training top-1 10\.0 % of epoch 5"):
        check(stop, top1=0.10, clips=1000)


def test_every_trial_is_given_its_first_epochs() -> None:
    stop = StopSpec(max_loss=4.0, after_epochs=3)
    check(stop, epoch=2, loss=100.0)
    with pytest.raises(StoppedError):
        check(stop, epoch=3, loss=100.0)


@pytest.mark.parametrize(("right", "clips"), [(0, 50), (10, 100), (99, 100)])
def test_the_limit_is_clopper_and_pearsons(right: int, clips: int) -> None:
    limit = bound_from_above(right / clips, clips)
    assert binom.cdf(right, clips, limit) == pytest.approx(1 - CONFIDENCE, rel=1e-6)


def test_a_rule_says_something() -> None:
    with pytest.raises(ValidationError, match="neither max_loss nor min_top1"):
        StopSpec(after_epochs=3)
