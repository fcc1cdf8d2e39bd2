"""Other processes that draw figures: a third of the work of a large report, and each figure is on its own.

This module imports nothing large, so that the processes can get ready while a report is still being collected.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

DRAWING = (
    "study.reporting.plots",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "seaborn",
)
"""All that draws: our modules, and what they import when they do."""
MOST = 4
"""Processes; a report has some dozen figures."""


@contextmanager
def drawing_processes() -> Iterator[Executor | None]:
    """Processes that are getting ready to draw, for the duration of the block; None where there is one core only."""
    count = min(MOST, len(os.sched_getaffinity(0)))
    if count < 2:
        yield None
        return
    with ProcessPoolExecutor(count, _start_context(), initializer=_get_ready) as executor:
        yield executor


def _start_context() -> BaseContext:
    # Forks of this process would inherit the threads and database connections of whoever writes the report. Those
    # of a server have its imports, which take as long as all the drawing and which each spawned one repeats.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(DRAWING))
    # It imports while the report is collected. Asked for a process before that is done, it would keep us waiting.
    forkserver.ensure_running()
    return context


def _get_ready() -> None:
    # Ctrl+C is for the process that writes the report. Should that one be killed, nobody would end this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for module in DRAWING:
        importlib.import_module(module)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
