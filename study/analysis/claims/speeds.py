"""Measured speeds as claims look at them: a ratio of two rows, and what it is a ratio of."""

from __future__ import annotations

from study.analysis.claims.material import MeasuredSpeed, Untestable
from study.analysis.runtime import (
    LEAST_ROUNDS,
    PAPER_BATCH,
    PAPER_GPU,
    RuntimeRow,
    RuntimeTable,
    compare_speeds,
)


def describe_speed(table: RuntimeTable, arm: str, over: str) -> MeasuredSpeed:
    """Speed of the row ``arm`` over that of ``over`` in ``table``; raises Untestable where either has no times."""
    record, rows = table.record, [table.row(name) for name in (arm, over)]
    assert record is not None
    usable: list[RuntimeRow] = []
    for name, row in zip((arm, over), rows, strict=True):
        if row is None:
            raise Untestable(f"'{table.experiment.name}' has no row '{name}' in this report.")
        if row.runtime is None:
            raise Untestable(f"No speed of '{row.label}' is measured: {row.reason.rstrip('.')}.")
        usable.append(row)
    compared = compare_speeds(record, arm, over)
    assert compared is not None
    first, second = (
        row.runtime.videos_per_s.median for row in usable if row.runtime and row.runtime.videos_per_s
    )
    stale = [row.label for row in usable if row.stale]
    unjudged = [f"measured with code that has changed since ({', '.join(stale)})"] if stale else []
    if compared.order == "too few rounds":
        unjudged.append(f"{compared.rounds} rounds are fewer than {LEAST_ROUNDS}")
    return MeasuredSpeed(
        ratio=compared.ratio,
        labels=(usable[0].label, usable[1].label),
        remark=f"Medians of {record.rounds} rounds: {first:.3g} against {second:.3g} videos a second.",
        scope=_describe_scope(table),
        unjudged="; ".join(unjudged),
    )


def _describe_scope(table: RuntimeTable) -> str:
    record = table.record
    assert record is not None
    what = "a CPU" if record.conditions.device == "cpu" else "one GPU"
    text = f"Speeds: a verdict on {what} ({record.environment.device}): {record.conditions.describe()}"
    if table.is_papers_gpu:
        return f"{text}."
    return f"{text}; not on the paper's GTX {PAPER_GPU} at batch size {PAPER_BATCH}."
