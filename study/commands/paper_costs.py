"""What rows cost at the paper's scale, whatever the study's own: in closed form, or as counted before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from study.analysis.claims.material import PaperCosts, Untestable
from study.analysis.costs import CountedCost, add_costs
from study.analysis.published import load_published
from study.analysis.tables import PAPER_PROFILE
from study.commands.costs import CostBook
from study.cost.oracle import derive_total, has_closed_form
from study.errors import StudyError
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Arm, Experiment
from study.spec.trial import TrialSettings


class PaperCostBook:
    """Costs of one view at the paper's scale. Looking up imports no torch and counts nothing.

    Args:
        store: whose cache of costs holds what ``run_study.py cost`` has counted.
        known: experiments of the study, by whose files a name that is not in the folder of experiments is found.
    """

    def __init__(self, store: Store, known: Sequence[Experiment] = ()) -> None:
        self._book = CostBook(store)
        self._paths = {experiment.name: str(experiment.path) for experiment in known}
        self._load = cache(self._load_at_paper_scale)

    def find(self, experiment: str, rows: Sequence[str]) -> PaperCosts:
        """The costs of ``rows``, all with the same number of classes: the data set's, or, where a row has been counted
        with that of its print alone, the print's.

        Raises:
            Untestable: when one of them is not built, or has not been counted.
        """
        try:
            loaded = self._load(experiment)
        except StudyError as error:
            raise Untestable(f"'{experiment}' cannot be read at the paper's scale: {error}.") from None
        for row in rows:
            _refuse_unbuilt(loaded, row)
        missing: list[str] = []
        for classes in _list_classes(loaded, rows):
            costs = {row: self._count(loaded, row, classes) for row in rows}
            known = {row: cost for row, cost in costs.items() if cost is not None}
            if len(known) == len(costs):
                return PaperCosts(classes, known)
            missing = missing or [row for row in costs if row not in known]
        names = " and ".join(f"'{row}'" for row in missing or rows)
        raise Untestable(f"{names}: not counted yet: run `uv run run_study.py cost {experiment}`.")

    def _load_at_paper_scale(self, name: str) -> Experiment:
        return load_study([self._paths.get(name, name)], profile=PAPER_PROFILE).experiment(name)

    def _count(self, experiment: Experiment, name: str, classes: int) -> CountedCost | None:
        row = experiment.row(name)
        if row.arms:
            return self._count_arm(row.arms[0], classes)
        parts = [self._count(experiment, part, classes) for part in row.spec.fuse]
        counted = [part for part in parts if part is not None]
        return add_costs(counted) if counted and len(counted) == len(parts) else None

    def _count_arm(self, arm: Arm, classes: int) -> CountedCost | None:
        settings = arm.settings
        if has_closed_form(settings.model):
            return _derive(settings, classes)
        cost = self._book.find(settings, count=False, num_classes=classes)
        return CountedCost(cost.params_m, cost.gmacs_per_view) if cost else None


def _refuse_unbuilt(experiment: Experiment, name: str) -> None:
    row = next((row for row in experiment.rows if row.name == name), None)
    if row is None or row.spec.published_only:
        why = row.spec.published_only.strip().rstrip(".") if row else "the experiment has no such row"
        raise Untestable(f"'{name}' is not built, so it cannot be counted: {why}.")


def _derive(settings: TrialSettings, classes: int) -> CountedCost:
    clip = settings.clip
    params, macs = derive_total(
        settings.model, num_classes=classes, frames=clip.frames, size=clip.size, in_channels=clip.channels
    )
    return CountedCost(params / 1e6, macs / 1e9)


def _list_classes(experiment: Experiment, rows: Sequence[str]) -> list[int]:
    """Numbers of classes to try: the data set's, then those that the prints of ``rows`` assume."""
    named = [experiment.row(name) for name in rows]
    used = [*named, *(experiment.row(part) for row in named for part in row.spec.fuse)]
    of_data = [getattr(row.arms[0].settings.data, "num_classes", None) for row in used if row.arms]
    published = load_published(experiment.spec.published) if experiment.spec.published else None
    of_print = [published.row(row.spec.published).classes for row in used if published and row.spec.published]
    return list(dict.fromkeys(number for number in (*of_data, *of_print) if number))
