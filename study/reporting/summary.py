"""What was found and where it comes from, in sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from study.analysis.tables import ArmResult, TableResult


def summarize(table: TableResult) -> str:
    """One sentence on a table: the best arm, and by how much. It says what was measured and tests nothing."""
    spec = table.experiment.spec
    measured = [row for row in table.rows if row.top1 is not None]
    trials = [trial for row in table.rows for trial in row.repeats]
    done = sum(trial.top1 is not None for trial in trials)
    progress = "" if done == len(trials) else f" ({done} of {len(trials)} trials)"
    if not measured:
        return f"{spec.title}: no result yet{progress}."
    best = max(measured, key=_mean)
    text = f"{spec.title}: {best.arm.label} has the highest top-1, {100 * _mean(best):.1f} %"
    if best.delta is not None:
        baseline = next(row.arm.label for row in table.rows if row.is_baseline)
        text += f", {best.delta.mean:+.1f} points against {baseline}"
    elif best.is_baseline:
        text += ", and is the baseline"
    return f"{text}{progress}."


def collect_provenance(runs: pd.DataFrame, tables: Sequence[TableResult]) -> dict[str, str]:
    """Where the numbers of ``tables`` come from: commit, code, device, libraries, data, time spent.

    A line names every value that occurs, so that a table mixed from two machines or commits shows it.
    """
    wanted = {trial.trial_id for table in tables for row in table.rows for trial in row.repeats}
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
    if len(used):
        seconds = float((used["ended_at"].astype(float) - used["started_at"].astype(float)).sum())
        lines["time in trials"] = f"{seconds / 60:.1f} min, summed over trials"
    return {label: text for label, text in lines.items() if text}


def _mean(row: ArmResult) -> float:
    return row.top1.mean if row.top1 is not None else float("-inf")


def _distinct(runs: pd.DataFrame, column: str) -> str:
    if column not in runs:
        return ""
    values = sorted({str(value) for value in runs[column].dropna() if str(value)})
    return values[0] if len(values) == 1 else f"mixed: {', '.join(values)}" if values else ""


def _versions(text: str) -> str:
    versions: Mapping[str, str] = json.loads(text)
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
