"""Collecting what statistics need: scores of every trial by video, and the facts of the trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from study.analysis.evidence import Cell, Confounders, Evidence, HitsByRepeat, weigh
from study.analysis.factors import Confounded, Factor, TrialFacts, declare_factor, judge_arms
from study.analysis.published import PublishedTable
from study.analysis.statistics.hits import VideoHits, find_hits, pool_folds
from study.commands.stored_scores import StoredScores, primary_views
from study.errors import StudyError
from study.running.plan import Plan, PlannedTrial
from study.spec.resolved import Arm, Experiment, Row, UsedDataset
from study.spec.trial import flatten


def collect_evidence(
    experiment: Experiment, plan: Plan, scores: StoredScores, published: PublishedTable | None
) -> Evidence:
    """The statistics of ``experiment`` from the trials that have finished.

    Where a data set has several folds their videos are pooled: a repeat is there when all its folds are, and its
    videos are those of all folds side by side. The intervals are then about new videos and new trainings on these
    folds; that folds share training videos, and HMDB-51's some test videos, is not allowed for. Folds of different
    sizes weigh by their videos in a difference, and equally in the accuracies beside it.
    """
    datasets = experiment.datasets
    hits = {
        (row.name, dataset.name): collect_hits(experiment, row, dataset, plan, scores)
        for row, dataset in product(experiment.rows, datasets)
    }
    printed = _collect_published(experiment, datasets, published)
    return weigh(hits, experiment.spec.baseline, printed, find_confounders(experiment, plan))


def find_confounders(experiment: Experiment, plan: Plan) -> Confounders:
    """What else differs between the trials of each row and the baseline's than the rows declare."""
    finder = FactorFinder(plan)
    return {
        (row.name, dataset.name): finder.find(
            experiment, (row.name, dataset.name), (experiment.spec.baseline, dataset.name)
        )
        for row, dataset in product(experiment.rows, experiment.datasets)
    }


def collect_hits(
    experiment: Experiment, row: Row, dataset: UsedDataset, plan: Plan, scores: StoredScores
) -> HitsByRepeat:
    """Which videos ``row`` got right on ``dataset``, by repeat, for the repeats all of whose folds have finished.

    With several folds a video is called "fold/video". Repeats whose scores cannot be used are left out; the table says
    what is wrong with them.
    """
    by_fold = [dict(_iter_hits(experiment, arms, plan, scores)) for arms in _parts(experiment, row, dataset)]
    if len(by_fold) < 2:
        return by_fold[0] if by_fold else {}
    return {
        repeat: pool_folds({fold: hits[repeat] for fold, hits in zip(dataset.folds, by_fold, strict=True)})
        for repeat in sorted(set.intersection(*map(set, by_fold)))
    }


def _parts(experiment: Experiment, row: Row, dataset: UsedDataset) -> list[tuple[Arm, ...]]:
    """The arms whose scores make the row, fold by fold; one where it is no fusion."""
    rows = [experiment.row(name) for name in row.spec.fuse] or [row]
    return list(zip(*(one.on(dataset.name) for one in rows), strict=True))


def _iter_hits(
    experiment: Experiment, arms: Sequence[Arm], plan: Plan, scores: StoredScores
) -> Iterator[tuple[int, VideoHits]]:
    for repeat in range(experiment.repeats):
        cells = [plan.find(experiment.name, arm.name, repeat) for arm in arms]
        if not all(scores.has(cell.trial_id) for cell in cells):
            continue
        try:
            stored = [scores.load(cell.trial_id) for cell in cells]
            yield repeat, find_hits(stored, [primary_views(arm) for arm in arms])
        except (StudyError, ValueError):
            continue  # the table says of this repeat what is wrong with it


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


class FactorFinder:
    """Finds what differs between the trials of two cells that nothing declares. Facts are read once a trial."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[str, TrialFacts | None] = {}

    def find(self, experiment: Experiment, first: Cell, second: Cell) -> tuple[Factor, ...]:
        """What differs between the finished trials of two cells, fold by fold and repeat by repeat, beyond what the
        rows set, and beyond what the profile sets for two data sets where those differ.
        """
        if first == second:
            return ()
        names = [experiment.row(name).spec.fuse or (name,) for name, _ in (first, second)]
        declared = set(_declare_datasets(experiment, first[1], second[1]))
        for pair in product(*names):
            declared |= declare_factor(*(experiment.row(name).spec for name in pair))
        verdict = judge_arms(declared, self._pair_facts(experiment, first, second))
        return verdict.confounders if isinstance(verdict, Confounded) else ()

    def _pair_facts(
        self, experiment: Experiment, first: Cell, second: Cell
    ) -> Iterator[tuple[TrialFacts, TrialFacts]]:
        """Every finished trial of the first cell beside those of the second of the same fold and repeat."""
        sides = [self._list_arms(experiment, cell) for cell in (first, second)]
        for arms, references in zip(*sides, strict=False):
            for arm, reference, repeat in product(arms, references, range(experiment.repeats)):
                ours = self._facts(self._plan.find(experiment.name, arm.name, repeat))
                theirs = self._facts(self._plan.find(experiment.name, reference.name, repeat))
                if ours is not None and theirs is not None:
                    yield ours, theirs

    def _list_arms(self, experiment: Experiment, cell: Cell) -> list[tuple[Arm, ...]]:
        dataset = next(one for one in experiment.datasets if one.name == cell[1])
        return _parts(experiment, experiment.row(cell[0]), dataset)

    def _facts(self, planned: PlannedTrial) -> TrialFacts | None:
        if planned.trial_id not in self._known:
            self._known[planned.trial_id] = self._read(planned)
        return self._known[planned.trial_id]

    def _read(self, planned: PlannedTrial) -> TrialFacts | None:
        record = planned.record
        if record is None or record.status != "completed":
            return None
        origin = self._facts(planned.parent) if planned.parent else None
        try:
            return TrialFacts.from_record(record, origin)
        except ValueError:
            return None  # settings of another version: the trial is stale, and the table says so


def _declare_datasets(experiment: Experiment, first: str, second: str) -> Iterator[str]:
    """Setting paths in which two data sets of a profile differ by its own word."""
    if first != second:
        yield "data"
        for name in (first, second):
            role = experiment.profile.datasets.get(name)
            yield from (path for path, _ in flatten(role.settings if role else {}))


def list_confounded(plan: Plan) -> list[str]:
    """A line for each difference that is confounded, for ``report --strict``."""
    return [
        f"{experiment.name}: {row}{f' on {dataset}' if dataset else ''}: also differs in "
        + "; ".join(str(factor) for factor in factors[:3])
        for experiment in plan.study.experiments
        for (row, dataset), factors in find_confounders(experiment, plan).items()
        if factors
    ]
