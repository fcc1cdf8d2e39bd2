"""Tables as tidy frames, with units in the names of the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from study.analysis.published import Value, per_view
from study.analysis.repeats import NOT_DONE, Spread, describe_problems
from study.analysis.tables import Accuracy, ArmResult, TableResult

NUMERIC_ENDS = ("_mean", "_std", "_points", "_percent", "_m", "_per_view")
NUMERIC_NAMES = ("delta_p", "delta_p_holm", "delta_repeats_needed")


def table_frame(table: TableResult) -> pd.DataFrame:
    """``table`` as a tidy frame, one row an arm and data set, with units in the names of the columns."""
    records = [_frame_record(table, row, accuracy) for row in table.rows for accuracy in row.accuracies]
    frame = _build_frame(records)
    return frame.drop(columns="dataset") if len(table.datasets) == 1 else frame


def _frame_record(table: TableResult, row: ArmResult, accuracy: Accuracy) -> dict[str, object]:
    states = [trial.state for trial in accuracy.repeats]
    record: dict[str, object] = {
        "experiment": table.experiment.name,
        "arm": row.arm.name,
        "dataset": accuracy.dataset.name,
        "baseline": row.is_baseline,
        "repeats_planned": len(accuracy.repeats),
        "repeats_measured": accuracy.top1.n if accuracy.top1 else 0,
    }
    record |= {f"repeats_{state}": states.count(state) for state in NOT_DONE}
    for name, spread, scale in (("top1", accuracy.top1, 100), ("top5", accuracy.top5, 100)):
        record |= _spread_columns(f"{name}_percent", spread, scale)
    record |= _spread_columns("delta_top1_points", accuracy.delta, 1)
    record |= _evidence_columns(accuracy)
    record |= {"params_m": row.params_m, "gmacs_per_view": row.gmacs_per_view}
    counted = row.counted
    record["counted_params_m"] = counted.params_m if counted else None
    record["counted_gmacs_per_view"] = counted.gmacs_per_view if counted else None
    values = row.published.values if row.published else {}
    printed_macs = values.get("gflops")
    record |= {
        "published_params_m": _number(values.get("params_m")),
        "published_gmacs_per_view": per_view(printed_macs, row.published.views) if row.published else None,
        "published_gflops_as_printed": None if printed_macs is None else str(printed_macs),
        "published_top1_percent": _number(values.get(table.published_key(accuracy.dataset, "top1"))),
        "published_top5_percent": _number(values.get(table.published_key(accuracy.dataset, "top5"))),
        "published_origin": row.published.origin if row.published else None,
        "cost_verdict": row.verdict.kind if row.verdict else None,
        "cost_reason": row.verdict.reason if row.verdict else None,
        "problems": "; ".join(describe_problems(accuracy.repeats)),
    }
    return record


def _evidence_columns(accuracy: Accuracy) -> dict[str, object]:
    delta = accuracy.evidence
    return {
        "delta_low_points": delta.low if delta else None,
        "delta_high_points": delta.high if delta else None,
        "delta_varies": delta.varies if delta else None,
        "delta_p": delta.p_value if delta else None,
        "delta_p_holm": delta.p_holm if delta else None,
        "delta_test": delta.test if delta else None,
        "delta_detectable_points": delta.detectable if delta else None,
        "delta_repeats_needed": delta.repeats_needed if delta else None,
        "confounded_by": "; ".join(map(str, accuracy.confounders)),
    }


def _spread_columns(name: str, spread: Spread | None, scale: float) -> dict[str, object]:
    return {
        f"{name}_mean": scale * spread.mean if spread else None,
        f"{name}_std": scale * spread.std if spread and spread.std is not None else None,
    }


def _build_frame(records: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """``records`` with columns of numbers as numbers and of texts as texts, also where all cells are empty: files of
    two studies then have the same types.
    """
    columns: dict[str, pd.Series] = {}
    for name in records[0]:
        values = [record[name] for record in records]
        if name.endswith(NUMERIC_ENDS) or name in NUMERIC_NAMES:
            columns[name] = pd.Series(values, dtype="float64")
        elif all(isinstance(value, int) for value in values):
            columns[name] = pd.Series(values)
        else:
            columns[name] = pd.Series(values, dtype="string")
    return pd.DataFrame(columns)


def _number(value: Value) -> float | None:
    """A printed number; None for a text, so that a column of a frame is of one type."""
    return None if value is None or isinstance(value, str) else float(value)
