"""``cost``: parameters and multiply-accumulates of every arm, beside the published figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tabulate import tabulate

from study.analysis.costs import CountedCost, is_paper_scale, judge_cost
from study.analysis.published import PublishedTable, RowSpec, load_published
from study.commands.costs import CostBook
from study.running.store import Store
from study.spec.loading import Arm, Experiment, Study


@dataclass(frozen=True)
class CostRow:
    """One arm's cost; the keys of ``cost --json``. Published values are as printed."""

    table: str
    row: str
    backbone: str
    frames: int
    size: int
    params_m: float | None
    gmacs_per_view: float | None
    fvcore_gmacs: float | None
    executed_gmacs: float | None
    published_params_m: float | str | None
    published_gmacs: float | str | None
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
        "params M": lambda row: _number(row.params_m, 3),
        "published": lambda row: _number(row.published_params_m, 1),
        "GMACs/view": lambda row: _number(row.gmacs_per_view, 2),
        "published ": lambda row: _number(row.published_gmacs, 1),
        "executed": lambda row: _number(row.executed_gmacs, 2),
        "verdict": lambda row: row.verdict,
    }
    cells = [[column(row) for column in columns.values()] for row in rows]
    print(tabulate(cells, headers=list(columns), disable_numparse=True))
    scales = sorted({f"{row.backbone}, {row.frames} frames of {row.size} x {row.size}" for row in rows})
    print(f"\nCounted for one view: {'; '.join(scales)}. Published: as the paper prints it.")
    for row in rows:
        if row.verdict in ("explained", "disagrees"):
            print(f"{row.table} / {row.row} {row.verdict}: {row.reason}")


def list_costs(study: Study, store: Store) -> list[CostRow]:
    """The cost of every arm, in the order of the tables. Counts what the cache lacks."""
    book = CostBook(store)
    return [
        _cost_row(experiment, arm, published, book)
        for experiment in study.experiments
        for published in [load_published(experiment.spec.published) if experiment.spec.published else None]
        for arm in experiment.arms
    ]


def count_arm(arm: Arm, book: CostBook) -> CountedCost | None:
    """What one view of ``arm`` costs; None when its number of classes is unknown."""
    cost = book.find(arm.settings, count=True)
    return CountedCost(cost.params_m, cost.gmacs_per_view) if cost else None


def _cost_row(experiment: Experiment, arm: Arm, published: PublishedTable | None, book: CostBook) -> CostRow:
    cost = book.find(arm.settings, count=True)
    row: RowSpec | None = published.row(arm.spec.published) if published and arm.spec.published else None
    kind, reason = "not published", "the paper prints no cost for this arm"
    if row is not None and not is_paper_scale(arm.settings):
        kind, reason = "other scale", "the published figures are for another scale (--profile paper)"
    elif row is not None:
        verdict = judge_cost(row, count_arm(arm, book))
        kind, reason = verdict.kind, verdict.reason
    values = row.values if row else {}
    return CostRow(
        table=experiment.name,
        row=arm.label,
        backbone=arm.settings.model.backbone,
        frames=arm.settings.clip.frames,
        size=arm.settings.clip.size,
        params_m=cost.params_m if cost else None,
        gmacs_per_view=cost.gmacs_per_view if cost else None,
        fvcore_gmacs=cost.fvcore_gmacs if cost else None,
        executed_gmacs=cost.executed_gmacs if cost else None,
        published_params_m=values.get("params_m"),
        published_gmacs=values.get("gflops"),
        verdict=kind,
        reason=reason,
    )


def _number(value: float | str | None, digits: int) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"
