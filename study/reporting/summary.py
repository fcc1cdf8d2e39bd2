"""What was found and where it comes from, in sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

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
    return f"{table.experiment.spec.title}: {found}{progress}."


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
    on = f" on {accuracy.dataset.label}" if len(table.datasets) > 1 else ""
    text = f"{best.arm.label} has the highest top-1{on}, {100 * top1.mean if top1 else 0:.1f} %"
    if accuracy.delta is not None:
        baseline = next(row.arm.label for row in table.rows if row.is_baseline)
        text += f", {accuracy.delta.mean:+.1f} points against {baseline}"
    elif best.is_baseline:
        text += ", and is the baseline"
    return text


def collect_provenance(runs: pd.DataFrame, tables: Sequence[TableResult]) -> dict[str, str]:
    """Where the numbers of ``tables`` come from: commit, code, device, libraries, data, time spent.

    A line names every value that occurs, so that a table mixed from two machines or commits shows it.
    """
    wanted = {trial.trial_id for table in tables for row in table.rows for trial in row.trials}
    wanted.discard("")
    used = runs[runs["trial_id"].isin(list(wanted)) & (runs["status"] == "completed")]
    lines = {"trials": f"{len(used)} of {len(wanted)} completed"}
    for tag, label in (
        ("git_commit", "commit"),
        ("device", "device"),
        ("platform", "platform"),
        ("python", "Python"),
        ("data_digest", "data manifest"),
    ):
        lines[label] = _distinct(used, f"tags.{tag}")
    if "tags.code_fingerprint" in used:
        fingerprints = sorted({str(value) for value in used["tags.code_fingerprint"].dropna()})
        lines["code fingerprints, by block and backbone"] = ", ".join(fingerprints)
    if "tags.versions" in used:
        lines["libraries"] = " | ".join(
            _versions(text) for text in sorted(set(used["tags.versions"].dropna()))
        )
    lines |= _describe_videos(used)
    if len(used):
        seconds = float((used["ended_at"].astype(float) - used["started_at"].astype(float)).sum())
        lines["time in trials"] = f"{seconds / 60:.1f} min, summed over trials"
    return {label: text for label, text in lines.items() if text}


def _describe_videos(runs: pd.DataFrame) -> dict[str, str]:
    """Which videos were left out, by a check beforehand or because decoding them hung, and from how many trials."""
    lines = {}
    for tag, label in (
        ("excluded", "videos left out by data check"),
        ("killed", "videos that hung or crashed"),
    ):
        column = f"tags.{tag}"
        if column in runs:
            found = runs[column].dropna()
            texts = sorted({str(text) for text in found if str(text)})
            lines[label] = " | ".join(texts)
    return lines


def _distinct(runs: pd.DataFrame, column: str) -> str:
    if column not in runs:
        return ""
    values = sorted({str(value) for value in runs[column].dropna() if str(value)})
    return values[0] if len(values) == 1 else f"mixed: {', '.join(values)}" if values else ""


def _versions(text: str) -> str:
    versions: Mapping[str, str] = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
