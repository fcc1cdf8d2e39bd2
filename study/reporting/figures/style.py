"""What all figures share: fonts and lines, files, captions.

A figure is deterministic: the same frame gives the same bytes (no dates, fixed identifiers in SVG).

Modules of figures import matplotlib and seaborn where they draw: whoever has others draw needs neither, and they take
a tenth of the time of a report's imports.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from study.reporting.colors import Look

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "study",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.edgecolor": "0.3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "xtick.labelcolor": "0.1",
    "ytick.labelcolor": "0.1",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    # Names of arms may hold anything; between dollar signs matplotlib would see a formula.
    "text.parse_math": False,
}
WIDTH = 9.2
"""Width of a figure, inches: at 100 dpi a little more than the report shows it at."""
NAME_WIDTH = 44
"""Characters after which a name in a legend goes on in a new line."""
MOST_MARKERS = 25
"""Markers along a line, roughly."""
LEGEND_ROW, LEGEND_GAP = 0.15, 0.065
"""Height of a line of a legend, and what lies between two entries, inches."""


@dataclass(frozen=True)
class FigureFiles:
    """A figure on disk, or why there is none.

    Attributes:
        name: file name without extension.
        title: its title.
        files: PNG, SVG and CSV; empty when there is no figure. A contact sheet has no SVG.
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


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures, whatever the user's own is."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def new_figure(height: float) -> Figure:
    """An empty figure of so many inches, whose parts find their places by themselves."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def save_figure(figure: Figure, frame: pd.DataFrame, stem: Path) -> tuple[Path, ...]:
    """Write ``figure`` as PNG and SVG and ``frame`` as CSV beside ``stem``; returns the paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    png, svg, _ = figure_files(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        # The layout is found once, not again for each file.
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine("none")
        figure.set_dpi(STYLE["savefig.dpi"])
        # Figure.savefig draws everything twice: once to find the layout.
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return png, svg, save_frame(frame, stem)


def figure_files(stem: Path) -> tuple[Path, Path, Path]:
    """PNG, SVG and CSV of the figure beside ``stem``."""
    png, svg, csv = (stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg", "csv"))
    return png, svg, csv


def save_frame(frame: pd.DataFrame, stem: Path) -> Path:
    """Write ``frame`` as CSV beside ``stem``; returns its path."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    path = figure_files(stem)[2]
    frame.to_csv(path, index=False, lineterminator="\n")
    return path


def draw_means_and_spreads(
    axes: Axes, frame: pd.DataFrame, x: str, y: str, group: str, looks: Mapping[str, Look]
) -> dict[str, Line2D]:
    """A curve for each group: the mean of ``y`` over the rows of one ``x`` as a line, one sample standard deviation
    each way as a band.

    Args:
        axes: where.
        frame: columns ``x``, ``y`` and ``group``; a row a repeat and value of ``x``. A single repeat has no band.
        x: column along the axis.
        y: column that is averaged.
        group: column with the name of the curve.
        looks: color and marker by that name, in the order in which they are drawn. Names without rows have no curve.

    Returns:
        The lines by name.
    """
    import seaborn as sns

    present = set(frame[group])
    names = [name for name in looks if name in present]
    if not names:
        return {}
    before = len(axes.lines)
    labels = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
    # Where there is no label yet seaborn makes all ticks, to see whether to write one: a fifth of its time.
    axes.set(xlabel=x, ylabel=y)
    sns.lineplot(
        frame,
        x=x,
        y=y,
        hue=group,
        hue_order=names,
        palette={name: looks[name].color for name in names},
        errorbar="sd" if frame.groupby([group, x]).size().max() > 1 else None,
        err_kws={"alpha": 0.16, "linewidth": 0},
        linewidth=1.6,
        markeredgecolor="white",
        markeredgewidth=0.6,
        legend=False,
        ax=axes,
    )
    axes.set(**labels)
    lines = dict(zip(names, axes.lines[before:], strict=True))
    for name, line in lines.items():
        look = looks[name]
        every = max(1, frame.loc[frame[group] == name, x].nunique() // MOST_MARKERS)
        line.set(marker=look.marker, markersize=5.5 * look.scale, markevery=every)
    return lines


def add_legend(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """A legend below the figure, which grows by as much; nothing for a single name.

    Args:
        figure: with constrained layout, before it is drawn.
        handles: by name.
    """
    if len(handles) < 2:
        return
    names = [wrap(name) for name in handles]
    longest = max(len(line) for name in names for line in name.split("\n"))
    # About 0.068 inches a character of 9 points, and 0.5 for marker and gaps.
    columns = max(1, min(len(names), int(figure.get_figwidth() / (0.068 * longest + 0.5))))
    length = -(-len(names) // columns)
    heights = [LEGEND_GAP + LEGEND_ROW * (name.count("\n") + 1) for name in names]
    # A legend is filled column by column.
    tallest = max(sum(heights[start : start + length]) for start in range(0, len(names), length))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + tallest + LEGEND_GAP)
    figure.legend(list(handles.values()), names, loc="outside lower center", ncols=columns)


def legend_line(**look: Any) -> Line2D:
    """What stands for something drawn with ``look`` in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **look)


def wrap(name: str, width: int = NAME_WIDTH) -> str:
    """``name`` over as many lines as it needs; lines that it has stay."""
    lines = (textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in name.split("\n"))
    return "\n".join(part for parts in lines for part in parts)


def count_repeats(counts: Mapping[str, int]) -> str:
    """How many repeats stand behind each name: "3 repeats", or "3 repeats of A, 1 of B" where they differ."""
    numbers = set(counts.values())
    if len(numbers) == 1:
        number = numbers.pop()
        return f"{number} repeat{'s' if number > 1 else ''}"
    (first, number), *others = counts.items()
    said = [f"{number} repeat{'s' if number > 1 else ''} of {first}"]
    return ", ".join(said + [f"{number} of {name}" for name, number in others])


def describe_band(counts: Mapping[str, int]) -> str:
    """What line and band of a figure are, in sentences."""
    said = count_repeats(counts)
    if max(counts.values(), default=0) < 2:
        return f"Lines: {said}, so no spread over repeats is shown."
    return f"Lines: mean over {said}; bands: one sample standard deviation over repeats each way."


def sentence(text: str) -> str:
    """``text`` as a sentence of a caption: one line, a full stop at its end."""
    plain = " ".join(text.split())
    return plain if not plain or plain.endswith((".", "!", "?")) else f"{plain}."
