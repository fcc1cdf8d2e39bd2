"""What a study planned and took, and which videos it saw: two tables made from plan and runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from study.analysis.repeats import NOT_DONE, RepeatResult, Run
from study.analysis.tables import TableResult
from study.reporting.display import Cell, Column, Display
from study.reporting.signs import ABSENT


def build_progress(tables: Sequence[TableResult]) -> Display:
    """What each table wants, what of it is there, and what that took. A trial that several tables want counts in each
    and once in the last row.
    """
    records, rows = [], []
    for table in tables:
        record = _count_trials(
            table.experiment.spec.title, table.experiment.name, table.runs, _trials((table,))
        )
        records.append(record)
    if len(tables) > 1:
        runs = {trial_id: run for table in tables for trial_id, run in table.runs.items()}
        records.append(_count_trials("all, each trial once", "", runs, _trials(tables)))
    frame = pd.DataFrame(records)
    states = [state for state in NOT_DONE if len(frame) and frame[f"trials_{state}"].any()]
    for record in records:
        counts = [str(record[name]) for name in ("trials", "trials_done", *(f"trials_{s}" for s in states))]
        times = [_show_minutes(record["minutes_spent"]), _show_minutes(record["minutes_per_trial"])]
        rows.append(
            tuple(map(Cell, (str(record["title"]), *counts, *times, _show_minutes(record["minutes_left"]))))
        )
    headers = ["trials", "done", *states, "spent, min", "a trial, min", "left, min"]
    return Display(
        name="plan",
        title="Plan and cost",
        columns=(Column("", "table", text=True), *(Column("", header) for header in headers)),
        rows=tuple(rows),
        legend="Trials as the plan counts them, one a row, data set, fold and repeat. Time is that of finished trials "
        "from start to end, however many ran at once; what is left is the trials that are neither done nor stale, at "
        "the mean of the finished ones of the same line.",
        frame=frame,
    )


def build_health(tables: Sequence[TableResult]) -> Display | None:
    """Which videos the trials saw, one row a manifest; None where no run says."""
    runs: dict[str, Run] = {trial_id: run for table in tables for trial_id, run in table.runs.items()}
    by_manifest: dict[str, list[Run]] = {}
    for run in runs.values():
        if digest := _tag(run, "data_digest"):
            by_manifest.setdefault(digest, []).append(run)
    records = [_describe_manifest(digest, group) for digest, group in sorted(by_manifest.items())]
    if not records:
        return None
    names = ("data", "videos", "trials", "checked", "videos_left_out", "videos_killed")
    rows = tuple(
        (*(Cell(str(record[name]) or ABSENT) for name in names), Cell(str(record["manifest"])[:16]))
        for record in records
    )
    headers = ("videos", "trials", "checked", "left out", "hung or crashed", "manifest")
    return Display(
        name="data",
        title="Data health",
        columns=(
            Column("", "data", text=True),
            *(Column("", name, text=name in ("videos", "checked", "manifest")) for name in headers),
        ),
        rows=rows,
        legend="Left out: videos that data check found unfit, the same for all arms. Hung or crashed: videos whose "
        "decoding had to be killed while a trial ran; the largest number of any trial. Checked: whether data check "
        "had looked at the files.",
        frame=pd.DataFrame(records),
    )


def list_left_out(tables: Sequence[TableResult]) -> tuple[tuple[str, str], ...]:
    """Every account of videos left out, as trials recorded it, each once: what it is about, and the text."""
    labels = {"excluded": "left out by data check", "killed": "hung or crashed"}
    found = {
        (label, text): None
        for table in tables
        for run in table.runs.values()
        for tag, label in labels.items()
        if (text := _tag(run, tag))
    }
    return tuple(sorted(found))


def _trials(tables: Iterable[TableResult]) -> dict[str, RepeatResult]:
    return {
        trial.trial_id: trial
        for table in tables
        for row in table.rows
        for trial in row.trials
        if trial.trial_id
    }


def _count_trials(
    title: str, name: str, runs: Mapping[str, Run], trials: Mapping[str, RepeatResult]
) -> dict[str, object]:
    states = [trial.state for trial in trials.values()]
    finished = [
        runs[trial_id] for trial_id, trial in trials.items() if trial.top1 is not None and trial_id in runs
    ]
    times = [seconds for run in finished if (seconds := _seconds(run)) is not None]
    each = sum(times) / len(times) / 60 if times else None
    left = sum(state not in ("done", "stale") for state in states)
    return {
        "experiment": name,
        "title": title,
        "trials": len(states),
        "trials_done": states.count("done"),
        **{f"trials_{state}": states.count(state) for state in NOT_DONE},
        "minutes_spent": sum(times) / 60,
        "minutes_per_trial": each,
        "minutes_left": 0.0 if not left else None if each is None else left * each,
    }


def _seconds(run: Run) -> float | None:
    began, ended = run.get("started_at"), run.get("ended_at")
    if not isinstance(began, int | float) or not isinstance(ended, int | float) or math.isnan(ended):
        return None
    return float(ended - began)


def _show_minutes(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) and not math.isnan(value) else ABSENT


def _describe_manifest(digest: str, runs: Sequence[Run]) -> dict[str, object]:
    return {
        "data": _join(run.get("params.data") for run in runs),
        "videos": _join(_tag(run, "videos") for run in runs),
        "trials": len(runs),
        "checked": {"True": "yes", "False": "no"}.get(
            _join(_tag(run, "data_checked") for run in runs), "in part or not recorded"
        ),
        "videos_left_out": max(_leading_count(_tag(run, "excluded")) for run in runs),
        "videos_killed": max(_leading_count(_tag(run, "killed")) for run in runs),
        "manifest": digest,
    }


def _leading_count(text: str) -> int:
    """The count that an account of videos begins with: "2: a.mp4: ..."."""
    head = text.partition(":")[0]
    return int(head) if head.isdigit() else 0


def _tag(run: Run, name: str) -> str:
    value = run.get(f"tags.{name}")
    return value if isinstance(value, str) else ""


def _join(values: Iterable[object]) -> str:
    return "; ".join(sorted({value for value in values if isinstance(value, str) and value}))
