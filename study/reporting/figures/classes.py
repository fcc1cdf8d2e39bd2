"""Accuracy by class of one arm minus another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from study.analysis.classes import ClassComparison, ClassDifference
from study.reporting.colors import Look
from study.reporting.figures.style import add_legend, legend_line, new_figure, styled, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EACH_SIDE = 12
"""Classes shown at either end where there are more than twice as many."""
CLASS_WIDTH = 52
"""Characters of a line of a class's name."""
ROW, LINE = 0.27, 0.14
"""Height of a row and of each further line of its name, inches."""
EQUAL = Look((0.45, 0.45, 0.45), "|")
"""Of a class in which neither arm is ahead."""
Row = ClassDifference | None


def draw_class_difference(
    comparison: ClassComparison, title: str, arms: tuple[str, str], looks: tuple[Look, Look]
) -> Figure:
    """A row a class, from the largest difference to the smallest, each with its interval.

    Args:
        comparison: of two arms. Of many classes the ``EACH_SIDE`` at either end are drawn.
        title: title of the figure.
        arms: what the two are called.
        looks: how they look; a row has the color of the arm that is ahead.
    """
    rows = pick_rows(comparison.classes)
    names = [wrap(f"{row.name} ({row.videos})", CLASS_WIDTH) if row else _gap(comparison) for row in rows]
    height = 1.5 + ROW * len(rows) + LINE * sum(name.count("\n") for name in names)
    with styled():
        figure = new_figure(height)
        axes = figure.subplots()
        for place, row in enumerate(rows):
            if row is not None:
                _draw_row(axes, place, row, _find_leader(row, looks))
        axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        axes.set_yticks(range(len(rows)), names, fontsize=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        ends = [value for row in rows if row for value in (*_ends(row), 0.0)]
        margin = max(0.06 * (max(ends) - min(ends)), 2.0)
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.set_xlabel("difference in top-1 of the class, percentage points")
        figure.suptitle(wrap(title, 90), fontsize=11)
        ahead = {f"right: {arms[0]} ahead": looks[0], f"left: {arms[1]} ahead": looks[1]}
        add_legend(figure, {name: legend_line(**_line(look)) for name, look in ahead.items()})
    return figure


def pick_rows(classes: tuple[ClassDifference, ...]) -> list[Row]:
    """The classes that are drawn; None stands for those left out between the ends."""
    if len(classes) <= 2 * EACH_SIDE:
        return list(classes)
    return [*classes[:EACH_SIDE], None, *classes[-EACH_SIDE:]]


def class_frame(comparison: ClassComparison, arms: tuple[str, str]) -> pd.DataFrame:
    """Every class, drawn or not, one a row, with units in the names of the columns."""
    return pd.DataFrame(
        [
            {
                "class": one.name,
                "label": one.label,
                "videos": one.videos,
                "arm": arms[0],
                "baseline": arms[1],
                "arm_top1_percent": 100 * one.arm,
                "baseline_top1_percent": 100 * one.baseline,
                "difference_points": one.points,
                "low_points": one.low,
                "high_points": one.high,
                "repeats": len(comparison.repeats),
                "interval_varies": comparison.varies,
            }
            for one in comparison.classes
        ]
    )


def describe_classes(comparison: ClassComparison) -> str:
    """What the figure shows and what its intervals are worth, in sentences."""
    classes, count = comparison.classes, len(comparison.repeats)
    numbers = [one.videos for one in classes]
    videos = f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"
    said = [
        f"{len(classes)} classes with {videos} validation videos each (in brackets), paired by video and pooled over "
        f"{count} repeat{'s' if count > 1 else ''}."
    ]
    if len(classes) > 2 * EACH_SIDE:
        said.append(f"Shown are the {EACH_SIDE} at either end; the CSV has all.")
    judged = [one for one in classes if one.low is not None]
    if judged:
        said.append(_describe_intervals(comparison, judged))
    if len(judged) < len(classes):
        said.append("Classes of a single video have no interval.")
    return " ".join(said)


def _describe_intervals(comparison: ClassComparison, judged: list[ClassDifference]) -> str:
    level, clear = f"{100 * comparison.level:g} %", sum(one.is_clear for one in judged)
    if comparison.varies == "videos":
        over = "new videos only: they are about these trained networks and say nothing about other seeds"
    else:
        over = "new videos and new repeats"
    by_chance = (1 - comparison.level) * len(judged)
    return (
        f"Bars: {level} intervals over {over}; each by itself, not corrected for the number of classes. Filled where "
        f"the interval leaves out 0: {clear} of {len(judged)}, where about {by_chance:.1f} would by chance alone; of "
        "many classes the largest differences are in part the luckiest."
    )


def _draw_row(axes: Axes, place: int, row: ClassDifference, look: Look) -> None:
    axes.plot(_ends(row), [place, place], color=look.color, linewidth=1.6, solid_capstyle="butt")
    face = look.color if row.is_clear else "white"
    axes.plot(row.points, place, **_line(look) | {"linestyle": "none", "markerfacecolor": face})


def _find_leader(row: ClassDifference, looks: tuple[Look, Look]) -> Look:
    """The look of the arm that is ahead."""
    if row.points == 0:
        return EQUAL
    return looks[0] if row.points > 0 else looks[1]


def _line(look: Look) -> dict[str, Any]:
    return {"color": look.color, "linewidth": 1.6, "marker": look.marker, "markersize": 7 * look.scale}


def _ends(row: ClassDifference) -> tuple[float, float]:
    """What is drawn of the interval; the point itself where there is none."""
    return (
        row.points if row.low is None else row.low,
        row.points if row.high is None else row.high,
    )


def _gap(comparison: ClassComparison) -> str:
    return f"… {len(comparison.classes) - 2 * EACH_SIDE} classes between …"
