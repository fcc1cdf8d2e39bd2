"""Giving a trial up before its last epoch: only where it has diverged, or provably cannot get where it must.

Ranking arms while they train and stopping the worse ones (as hyperparameter searches do) would bias an ablation: which
arm is worse is the question.
"""

from __future__ import annotations

from collections.abc import Mapping

from study.spec.training import StopSpec

CONFIDENCE = 0.999
"""Of the limit below which training top-1 is futile."""


class StoppedError(Exception):
    """The trial was given up, as ``training.stop`` asks."""


def check_progress(stop: StopSpec | None, epoch: int, metrics: Mapping[str, float], *, clips: int) -> None:
    """Stop a trial that has diverged or is futile after ``epoch`` epochs.

    Args:
        stop: the rule; None never stops.
        epoch: epochs done.
        metrics: "train/loss" and "train/top1" of the last of them.
        clips: clips that they are means over.

    Raises:
        StoppedError: with the reason.
    """
    if stop is None or epoch < stop.after_epochs:
        return
    loss, top1 = metrics["train/loss"], metrics["train/top1"]
    if stop.max_loss is not None and loss > stop.max_loss:
        raise StoppedError(f"diverged: training loss {loss:.4g} of epoch {epoch} is above {stop.max_loss:g}")
    if stop.min_top1 is not None:
        limit = bound_from_above(top1, clips)
        if limit < stop.min_top1:
            raise StoppedError(
                f"futile: training top-1 {100 * top1:.1f} % of epoch {epoch} ({clips} clips, at most "
                f"{100 * limit:.1f} % with {100 * CONFIDENCE:g} % confidence) is below {100 * stop.min_top1:g} %"
            )


def bound_from_above(top1: float, clips: int) -> float:
    """One-sided upper limit of an accuracy measured on ``clips`` clips (Clopper and Pearson, 1934)."""
    from scipy.stats import binomtest

    test = binomtest(round(top1 * clips), clips, alternative="less")
    return float(test.proportion_ci(confidence_level=CONFIDENCE).high)
