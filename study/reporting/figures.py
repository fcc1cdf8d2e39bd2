"""Figures, each drawn from a tidy frame that is kept beside it as CSV.

A figure is deterministic: the same frame gives the same bytes (no dates, fixed identifiers in SVG).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.reporting.colors import Color

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "study",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "legend.fontsize": 9,
    "figure.dpi": 100,
    "savefig.dpi": 160,
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
PARTS = {"alpha_s": r"spatial part, $\alpha_S$", "alpha_t": r"temporal part, $\alpha_T$"}


@dataclass(frozen=True)
class FigureFiles:
    """A figure on disk, or why there is none.

    Attributes:
        name: file name without extension.
        title: its title.
        files: PNG, SVG and CSV; empty when there is no figure.
        missing: why there is none.
        caption: what it shows and what its spread means.
    """

    name: str
    title: str
    files: tuple[Path, ...] = ()
    missing: str = ""
    caption: str = ""

    @property
    def png(self) -> Path | None:
        """The picture for screens."""
        return next((path for path in self.files if path.suffix == ".png"), None)


def draw_attention_by_layer(frame: pd.DataFrame, title: str) -> Figure:
    """The coefficients of both parts over the blocks of a network (the paper's Figure 5).

    Args:
        frame: ``index`` (number of the block), ``site``, ``repeat``, ``alpha_s``, ``alpha_t``; one row a
            block and repeat.
        title: title of the figure.
    """
    long = frame.melt(["index", "site", "repeat"], list(PARTS), "part", "coefficient")
    long["part"] = long["part"].map(PARTS)
    with _style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        axes = figure.subplots()
        palette = sns.color_palette("colorblind")
        sns.lineplot(
            long,
            x="index",
            y="coefficient",
            hue="part",
            style="part",
            markers=list(MARKERS[:2]),
            dashes=False,
            errorbar="sd",
            palette=[palette[0], palette[3]],
            ax=axes,
        )
        _finish_attention(axes, frame, _plain(title))
        axes.set_ylabel("attention coefficient")
        axes.legend(title=None, frameon=False)
    return figure


def draw_attention_by_arm(frame: pd.DataFrame, title: str, colors: Mapping[str, Color]) -> Figure:
    """The coefficients of several arms over the blocks, one panel a part (the paper's Figure 6).

    Args:
        frame: as for :func:`draw_attention_by_layer`, with ``arm``.
        title: title of the figure.
        colors: color of each arm.
    """
    frame = frame.assign(arm=frame["arm"].map(_plain))
    arms = list(dict.fromkeys(frame["arm"]))
    with _style():
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (part, label) in zip(panels, PARTS.items(), strict=True):
            sns.lineplot(
                frame,
                x="index",
                y=part,
                hue="arm",
                style="arm",
                hue_order=arms,
                style_order=arms,
                markers=list(MARKERS[: len(arms)]) if len(arms) <= len(MARKERS) else True,
                dashes=False,
                errorbar="sd",
                palette={_plain(arm): color for arm, color in colors.items()},
                legend=part == "alpha_s",
                ax=axes,
            )
            _finish_attention(axes, frame, label)
        panels[0].set_ylabel("attention coefficient")
        panels[1].set_ylabel("")
        panels[0].legend(title=None, frameon=False)
        figure.suptitle(_plain(title), fontsize=11)
    return figure


def draw_accuracy_by_cost(frame: pd.DataFrame, title: str, colors: Mapping[str, Color]) -> Figure:
    """Accuracy of every arm against its cost, with the spread over repeats as a bar.

    Args:
        frame: ``experiment``, ``arm``, ``names``, ``gmacs_per_view``, ``top1_percent``, ``top1_std`` (may be
            missing); one row a point.
        title: title of the figure.
        colors: color of each arm; the marker tells the experiment.
    """
    experiments = list(dict.fromkeys(frame["experiment"]))
    with _style():
        figure = Figure(figsize=(9.2, 4.8), layout="constrained")
        axes = figure.subplots()
        # Arms lie close together, so names stand in a list beside the plot, in the order of accuracy.
        for row in frame.sort_values("top1_percent", ascending=False, kind="stable").to_dict("records"):
            look: dict[str, Any] = {
                "marker": MARKERS[experiments.index(row["experiment"]) % len(MARKERS)],
                "color": colors[row["arm"]],
                "markeredgecolor": "white",
                "markersize": 9,
                "linestyle": "none",
            }
            deviation = None if pd.isna(row["top1_std"]) else row["top1_std"]
            axes.errorbar(
                row["gmacs_per_view"], row["top1_percent"], yerr=deviation, elinewidth=1.2, capsize=3, **look
            )
            axes.plot([], [], label=_plain(str(row["names"])), **look)
        axes.set(xlabel="GMACs per view", ylabel="top-1 accuracy, %", title=_plain(title))
        axes.margins(0.08)
        figure.legend(loc="outside right upper", frameon=False)
        sns.despine(figure)
    return figure


def save_figure(figure: Figure, frame: pd.DataFrame, stem: Path) -> tuple[Path, ...]:
    """Write ``figure`` as PNG and SVG and ``frame`` as CSV beside ``stem``; returns the paths."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg, csv = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg", "csv"))
    with _style():
        figure.savefig(png, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
    frame.to_csv(csv, index=False, lineterminator="\n")
    return png, svg, csv


def _plain(text: str) -> str:
    """``text`` without a formula in it: matplotlib reads what stands between dollar signs as one."""
    return text.replace("$", r"\$")


def _finish_attention(axes: Axes, frame: pd.DataFrame, title: str) -> None:
    sites: Sequence[str] = frame.drop_duplicates("index").sort_values("index")["site"].tolist()
    axes.set_xticks(range(len(sites)), sites, rotation=45, ha="right", fontsize=8)
    axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.set(xlabel="block", title=title)
    sns.despine(ax=axes)


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(), sns.axes_style("ticks"):
        mpl.rcParams.update(STYLE)
        yield
