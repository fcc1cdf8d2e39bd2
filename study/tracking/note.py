"""The study's summary, as the description of its MLflow experiment (Markdown)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd

from study.tracking.names import TableRow


@dataclass(frozen=True)
class Outcome:
    """What is known of one trial.

    Attributes:
        rows: the places where it stands.
        status: completed, failed, stopped, interrupted, running or "not started".
        top1: fraction of validation videos it got right, with the primary protocol; None without one.
    """

    rows: tuple[TableRow, ...]
    status: str
    top1: float | None


def describe_study(study: str, outcomes: Iterable[Outcome], report: Path | None) -> str:
    """One line an arm: mean accuracy of the trials that are done, what became of the others."""
    arms: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        for row in outcome.rows:
            arms.setdefault((row.experiment, row.label), []).append(outcome)
    lines = []
    for (experiment, label), members in arms.items():
        values = [
            member.top1 for member in members if member.status == "completed" and member.top1 is not None
        ]
        others = [member.status for member in members if member.status != "completed"]
        lines.append(
            {
                "table": experiment,
                "arm": label,
                "top-1, %": f"{100 * fmean(values):.1f}" if values else "—",
                "repeats": f"{len(values)} of {len(members)}",
                "otherwise": ", ".join(
                    f"{others.count(status)} {status}" for status in dict.fromkeys(others)
                ),
            }
        )
    table = pd.DataFrame(lines, columns=["table", "arm", "top-1, %", "repeats", "otherwise"])
    parts = [
        f"**Study {study}.** One run is one trial: one arm, one repeat. top-1: mean over finished repeats.",
        _escape(table).to_markdown(index=False, disable_numparse=True),
    ]
    if report is not None:
        parts.append(f"The report, with spread, deltas and the published numbers: `{report}`")
    return "\n\n".join(parts) + "\n"


def _escape(table: pd.DataFrame) -> pd.DataFrame:
    """Names come from users: no character of theirs may end a cell or become HTML."""
    signs = {"\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;"}
    return table.map(lambda text: "".join(signs.get(sign, sign) for sign in str(text)))
