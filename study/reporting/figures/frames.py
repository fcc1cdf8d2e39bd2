"""The tidy frames that figures are drawn from, made of tables and material."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from study.analysis.tables import ArmResult, TableResult
from study.spec.resolved import UsedDataset

ATTENTION_COLUMNS = [
    "arm",
    "dataset",
    "repeat",
    "trial_id",
    "index",
    "site",
    "stage",
    "alpha_s",
    "alpha_t",
]
CURVE_COLUMNS = ["arm", "repeat", "trial_id", "metric", "epoch", "value"]
REFERENCE_COLUMNS = ["arm", "dataset", "repeat", "trial_id"]


def attention_frame(
    rows: Iterable[ArmResult], datasets: Sequence[UsedDataset], attention: pd.DataFrame
) -> pd.DataFrame:
    """The coefficients of ``rows`` on ``datasets``, one row an arm, data set, repeat and block.

    The folds of a repeat are averaged, and their trials joined by a plus sign.
    """
    frame = _find_trials(rows, datasets).merge(attention, on="trial_id", how="inner")
    keys = ["arm", "dataset", "repeat", "index", "site", "stage"]
    return _average_folds(frame, keys, ["alpha_s", "alpha_t"])[ATTENTION_COLUMNS]


def curve_frame(rows: Iterable[ArmResult], dataset: UsedDataset, curves: pd.DataFrame) -> pd.DataFrame:
    """The curves of ``rows`` on one data set, one row an arm, repeat, metric and epoch; folds are averaged."""
    frame = _find_trials(rows, [dataset]).merge(curves, on="trial_id", how="inner")
    frame = frame.rename(columns={"step": "epoch"})
    return _average_folds(frame, ["arm", "repeat", "metric", "epoch"], ["value"])[CURVE_COLUMNS]


def cost_frame(tables: Sequence[TableResult], dataset: str = "") -> pd.DataFrame:
    """Accuracy on one data set, and cost, of every arm that has both.

    Arms of several tables that are the same trials are one row, under the name and experiment that come
    first; ``names`` holds them all.
    """
    points: dict[tuple[str, ...], dict[str, object]] = {}
    for table in tables:
        for row in table.rows:
            accuracy = next((a for a in row.accuracies if a.dataset.name == dataset), None)
            if accuracy is None or accuracy.top1 is None or row.gmacs_per_view is None:
                continue
            top1, name = accuracy.top1, f"{row.arm.label} ({table.experiment.name})"
            key = tuple(sorted(trial.trial_id for result in accuracy.repeats for trial in result.trials))
            if key in points:
                points[key]["names"] = f"{points[key]['names']}\n= {name}"
                continue
            points[key] = {
                "experiment": table.experiment.name,
                "arm": row.arm.name,
                "names": name,
                "gmacs_per_view": row.gmacs_per_view,
                "params_m": row.params_m,
                "top1_percent": 100 * top1.mean,
                "top1_std": None if top1.std is None else 100 * top1.std,
                "repeats": top1.n,
            }
    return pd.DataFrame(list(points.values()))


def _find_trials(rows: Iterable[ArmResult], datasets: Sequence[UsedDataset]) -> pd.DataFrame:
    """The finished trials of ``rows`` on ``datasets``, one row each; of a repeat all folds or none."""
    names = {dataset.name for dataset in datasets}
    found = [
        (row.arm.label, accuracy.dataset.shown, result.repeat, trial.trial_id)
        for row in rows
        for accuracy in row.accuracies
        if accuracy.dataset.name in names
        for result in accuracy.repeats
        if result.top1 is not None
        for trial in result.trials
    ]
    return pd.DataFrame(found, columns=REFERENCE_COLUMNS)


def _average_folds(frame: pd.DataFrame, keys: list[str], values: list[str]) -> pd.DataFrame:
    if not frame.duplicated(keys).any():
        return frame.reset_index(drop=True)
    how: dict[str, Any] = {"trial_id": "+".join} | dict.fromkeys(values, "mean")
    return frame.groupby(keys, sort=False, as_index=False).agg(how)
