"""Figures that other processes draw."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from study.reporting.figures.plotter import Plotter
from study.reporting.processes import drawing_processes

FRAME = pd.DataFrame({"x": [1, 2]})


def draw_title(title: str) -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.suptitle(title)
    return figure


def fail(title: str) -> Figure:
    raise ValueError(f"no figure called {title}")


def test_without_processes_a_figure_is_there_at_once(tmp_path: Path) -> None:
    files = Plotter().plot(tmp_path / "one", FRAME, draw_title, "One")
    assert [path.name for path in files] == ["one.png", "one.svg", "one.csv"]
    assert all(path.stat().st_size for path in files)


def test_with_them_all_are_there_in_the_end(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        plotter = Plotter(executor)
        files = [plotter.plot(tmp_path / name, FRAME, draw_title, name) for name in ("one", "two")]
        plotter.finish()
    assert [path.suffix for path in files[1]] == [".png", ".svg", ".csv"]
    assert "two" in files[1][1].read_text()
    assert all(path.exists() for each in files for path in each)


def test_an_error_in_another_process_is_not_lost(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        plotter = Plotter(executor)
        plotter.plot(tmp_path / "one", FRAME, fail, "One")
        with pytest.raises(ValueError, match="no figure called One"):
            plotter.finish()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core draws in one process")
def test_processes_are_others_and_end_with_the_block() -> None:
    with drawing_processes() as executor:
        assert executor is not None
        pids = {executor.submit(os.getpid).result() for _ in range(4)}
        assert os.getpid() not in pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
