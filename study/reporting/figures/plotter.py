"""Who draws the figures: this process, or others at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from study.reporting.figures.style import figure_files, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[..., "Figure"]


class Plotter:
    """Draws figures into files.

    Args:
        executor: the processes that draw; None draws here, at once.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor
        self._drawn: list[Future[Any]] = []

    def plot(self, stem: Path, frame: pd.DataFrame, draw: Draw, *arguments: Any) -> tuple[Path, ...]:
        """Write ``draw(*arguments)`` as PNG and SVG, and ``frame`` as CSV, beside ``stem``.

        Args:
            stem: path without suffix.
            frame: what the figure shows.
            draw: a function of a module, so that another process finds it.
            arguments: of ``draw``.

        Returns:
            The paths. They are there once :meth:`finish` has returned.
        """
        if self._executor is None:
            return _plot(stem, frame, draw, *arguments)
        self._drawn.append(self._executor.submit(_plot, stem, frame, draw, *arguments))
        return figure_files(stem)

    def finish(self) -> None:
        """Wait for all figures; raises what drawing one of them raised."""
        for drawn in self._drawn:
            drawn.result()
        self._drawn.clear()


def _plot(stem: Path, frame: pd.DataFrame, draw: Draw, *arguments: Any) -> tuple[Path, ...]:
    return save_figure(draw(*arguments), frame, stem)
