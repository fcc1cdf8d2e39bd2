"""The table of one experiment: what its trials measured, arm by arm, beside what the paper prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from study.analysis.costs import CountedCost, Verdict, judge_cost
from study.analysis.evidence import Evidence
from study.analysis.factors import Factor
from study.analysis.published import PublishedTable, RowSpec
from study.analysis.statistics.deltas import Delta
from study.spec.resolved import Arm, Experiment, Row, UsedDataset

PlannedState = Literal["done", "stale", "missing", "running", "failed", "stopped"]
State = Literal["done", "stale", "failed", "stopped", "interrupted", "running", "missing"]
PAPER_PROFILE = "paper"
"""The profile whose costs may be held against the paper's."""
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
class ExperimentView:
    """An experiment with the trials of each arm.

    Attributes:
        experiment: the experiment.
        trials: for each arm's name its trials, one a repeat.
        published: the paper's table, where there is one.
        counted: cost of each row at the paper's scale, as far as it has been counted.
        fused: what rows that fuse the scores of arms give on each data set, one result a repeat.
        evidence: statistics of the differences.
    """

    experiment: Experiment
    trials: Mapping[str, Sequence[TrialRef]]
    published: PublishedTable | None = None
    counted: Mapping[str, CountedCost] = field(default_factory=dict)
    fused: Mapping[tuple[str, str], tuple[RepeatResult, ...]] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)


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


@dataclass(frozen=True)
class Accuracy:
    """What a row gives on one data set.

    Attributes:
        dataset: the data set.
        repeats: its results, repeat by repeat.
        top1: top-1 accuracy, a fraction; None when no repeat has one.
        top5: likewise.
        delta: top-1 minus the baseline's, in percentage points, paired by repeat: the mean and spread of the
            differences of those repeats that both rows have. None for the baseline itself.
        evidence: the same difference with interval and test; None where scores by video are lacking.
        refused: why there is none although both rows have results.
        confounders: what else differs between the two rows' trials than they declare.
    """

    dataset: UsedDataset
    repeats: tuple[RepeatResult, ...] = ()
    top1: Spread | None = None
    top5: Spread | None = None
    delta: Spread | None = None
    evidence: Delta | None = None
    refused: str = ""
    confounders: tuple[Factor, ...] = ()


@dataclass(frozen=True)
class ArmResult:
    """One row of the table.

    Attributes:
        arm: the row.
        is_baseline: whether the others are compared with it.
        accuracies: what it gives on each data set of the experiment, in its order.
        params_m: parameters, millions, as counted for the trials.
        gmacs_per_view: multiply-accumulates of one view, billions, likewise.
        counted: cost at the paper's scale.
        published: the paper's row.
        verdict: published against counted cost; None without a published row.
    """

    arm: Row
    is_baseline: bool
    accuracies: tuple[Accuracy, ...]
    params_m: float | None
    gmacs_per_view: float | None
    counted: CountedCost | None
    published: RowSpec | None
    verdict: Verdict | None

    @property
    def trials(self) -> tuple[RepeatResult, ...]:
        """Every single trial of the row."""
        return tuple(t for accuracy in self.accuracies for result in accuracy.repeats for t in result.trials)

    @property
    def has_accuracy(self) -> bool:
        """Whether anything of it was measured."""
        return any(accuracy.top1 is not None for accuracy in self.accuracies)


@dataclass(frozen=True)
class TableResult:
    """The table of one experiment.

    Attributes:
        view: the experiment with its trials.
        rows: its rows, in order.
        runs: what MLflow says of its trials, by trial; those without a run are not there.
    """

    view: ExperimentView
    rows: tuple[ArmResult, ...]
    runs: Mapping[str, Run] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self.view.experiment

    @property
    def datasets(self) -> tuple[UsedDataset, ...]:
        """Its data sets, in order."""
        return self.experiment.datasets

    def published_key(self, dataset: UsedDataset, name: str) -> str:
        """The paper's column for ``name`` ("top1") on ``dataset``: "top1", or "jester_top1" with several."""
        return f"{dataset.name}_{name}" if len(self.datasets) > 1 else name


def index_runs(runs: pd.DataFrame) -> dict[str, Run]:
    """The rows of ``runs`` (:func:`study.tracking.read.load_runs`) by trial."""
    names = [str(name) for name in runs.columns]
    rows = zip(*(runs[name].tolist() for name in runs.columns), strict=True)
    records = (dict(zip(names, row, strict=True)) for row in rows)
    return {str(record["trial_id"]): record for record in records}


