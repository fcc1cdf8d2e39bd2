"""The table of one experiment: what its trials measured, arm by arm, beside what the paper prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from study.analysis.costs import CountedCost, Verdict, judge_cost
from study.analysis.evidence import Evidence
from study.analysis.factors import Factor
from study.analysis.published import PublishedTable, RowSpec
from study.analysis.repeats import (
    RepeatResult,
    Run,
    Spread,
    TrialRef,
    average_folds,
    join_run,
    measure_spread,
    paired_delta,
    read_number,
)
from study.analysis.statistics.deltas import Delta
from study.spec.resolved import Arm, Experiment, Row, UsedDataset

PAPER_PROFILE = "paper"
"""The profile whose costs may be held against the paper's."""


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


def _results(view: ExperimentView, arms: Sequence[Arm], by_id: Mapping[str, Run]) -> tuple[RepeatResult, ...]:
    """The results of the arms of a row on one data set: one a fold, of which each repeat is the mean."""
    by_fold = [
        [
            join_run(ref, by_id.get(ref.trial_id), arm.settings.evaluation.primary)
            for ref in view.trials.get(arm.name, ())
        ]
        for arm in arms
    ]
    return tuple(average_folds(folds) for folds in zip(*by_fold, strict=True))


def _first(runs: Sequence[Run], name: str) -> float | None:
    values = (read_number(run.get(f"metrics.cost/{name}")) for run in runs)
    return next((value for value in values if value is not None), None)
