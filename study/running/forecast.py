"""How long the rest of a study takes, learned from the trials that have finished.

Seconds of a trial are taken to be a constant (starting a process, making the model) plus a rate times its work,
multiply-accumulates of training and evaluation. Both are fitted to the finished trials and to those that are far enough
to be extrapolated, never below zero; the trials that are left are then laid out on the places that there are, in the
order in which they will run.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize

from study.cost.oracle import derive_total, has_closed_form
from study.errors import StudyError
from study.spec.model import ModelSpec
from study.spec.trial import TrialSettings

TRAINING = 3
"""Multiply-accumulates of a training step over those of a forward pass: forward, and both gradients."""
NEEDED_FOR_TWO = 2
"""Different amounts of work that must have been seen before a constant is told from a rate."""


def estimate_work(settings: TrialSettings, train_videos: int, val_videos: int) -> float | None:
    """Multiply-accumulates of a whole trial, in billions; None where the network has no closed form."""
    clip, training, evaluation = settings.clip, settings.training, settings.evaluation
    gmacs = _derive_gmacs(settings.model, clip.frames, clip.size, clip.channels)
    if gmacs is None:
        return None
    views = sum(protocol.views for protocol in evaluation.protocols.values())
    passes = train_videos * training.epochs * TRAINING + val_videos * views
    return gmacs * passes


@cache
def _derive_gmacs(model: ModelSpec, frames: int, size: int, in_channels: int) -> float | None:
    """Of one view. The classifier is a small part of it, so any number of classes will do."""
    if not has_closed_form(model):
        return None
    try:
        _, macs = derive_total(model, num_classes=100, frames=frames, size=size, in_channels=in_channels)
    except StudyError:
        return None
    return macs / 1e9


@dataclass(frozen=True)
class AtWork:
    """A trial that is at work.

    Attributes:
        spent: seconds it has had.
        done: fraction of its epochs that are done.
        after: seconds it had had when the last of these was done.
    """

    spent: float
    done: float = 0.0
    after: float = 0.0

    @property
    def extrapolated(self) -> float | None:
        """Seconds it will take at the pace it has had; None before its first epoch is done."""
        return self.after / self.done if self.done > 0 else None


class Forecast:
    """Seconds of trials that have not run, from those that have.

    Args:
        finished: seconds by id of the trials that have finished.
        work: work by id of all trials, as far as it is known, in any unit.
        running: those at work.
        prior: seconds of a trial while nothing better is known; None when that is not known either.
    """

    def __init__(
        self,
        finished: Mapping[str, float],
        work: Mapping[str, float],
        running: Mapping[str, AtWork] | None = None,
        prior: float | None = None,
    ) -> None:
        self._work = work
        self._running = running or {}
        seen = {trial: at.extrapolated for trial, at in self._running.items()} | dict(finished)
        finished = {trial: seconds for trial, seconds in seen.items() if seconds is not None}
        seconds = np.array(list(finished.values()), float)
        self._mean = float(seconds.mean()) if seconds.size else prior
        known = [(work[trial], spent) for trial, spent in finished.items() if trial in work]
        self._fitted = _fit(known) if known else None

    def seconds_of(self, trial_id: str) -> float | None:
        """Seconds that the trial will take; None when nothing is known."""
        if self._fitted is None or trial_id not in self._work:
            return self._mean
        constant, rate = self._fitted
        return constant + rate * self._work[trial_id]

    def seconds_for(self, waiting: Sequence[str], places: int) -> float | None:
        """Seconds until those at work and those that wait have ended.

        Args:
            waiting: trials that have not begun, in the order in which they will.
            places: trials at a time.

        Returns:
            None when nothing is known.
        """
        busy: list[float] = []
        for trial, at in self._running.items():
            seconds = at.extrapolated or self.seconds_of(trial)
            if seconds is None:
                return None
            busy.append(max(seconds - at.spent, 0.0))
        free = [0.0] * max(0, places - len(busy)) + busy
        heapq.heapify(free)
        last = max(busy, default=0.0)
        for trial in waiting:
            seconds = self.seconds_of(trial)
            if seconds is None:
                return None
            end = heapq.heappop(free) + seconds
            heapq.heappush(free, end)
            last = max(last, end)
        return last


def _fit(known: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Constant and rate that explain ``known`` pairs of work and seconds best, both at least 0.

    Errors grow with the trial, so relative ones are made small: long trials do not outvote short ones.
    """
    work, seconds = np.array(known, float).T
    weights = 1 / np.maximum(seconds, 1e-9)
    if len(np.unique(work)) < NEEDED_FOR_TWO:
        return (0.0, float(seconds.mean() / work.mean())) if work.mean() > 0 else (float(seconds.mean()), 0.0)
    design = np.column_stack([weights, work * weights])
    (constant, rate), _ = optimize.nnls(design, np.ones_like(seconds))
    return float(constant), float(rate)