def build_table(view: ExperimentView, runs: pd.DataFrame | Mapping[str, Run]) -> TableResult:
    """The table of ``view`` from ``runs``: the frame, or what :func:`index_runs` made of it, which many tables of
    one study share.
    """
    by_id = index_runs(runs) if isinstance(runs, pd.DataFrame) else runs
    results = {
        (row.name, dataset.name): view.fused.get((row.name, dataset.name), ())
        or _results(view, row.on(dataset.name), by_id)
        for row in view.experiment.rows
        for dataset in view.experiment.datasets
    }
    rows = tuple(_arm_result(view, row, results, by_id) for row in view.experiment.rows)
    wanted = {trial.trial_id for row in rows for trial in row.trials} & by_id.keys()
    return TableResult(view, rows, {trial_id: by_id[trial_id] for trial_id in sorted(wanted)})


def _arm_result(
    view: ExperimentView,
    arm: Row,
    results: Mapping[tuple[str, str], tuple[RepeatResult, ...]],
    by_id: Mapping[str, Run],
) -> ArmResult:
    row = None
    if view.published is not None and arm.spec.published is not None:
        row = view.published.row(arm.spec.published)
    baseline = view.experiment.spec.baseline
    accuracies = tuple(
        _add_evidence(
            view.evidence,
            arm.name,
            _measure(
                dataset,
                results[(arm.name, dataset.name)],
                results[(baseline, dataset.name)],
                arm.name == baseline,
            ),
        )
        for dataset in view.experiment.datasets
    )
    trials = [t for accuracy in accuracies for result in accuracy.repeats for t in result.trials]
    runs = [by_id[trial.trial_id] for trial in trials if trial.trial_id in by_id]
    params_m, gmacs = _first(runs, "params_m"), _first(runs, "gmacs_per_view")
    counted = view.counted.get(arm.name)
    if (
        counted is None
        and params_m is not None
        and gmacs is not None
        and view.experiment.profile.name == PAPER_PROFILE
    ):
        counted = CountedCost(params_m, gmacs)
    return ArmResult(
        arm=arm,
        is_baseline=arm.name == baseline,
        accuracies=accuracies,
        params_m=params_m,
        gmacs_per_view=gmacs,
        counted=counted,
        published=row,
        verdict=_judge(arm, row, counted),
    )


def _measure(
    dataset: UsedDataset,
    results: tuple[RepeatResult, ...],
    baseline: tuple[RepeatResult, ...],
    is_baseline: bool,
) -> Accuracy:
    return Accuracy(
        dataset=dataset,
        repeats=results,
        top1=measure_spread([result.top1 for result in results]),
        top5=measure_spread([result.top5 for result in results]),
        delta=None if is_baseline else paired_delta(results, baseline),
    )


def _add_evidence(evidence: Evidence, row: str, accuracy: Accuracy) -> Accuracy:
    cell = (row, accuracy.dataset.name)
    return replace(
        accuracy,
        evidence=evidence.deltas.get(cell),
        refused=evidence.refused.get(cell, ""),
        confounders=evidence.confounders.get(cell, ()),
    )


def _judge(arm: Row, row: RowSpec | None, counted: CountedCost | None) -> Verdict | None:
    if arm.spec.published_only:
        return Verdict("published only", arm.spec.published_only)
    return judge_cost(row, counted) if row is not None else None


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


def _results(view: ExperimentView, arms: Sequence[Arm], by_id: Mapping[str, Run]) -> tuple[RepeatResult, ...]:
    """The results of the arms of a row on one data set: one a fold, of which each repeat is the mean."""
    by_fold = [
        [
            _result(ref, by_id.get(ref.trial_id), arm.settings.evaluation.primary)
            for ref in view.trials.get(arm.name, ())
        ]
        for arm in arms
    ]
    return tuple(average_folds(folds) for folds in zip(*by_fold, strict=True))


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


def _result(ref: TrialRef, run: Run | None, primary: str) -> RepeatResult:
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
    top1, top5 = (_number(run.get(f"metrics.final/{primary}/{name}")) for name in ("top1", "top5"))
    if top1 is None:
        reason = f"not evaluated with protocol {primary}"
        return RepeatResult(ref.repeat, ref.trial_id, "missing", reason, fragment=fragment)
    state, reason = ("stale", ref.reason) if ref.state == "stale" else ("done", "")
    repeated = int(_number(run.get(f"metrics.final/{primary}/repeated")) or 0)
    return RepeatResult(ref.repeat, ref.trial_id, state, reason, top1, top5, fragment, repeated=repeated)


def _first(runs: Sequence[Run], name: str) -> float | None:
    values = (_number(run.get(f"metrics.cost/{name}")) for run in runs)
    return next((value for value in values if value is not None), None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not np.isnan(value) else None
