"""Attention coefficients of both parts over the blocks of a network (the paper's Figures 5 to 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from study.reporting.colors import PALETTE, Look, parse_color
from study.reporting.figures.style import add_legend, draw_means_and_spreads, new_figure, styled, wrap

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {"alpha_s": "spatial part, αₛ", "alpha_t": "temporal part, αₜ"}
LOOKS = {
    "alpha_s": Look(parse_color(PALETTE[0]), "o"),
    "alpha_t": Look(parse_color(PALETTE[1]), "s"),
}
HALF_RANGE = 0.1
"""The axis shows at least this much on either side of 0.5: coefficients that hardly leave it look so."""
HAIR = 0.005
"""A distance from 0.5 that no reader of the figure sees."""
MOST_LABELS = 17
"""Blocks that are named along an axis half as wide as the figure."""


def draw_attention_by_layer(frame: pd.DataFrame, title: str) -> Figure:
    """The coefficients of both parts in one panel (Figure 5).

    Args:
        frame: ``index`` (number of the block), ``site``, ``repeat``, ``alpha_s``, ``alpha_t``; one row a
            block and repeat.
        title: title of the figure.
    """
    with styled():
        figure = new_figure(3.7)
        axes = figure.subplots()
        long = frame.melt(["index", "repeat"], [*PARTS], "part", "value").replace({"part": PARTS})
        looks = {label: LOOKS[part] for part, label in PARTS.items()}
        handles: dict[str, Artist] = dict(draw_means_and_spreads(axes, long, "index", "value", "part", looks))
        _finish(axes, frame, 2 * MOST_LABELS)
        axes.set(ylabel="attention coefficient", title=wrap(title, 90))
        add_legend(figure, handles)
    return figure


def draw_attention_by_group(frame: pd.DataFrame, title: str, looks: Mapping[str, Look]) -> Figure:
    """The coefficients of several arms or data sets, one panel a part (Figures 6, 7 and 8).

    Args:
        frame: as for :func:`draw_attention_by_layer`, with ``group``: the name that each curve has.
        title: title of the figure.
        looks: of each group, by its name; curves come in this order.
    """
    with styled():
        figure = new_figure(3.8)
        panels = figure.subplots(1, 2, sharey=True)
        handles: dict[str, Artist] = {}
        for axes, (part, label) in zip(panels, PARTS.items(), strict=True):
            handles |= draw_means_and_spreads(axes, frame, "index", part, "group", looks)
            _finish(axes, frame, MOST_LABELS)
            axes.set_title(label)
        panels[0].set_ylabel("attention coefficient")
        add_legend(figure, handles)
        figure.suptitle(wrap(title, 90), fontsize=11)
    return figure


def describe_range(frame: pd.DataFrame) -> str:
    """The range of the coefficients that a figure shows, repeat by repeat."""
    values = frame[list(PARTS)].to_numpy(float)
    distance = abs(values - 0.5).max()
    if distance < HAIR:
        return (
            f"All values of single repeats lie within {distance:.1g} of 0.5: the coefficients hardly moved."
        )
    return f"Values of single repeats lie between {values.min():.3f} and {values.max():.3f}."


def _finish(axes: Axes, frame: pd.DataFrame, most: int) -> None:
    """Names of the blocks, the line at 0.5, and a range that is not zoomed into noise."""
    sites = frame.drop_duplicates(["index", "site"]).sort_values("index", kind="stable")
    places = sorted(set(sites["index"]))
    # Networks with different blocks have only their numbers in common.
    alike = len(sites) == len(places)
    names = [str(name) for name in sites["site"]] if alike else [str(place + 1) for place in places]
    step = -(-len(places) // most)
    axes.set_xticks(places[::step], names[::step], rotation=45, ha="right", fontsize=8)
    axes.set_xlabel("block")
    axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    # Invisible, and it takes part in the automatic range, which panels share: setting the range of one would cut the
    # other's curves.
    axes.axhspan(0.5 - HALF_RANGE, 0.5 + HALF_RANGE, color="none")
