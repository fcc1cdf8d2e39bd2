"""``cost``: parameters and multiply-accumulates of every arm, beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from study.analysis.costs import CountedCost, Verdict, judge_cost
from study.analysis.published import RowSpec, load_published
from study.analysis.tables import PAPER_PROFILE
from study.commands.costs import CostBook
from study.running.store import Store
from study.spec.record import Cost
from study.spec.resolved import Experiment, Row, Study


@dataclass(frozen=True)
class CostRow:
    """One row's cost; the keys of ``cost --json``. Published values are as printed, for ``published_views`` views.

    ``classes`` is the class count that the counted and, as far as it can be told, the printed parameters have.
    """

    table: str
    row: str
    backbone: str
    frames: int | None
    size: int | None
    classes: int | None
    params_m: float | None
    gmacs_per_view: float | None
    fvcore_gmacs: float | None
    executed_gmacs: float | None
    published_params_m: float | str | None
    published_gmacs: float | str | None
    published_views: int | None
    verdict: str
    reason: str


def show_cost(study: Study, storage: Path, *, as_json: bool) -> None:
    """Count and print the cost of every arm of ``study``."""
    rows = list_costs(study, Store.at(storage))
    if as_json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
        return
    columns: dict[str, Callable[[CostRow], str]] = {
        "table": lambda row: row.table,
        "row": lambda row: row.row,
        "backbone": lambda row: row.backbone,
        "T x size": lambda row: f"{row.frames} x {row.size}" if row.frames else "",
        "classes": lambda row: str(row.classes or ""),
        "params M": lambda row: _number(row.params_m, 3),
        "published": lambda row: _number(row.published_params_m, 1),
        "GMACs/view": lambda row: _number(row.gmacs_per_view, 2),
        "published ": lambda row: _number(row.published_gmacs, 1),
        "views": lambda row: str(row.published_views or ""),
        "executed": lambda row: _number(row.executed_gmacs, 2),
        "verdict": lambda row: row.verdict,
    }
    cells = [[column(row) for column in columns.values()] for row in rows]
    print(tabulate(cells, headers=list(columns), disable_numparse=True))
    print("\nCounted for one view with the class count that the print assumes; published as printed.")
    for row in rows:
        if row.verdict in ("explained", "disagrees", "published only"):
            print(f"{row.table} / {row.row} {row.verdict}: {row.reason}")


def list_costs(study: Study, store: Store) -> list[CostRow]:
    """The cost of every row, in the order of the tables. Counts what the cache lacks."""
    book = CostBook(store)
    return [row for experiment in study.experiments for row in _ExperimentCosts(experiment, book).list_rows()]


class _ExperimentCosts:
    """The costs of one table, row by row; a fusion costs what its arms cost."""

    def __init__(self, experiment: Experiment, book: CostBook) -> None:
        name = experiment.spec.published
        self.experiment, self.book = experiment, book
        self.published = load_published(name) if name else None
        self.counted: dict[str, Cost] = {}
        # Arms that are only part of a fusion are counted with the class count that the fusion's print assumes.
        self.classes: dict[str, int | None] = {}
        for row in experiment.rows:
            printed = self._printed(row)
            for arm in (row.name, *row.spec.fuse):
                self.classes[arm] = self.classes.get(arm) or (printed.classes if printed else None)

    def list_rows(self) -> list[CostRow]:
        return [self._row(row) for row in self.experiment.rows]

    def _printed(self, row: Row) -> RowSpec | None:
        return self.published.row(row.spec.published) if self.published and row.spec.published else None

    def _count(self, row: Row) -> Cost | None:
        if row.arms:
            settings = row.arms[0].settings
            self.classes[row.name] = self.classes[row.name] or self.book.count_classes(settings)
            return self.book.find(settings, count=True, num_classes=self.classes[row.name])
        parts = [self.counted[part] for part in row.spec.fuse if part in self.counted]
        return _add(parts) if parts and len(parts) == len(row.spec.fuse) else None

    def _row(self, row: Row) -> CostRow:
        printed, cost = self._printed(row), self._count(row)
        if cost is not None:
            self.counted[row.name] = cost
        verdict = _judge(self.experiment, row, printed, cost)
        settings = row.arms[0].settings if row.arms else None
        values = printed.values if printed else {}
        return CostRow(
            table=self.experiment.name,
            row=row.label,
            backbone=settings.model.backbone if settings else "",
            frames=settings.clip.frames if settings else None,
            size=settings.clip.size if settings else None,
            classes=self.classes[row.name],
            params_m=cost.params_m if cost else None,
            gmacs_per_view=cost.gmacs_per_view if cost else None,
            fvcore_gmacs=cost.fvcore_gmacs if cost else None,
            executed_gmacs=cost.executed_gmacs if cost else None,
            published_params_m=values.get("params_m"),
            published_gmacs=values.get("gflops"),
            published_views=printed.views if printed else None,
            verdict=verdict.kind,
            reason=f"{verdict.reason}. {verdict.known}" if verdict.known else verdict.reason,
        )


def _add(parts: list[Cost]) -> Cost:
    """The cost of networks that all run."""
    known = [part.fvcore_gmacs for part in parts if part.fvcore_gmacs is not None]
    return Cost(
        params_m=sum(part.params_m for part in parts),
        gmacs_per_view=sum(part.gmacs_per_view for part in parts),
        fvcore_gmacs=sum(known) if len(known) == len(parts) else None,
        executed_gmacs=sum(part.executed_gmacs for part in parts),
        uncounted={},
    )


def _judge(experiment: Experiment, row: Row, printed: RowSpec | None, cost: Cost | None) -> Verdict:
    if row.spec.published_only:
        return Verdict("published only", row.spec.published_only)
    if printed is None:
        return Verdict("not published", "the paper has no such row")
    if experiment.profile.name != PAPER_PROFILE:
        return Verdict("other scale", "the published figures are for another scale (--profile paper)")
    return judge_cost(printed, CountedCost(cost.params_m, cost.gmacs_per_view) if cost else None)


def _number(value: float | str | None, digits: int) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"
