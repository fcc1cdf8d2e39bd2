"""Which figures a study has, and the frames they are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from study.analysis.tables import TableResult
from study.reporting.colors import assign_colors
from study.reporting.figures import (
    FigureFiles,
    draw_accuracy_by_cost,
    draw_attention_by_arm,
    draw_attention_by_layer,
    save_figure,
)
from study.spec.experiment import FigureSpec
from study.spec.resolved import UsedDataset

ATTENTION_COLUMNS = ["arm", "repeat", "trial_id", "index", "site", "stage", "alpha_s", "alpha_t"]
COST_FIGURE = ("accuracy_by_cost", "Accuracy against cost")
CAPTION_ATTENTION = (
    "Mean coefficient over output channels and validation videos; the band is the standard deviation over "
    "repeats (none for one repeat)."
)


def draw_figures(
    tables: Sequence[TableResult], attention: pd.DataFrame, folder: Path
) -> tuple[dict[str, tuple[FigureFiles, ...]], tuple[FigureFiles, ...]]:
    """Draw every figure of ``tables`` into ``folder``: those of each experiment by name, and the overview."""
    colors = assign_colors(row.arm.name for table in tables for row in table.rows)
    by_experiment = {
        table.experiment.name: tuple(
            _draw_attention(spec, table, attention, colors, folder) for spec in table.experiment.spec.figures
        )
        for table in tables
    }
    datasets = {dataset.name: dataset for table in tables for dataset in table.datasets}
    return by_experiment, tuple(_draw_cost(tables, used, colors, folder) for used in datasets.values())


def attention_frame(spec: FigureSpec, table: TableResult, attention: pd.DataFrame) -> pd.DataFrame:
    """The coefficients of the arms of ``spec``: arm, repeat, trial, block, coefficients; one row a block."""
    parts = [pd.DataFrame(columns=ATTENTION_COLUMNS)]
    for row in table.rows:
        if row.arm.name not in spec.arms:
            continue
        for trial in row.trials:
            part = attention[attention["trial_id"] == trial.trial_id]
            if trial.top1 is not None and len(part):
                parts.append(part.assign(arm=row.arm.label, repeat=trial.repeat)[ATTENTION_COLUMNS])
    return pd.concat(parts[1:] or parts, ignore_index=True)


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


def _draw_attention(
    spec: FigureSpec,
    table: TableResult,
    attention: pd.DataFrame,
    colors: dict[str, tuple[float, float, float]],
    folder: Path,
) -> FigureFiles:
    frame = attention_frame(spec, table, attention)
    labels = {row.arm.name: row.arm.label for row in table.rows}
    absent = [labels[name] for name in spec.arms if labels[name] not in set(frame["arm"])]
    if frame.empty:
        reason = f"no finished trial of {', '.join(absent)} recorded attention coefficients"
        return FigureFiles(spec.name, spec.title, missing=f"Not drawn: {reason}.")
    if spec.kind == "attention_by_layer":
        figure = draw_attention_by_layer(frame, spec.title)
    else:
        by_label = {labels[name]: colors[name] for name in spec.arms}
        figure = draw_attention_by_arm(frame, spec.title, by_label)
    caption = CAPTION_ATTENTION
    if absent:
        caption += f" Without {', '.join(absent)}: no finished trial with coefficients."
    return FigureFiles(spec.name, spec.title, save_figure(figure, frame, folder / spec.name), caption=caption)


def _draw_cost(
    tables: Sequence[TableResult],
    dataset: UsedDataset,
    colors: dict[str, tuple[float, float, float]],
    folder: Path,
) -> FigureFiles:
    name, title = COST_FIGURE
    if dataset.name:
        name, title = f"{name}-{dataset.name}", f"{title}, {dataset.label}"
    frame = cost_frame(tables, dataset.name)
    if frame.empty:
        return FigureFiles(name, title, missing="Not drawn: no finished trial has both accuracy and cost.")
    figure = draw_accuracy_by_cost(frame, title, colors)
    caption = "Bars are the sample standard deviation over repeats. Names joined by = are the same trials."
    return FigureFiles(name, title, save_figure(figure, frame, folder / name), caption=caption)
