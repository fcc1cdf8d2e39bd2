"""Collecting what statistics need: scores of every trial by video, and the facts of the trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from study.analysis.evidence import Cell, Evidence, HitsByRepeat, weigh
from study.analysis.factors import Confounded, Factor, TrialFacts, declare_factor, judge_arms
from study.analysis.published import PublishedTable
from study.analysis.statistics.hits import VideoHits, find_hits
from study.commands.stored_scores import StoredScores, primary_views
from study.errors import StudyError
from study.running.plan import Plan, PlannedTrial
from study.spec.resolved import Arm, Experiment, Row, UsedDataset


def collect_evidence(
    experiment: Experiment, plan: Plan, scores: StoredScores, published: PublishedTable | None
) -> Evidence:
    """The statistics of ``experiment`` from the trials that have finished.

    Data sets of several folds are left out: their accuracies are means over folds, and nothing here weighs those.
    """
    datasets = [dataset for dataset in experiment.datasets if len(dataset.folds) < 2]
    hits = {
        (row.name, dataset.name): _collect_hits(experiment, row, dataset, plan, scores)
        for row, dataset in product(experiment.rows, datasets)
    }
    printed = _collect_published(experiment, datasets, published)
    confounders = {
        (row.name, dataset.name): _find_confounders(experiment, row, dataset, plan)
        for row, dataset in product(experiment.rows, experiment.datasets)
    }
    return weigh(hits, experiment.spec.baseline, printed, confounders)


def _parts(experiment: Experiment, row: Row, dataset: UsedDataset) -> list[tuple[Arm, ...]]:
    """The arms whose scores make the row, fold by fold; one where it is no fusion."""
    rows = [experiment.row(name) for name in row.spec.fuse] or [row]
    return list(zip(*(one.on(dataset.name) for one in rows), strict=True))


def _collect_hits(
    experiment: Experiment, row: Row, dataset: UsedDataset, plan: Plan, scores: StoredScores
) -> HitsByRepeat:
    hits: dict[int, VideoHits] = {}
    for arms in _parts(experiment, row, dataset):
        for repeat in range(experiment.repeats):
            cells = [plan.find(experiment.name, arm.name, repeat) for arm in arms]
            if not all(scores.has(cell.trial_id) for cell in cells):
                continue
            try:
                stored = [scores.load(cell.trial_id) for cell in cells]
                hits[repeat] = find_hits(stored, [primary_views(arm) for arm in arms])
            except (StudyError, ValueError):
                continue  # the table says of this repeat what is wrong with it
    return hits


def _collect_published(
    experiment: Experiment, datasets: Sequence[UsedDataset], published: PublishedTable | None
) -> dict[Cell, float]:
    """Published top-1 of the rows, where there is a number."""
    if published is None:
        return {}
    several = len(experiment.datasets) > 1
    values = {}
    for row, dataset in product(experiment.rows, datasets):
        if row.spec.published:
            key = f"{dataset.name}_top1" if several else "top1"
            value = published.row(row.spec.published).values.get(key)
            if isinstance(value, int | float):
                values[row.name, dataset.name] = float(value)
    return values


def _find_confounders(
    experiment: Experiment, row: Row, dataset: UsedDataset, plan: Plan
) -> tuple[Factor, ...]:
    """What differs between the row's trials and the baseline's that neither row declares."""
    baseline = experiment.row(experiment.spec.baseline)
    if row.name == baseline.name:
        return ()
    declared: set[str] = set()
    for name in row.spec.fuse or (row.name,):
        declared |= declare_factor(experiment.row(name).spec, baseline.spec)
    verdict = judge_arms(declared, _pair_facts(experiment, row, dataset, plan))
    return verdict.confounders if isinstance(verdict, Confounded) else ()


def _pair_facts(
    experiment: Experiment, row: Row, dataset: UsedDataset, plan: Plan
) -> Iterator[tuple[TrialFacts, TrialFacts]]:
    """Every finished trial of the row beside the baseline's of the same fold and repeat."""
    references = experiment.row(experiment.spec.baseline).on(dataset.name)
    for arms, reference in zip(_parts(experiment, row, dataset), references, strict=False):
        for arm, repeat in product(arms, range(experiment.repeats)):
            ours = _facts(plan.find(experiment.name, arm.name, repeat))
            theirs = _facts(plan.find(experiment.name, reference.name, repeat))
            if ours is not None and theirs is not None:
                yield ours, theirs


def _facts(planned: PlannedTrial) -> TrialFacts | None:
    record = planned.record
    if record is None or record.status != "completed":
        return None
    origin = _facts(planned.parent) if planned.parent else None
    try:
        return TrialFacts.from_record(record, origin)
    except ValueError:
        return None  # settings of another version: the trial is stale, and the table says so


def list_confounded(tables: Mapping[str, Evidence]) -> list[str]:
    """A line for each difference that is confounded, for ``report --strict``."""
    return [
        f"{table}: {row}{f' on {dataset}' if dataset else ''}: also differs in "
        + "; ".join(str(factor) for factor in factors[:3])
        for table, evidence in tables.items()
        for (row, dataset), factors in evidence.confounders.items()
        if factors
    ]
