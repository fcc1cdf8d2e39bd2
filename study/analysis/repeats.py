"""What single repeats of a row gave, and what is said of several: means, paired differences, why some are lacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

PlannedState = Literal["done", "stale", "missing", "running", "failed", "stopped"]
State = Literal["done", "stale", "failed", "stopped", "interrupted", "running", "missing"]
Run = Mapping[str, object]
"""A row of the frame of runs."""
VERBS: dict[State, tuple[str, str]] = {
    "failed": ("failed", "failed"),
    "stopped": ("was stopped", "were stopped"),
    "interrupted": ("was interrupted", "were interrupted"),
    "running": ("is still running", "are still running"),
    "stale": ("is stale", "are stale"),
    "missing": ("has no result", "have no result"),
}
"""What is said of one and of several trials that are not done."""
NOT_DONE: tuple[State, ...] = ("failed", "stopped", "interrupted", "running", "stale", "missing")
RUN_STATES: dict[str, State] = {"failed": "failed", "stopped": "stopped", "interrupted": "interrupted"}


@dataclass(frozen=True)
class TrialRef:
    """One trial that a table wants.

    Attributes:
        repeat: number of the repeat.
        trial_id: the trial.
        state: its state in the plan. Values come from MLflow alone; the plan adds what MLflow cannot know,
            that a result is stale and why a trial has none.
        reason: why the state is not "done".
    """

    repeat: int
    trial_id: str
    state: PlannedState = "missing"
    reason: str = ""


@dataclass(frozen=True)
class RepeatResult:
    """What one repeat contributes. Accuracies are fractions; None unless it has completed.

    Attributes:
        repeat: number of the repeat.
        trial_id: the trial; "" for what several trials gave.
        state: whether it is done, or why not.
        reason: the same for people.
        top1: top-1 accuracy; over folds their mean.
        top5: likewise.
        fragment: the run in MLflow, as the part of its address after the server's.
        folds: the trials of the folds that it is the mean of; empty for a single trial.
        repeated: videos so short that some of their views show the same pixels.
    """

    repeat: int
    trial_id: str
    state: State
    reason: str = ""
    top1: float | None = None
    top5: float | None = None
    fragment: str = ""
    folds: tuple[RepeatResult, ...] = ()
    repeated: int = 0

    @property
    def trials(self) -> tuple[RepeatResult, ...]:
        """The single trials behind it."""
        return self.folds or (self,)


@dataclass(frozen=True)
class Spread:
    """Mean over repeats, and their sample standard deviation, which one repeat does not have."""

    mean: float
    std: float | None
    n: int


def measure_spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and sample standard deviation of the values that are there; None without any."""
    known = np.array([value for value in values if value is not None], dtype=float)
    if not known.size:
        return None
    return Spread(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else None, int(known.size))


def paired_delta(arm: Sequence[RepeatResult], baseline: Sequence[RepeatResult]) -> Spread | None:
    """Top-1 of ``arm`` minus that of ``baseline``, percentage points, over the repeats that both have.

    Within one repeat all arms see the same videos in the same order, so differences are taken repeat by
    repeat; an unpaired mean would mix in what only one of the two arms has seen.
    """
    reference = {trial.repeat: trial.top1 for trial in baseline}
    differences = []
    for trial in arm:
        other = reference.get(trial.repeat)
        if trial.top1 is not None and other is not None:
            differences.append(100 * (trial.top1 - other))
    return measure_spread(differences)


def describe_problems(trials: Sequence[RepeatResult]) -> list[str]:
    """A clause for each reason why trials are not done: "repeats 1, 2 failed: OutOfMemoryError: ..."."""
    groups: dict[tuple[State, str], list[str]] = {}
    for trial in trials:
        if trial.state != "done":
            groups.setdefault((trial.state, trial.reason.rstrip(".")), []).append(str(trial.repeat))
    return [
        f"repeat{'s' if len(repeats) > 1 else ''} {', '.join(repeats)} {VERBS[state][len(repeats) > 1]}"
        f"{': ' + reason if reason else ''}"
        for (state, reason), repeats in groups.items()
    ]


def average_folds(folds: Sequence[RepeatResult]) -> RepeatResult:
    """One repeat from its folds: the mean of their accuracies, and none unless all have one."""
    if len(folds) == 1:
        return folds[0]
    problem = next((fold for fold in folds if fold.top1 is None), None)
    top5 = [fold.top5 for fold in folds if fold.top5 is not None]
    states = {fold.state for fold in folds}
    state: State = next((state for state in NOT_DONE if state in states), "done")
    return RepeatResult(
        repeat=folds[0].repeat,
        trial_id="",
        state=problem.state if problem else state,
        reason=next((fold.reason for fold in folds if fold.reason), ""),
        top1=None if problem else sum(fold.top1 or 0.0 for fold in folds) / len(folds),
        top5=sum(top5) / len(top5) if len(top5) == len(folds) else None,
        folds=tuple(folds),
        repeated=sum(fold.repeated for fold in folds),
    )


def join_run(ref: TrialRef, run: Run | None, primary: str) -> RepeatResult:
    """Join the plan's view of a trial with its run in MLflow."""
    state: State = ref.state
    if run is None:
        reason = ref.reason or {"done": "finished, but not in MLflow", "missing": "not run yet"}.get(
            state, ""
        )
        state = "missing" if state in ("done", "stale") else state
        return RepeatResult(ref.repeat, ref.trial_id, state, reason)
    status, fragment = str(run["status"]), str(run["fragment"])
    if status != "completed":
        state = RUN_STATES.get(status, "running")
        return RepeatResult(
            ref.repeat, ref.trial_id, state, str(run["reason"] or ref.reason), fragment=fragment
        )
    top1, top5 = (read_number(run.get(f"metrics.final/{primary}/{name}")) for name in ("top1", "top5"))
    if top1 is None:
        reason = f"not evaluated with protocol {primary}"
        return RepeatResult(ref.repeat, ref.trial_id, "missing", reason, fragment=fragment)
    state, reason = ("stale", ref.reason) if ref.state == "stale" else ("done", "")
    repeated = int(read_number(run.get(f"metrics.final/{primary}/repeated")) or 0)
    return RepeatResult(ref.repeat, ref.trial_id, state, reason, top1, top5, fragment, repeated=repeated)


def read_number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not np.isnan(value) else None
