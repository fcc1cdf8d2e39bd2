"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from study.reporting.colors import Look
from study.reporting.figures.style import add_legend, draw_means_and_spreads, new_figure, styled, wrap

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

PANELS = {
    "train/loss": ("training loss", 1.0),
    "train/top1": ("training top-1, %", 100.0),
    "val/top1": ("validation top-1, %", 100.0),
}
"""Title of the panel of each metric, and what its values are multiplied by."""


def draw_training_curves(frame: pd.DataFrame, title: str, looks: Mapping[str, Look]) -> Figure:
    """Loss and accuracy by epoch, one panel a metric.

    Args:
        frame: ``arm``, ``repeat``, ``metric`` (a key of ``PANELS``), ``epoch``, ``value``; a row a repeat, metric and
            epoch. Metrics that were measured in fewer than two epochs have no panel.
        title: title of the figure.
        looks: of each arm, by the name in ``arm``; curves come in this order.
    """
    from matplotlib.ticker import MaxNLocator

    metrics = list_panels(frame)
    with styled():
        figure = new_figure(3.6)
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        handles: dict[str, Artist] = {}
        for axes, metric in zip(panels, metrics, strict=True):
            label, factor = PANELS[metric]
            part = frame[frame["metric"] == metric]
            scaled = part.assign(value=factor * part["value"])
            handles |= draw_means_and_spreads(axes, scaled, "epoch", "value", "arm", looks)
            axes.set(xlabel="epoch", title=label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        add_legend(figure, handles)
        figure.suptitle(wrap(title, 90), fontsize=11)
    return figure


def list_panels(frame: pd.DataFrame) -> list[str]:
    """The metrics of ``frame`` that have a curve: values of two epochs or more."""
    epochs = frame.groupby("metric")["epoch"].nunique()
    return [metric for metric in PANELS if epochs.get(metric, 0) > 1]
