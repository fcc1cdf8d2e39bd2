"""What was found and where it comes from, in sentences."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from study.analysis.repeats import Run
from study.analysis.tables import TableResult


def summarize(table: TableResult) -> str:
    """One sentence on a table: the best arm on each data set, and by how much. It says what was measured and
    tests nothing.
    """
    trials = [trial for row in table.rows for trial in row.trials]
    done = sum(trial.top1 is not None for trial in trials)
    progress = "" if done == len(trials) else f" ({done} of {len(trials)} trials)"
    parts = [_summarize_dataset(table, number) for number in range(len(table.datasets))]
    found = "; ".join(part for part in parts if part) or "no result yet"
    return f"{found}{progress}."


def _summarize_dataset(table: TableResult, number: int) -> str:
    """The best arm on one data set; empty while there is none."""
    measured = [
        (row, row.accuracies[number], row.accuracies[number].top1)
        for row in table.rows
        if row.accuracies[number].top1 is not None
    ]
    if not measured:
        return ""
    best, accuracy, top1 = max(measured, key=lambda item: item[2].mean if item[2] else 0.0)
    on = f" on {accuracy.dataset.shown}" if len(table.datasets) > 1 else ""
    text = f"{best.arm.label} has the highest top-1{on}, {100 * top1.mean if top1 else 0:.1f} %"
    if accuracy.delta is not None:
        baseline = next(row.arm.label for row in table.rows if row.is_baseline)
        text += f", {accuracy.delta.mean:+.1f} points against {baseline}"
    elif best.is_baseline:
        text += ", and is the baseline"
    return text


def date_newest(tables: Sequence[TableResult]) -> str:
    """When the newest of the trials behind ``tables`` ended. A report tells this rather than when it was written, so
    that the same trials give the same bytes.
    """
    ended = [run.get("ended_at") for run in collect_runs(tables).values() if run.get("status") == "completed"]
    times = [time for time in ended if isinstance(time, int | float) and not math.isnan(time)]
    if not times:
        return "No trial has finished yet."
    return f"Newest trial: {datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M} UTC."


def collect_runs(tables: Sequence[TableResult]) -> dict[str, Run]:
    """The runs behind ``tables`` by trial, each once."""
    return {trial_id: run for table in tables for trial_id, run in table.runs.items()}


def collect_provenance(tables: Sequence[TableResult]) -> dict[str, str]:
    """Where the numbers of ``tables`` come from: commit, code, device, libraries, data.

    A line names every value that occurs, so that a table mixed from two machines or commits shows it.
    """
    wanted = {trial.trial_id for table in tables for row in table.rows for trial in row.trials}
    wanted.discard("")
    used = [run for run in collect_runs(tables).values() if run["status"] == "completed"]
    lines = {"trials": f"{len(used)} of {len(wanted)} completed"}
    for tag, label in (
        ("git_commit", "commit"),
        ("device", "device"),
        ("platform", "platform"),
        ("python", "Python"),
        ("data_digest", "data manifest"),
    ):
        values = _list_values(used, tag)
        lines[label] = f"mixed: {', '.join(values)}" if len(values) > 1 else "".join(values)
    lines["code fingerprints, by block and backbone"] = ", ".join(_list_values(used, "code_fingerprint"))
    lines["libraries"] = " | ".join(map(_versions, _list_values(used, "versions")))
    return {label: text for label, text in lines.items() if text}


def _list_values(runs: Sequence[Run], tag: str) -> list[str]:
    """Every value of a tag, each once."""
    values = (run.get(f"tags.{tag}") for run in runs)
    return sorted({value for value in values if isinstance(value, str) and value})


def _versions(text: str) -> str:
    versions: Mapping[str, str] = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
