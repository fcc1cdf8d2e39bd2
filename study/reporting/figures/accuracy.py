"""Accuracy against cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from study.reporting.colors import FILLS, Look
from study.reporting.figures.style import LEGEND_GAP, LEGEND_ROW, legend_line, new_figure, styled, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMED = 24
"""Points that are named; of the others only the place is shown."""
LOGARITHMIC = 20.0
"""Ratio of the largest to the smallest cost above which the axis is logarithmic."""
LIST_WIDTH = 34
"""Characters of a line of the list of names."""


def draw_accuracy_by_cost(frame: pd.DataFrame, title: str, looks: Mapping[str, Look]) -> Figure:
    """Accuracy of every arm against its cost, with the spread over repeats as a bar.

    Args:
        frame: ``arm``, ``names``, ``gmacs_per_view``, ``top1_percent``, ``top1_std`` (may be missing); one row a
            point. The most accurate ones are named.
        title: title of the figure.
        looks: of each arm. Where one arm has several points, the fill of the marker tells them apart.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    rows = frame.sort_values("top1_percent", ascending=False, kind="stable").to_dict("records")
    names = [wrap(str(row["names"]), LIST_WIDTH) for row in rows[:MOST_NAMED]]
    height = max(4.2, 0.9 + sum(LEGEND_GAP + LEGEND_ROW * (name.count("\n") + 1) for name in names))
    with styled():
        figure = new_figure(height)
        axes = figure.subplots()
        for row in rows[MOST_NAMED:]:
            axes.plot(row["gmacs_per_view"], row["top1_percent"], marker=".", color="0.65", zorder=1)
        times: Counter[str] = Counter()
        handles = []
        for row in rows[:MOST_NAMED]:
            look = _marker(looks[str(row["arm"])], times[str(row["arm"])])
            times[str(row["arm"])] += 1
            deviation = None if pd.isna(row["top1_std"]) else row["top1_std"]
            axes.errorbar(
                row["gmacs_per_view"],
                row["top1_percent"],
                yerr=deviation,
                elinewidth=1.1,
                capsize=2.5,
                **look,
            )
            handles.append(legend_line(**look))
        axes.set(xlabel="GMACs per view", ylabel="top-1 accuracy, %", title=wrap(title, 60))
        costs = frame["gmacs_per_view"]
        if costs.min() > 0 and costs.max() / costs.min() > LOGARITHMIC:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.08)
        # Arms lie close together, so names stand in a list beside the plot, in the order of accuracy.
        figure.legend(handles, names, loc="outside right upper")
    return figure


def _marker(look: Look, time: int) -> dict[str, Any]:
    fill = FILLS[time % len(FILLS)]
    return {
        "marker": look.marker,
        "color": look.color,
        "fillstyle": fill,
        "markerfacecoloralt": "white",
        "markeredgecolor": "white" if fill == "full" else look.color,
        "markersize": 7 * look.scale,
        "linestyle": "none",
    }
