"""``plan``: every trial, its state, its cost, and the time the rest takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tabulate import tabulate

from study.commands.costs import CostBook
from study.commands.progress import describe_seconds
from study.running.plan import RUNNABLE, Plan, PlannedTrial, State, make_plan
from study.running.store import Store
from study.spec.record import Cost
from study.spec.resolved import Study


def show_plan(study: Study, storage: Path, *, count_missing: bool, as_json: bool) -> None:
    """Print the plan of ``study``; ``count_missing`` counts costs that the cache lacks, which imports torch."""
    store = Store.at(storage)
    plan = make_plan(study, store)
    book = CostBook(store)
    costs = {
        planned.trial_id: book.find(planned.trial.settings, count=count_missing) for planned in plan.trials
    }
    if as_json:
        print(
            json.dumps(
                {"trials": [_to_json(t, costs[t.trial_id]) for t in plan.trials], "warnings": plan.warnings}
            )
        )
    else:
        print(_to_text(plan, costs))


def _to_json(planned: PlannedTrial, cost: Cost | None) -> dict[str, Any]:
    use = planned.uses[0]
    return {
        "trial_id": planned.trial_id,
        "experiment": use.experiment,
        "arm": use.arm,
        "repeat": use.repeat,
        "state": planned.state.value,
        "reason": planned.reason,
        "tables": planned.tables,
        "uses": [vars(each) for each in planned.uses],
        "params_m": cost.params_m if cost else None,
        "gmacs_per_view": cost.gmacs_per_view if cost else None,
        "settings": planned.trial.settings.model_dump(mode="json"),
    }


def _to_text(plan: Plan, costs: dict[str, Cost | None]) -> str:
    columns: dict[str, Callable[[PlannedTrial], Any]] = {
        "trial": lambda t: t.trial_id,
        "state": lambda t: t.state.value,
        "repeat": lambda t: t.uses[0].repeat,
        "arm": lambda t: t.uses[0].arm,
        "tables": lambda t: ", ".join(t.tables),
        "params_m": lambda t: _figure(costs[t.trial_id], "params_m"),
        "gmacs_per_view": lambda t: _figure(costs[t.trial_id], "gmacs_per_view"),
    }
    rows = [[column(planned) for column in columns.values()] for planned in plan.trials]
    lines = [tabulate(rows, headers=list(columns), disable_numparse=True), ""]
    for planned in plan.trials:
        if planned.state not in (State.DONE, State.MISSING):
            lines.append(f"{planned.trial_id} is {planned.state.value}: {planned.reason}")
    for experiment in plan.study.experiments:
        lines += [f"{experiment.name}: left out {e.values}: {e.because}" for e in experiment.excluded]
    lines += [f"not at hand: {warning}" for warning in plan.warnings]
    lines.append(summarize(plan))
    return "\n".join(lines)


def summarize(plan: Plan) -> str:
    """One sentence: cells, distinct trials, what is done, how long the rest takes at one trial a time."""
    cells = sum(len(planned.uses) for planned in plan.trials)
    counts = ", ".join(f"{plan.count(state)} {state.value}" for state in State if plan.count(state))
    text = f"{cells} table rows, {len(plan.trials)} distinct trials: {counts}."
    seconds = plan.estimate_seconds(1)
    if any(planned.state in RUNNABLE for planned in plan.trials):
        text += (
            f" The rest takes about {describe_seconds(seconds)} one after the other."
            if seconds is not None
            else " How long the rest takes is unknown until one trial has finished."
        )
    return text


def _figure(cost: Cost | None, name: str) -> str:
    return f"{getattr(cost, name):.4g}" if cost else ""
