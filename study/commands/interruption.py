"""Ctrl+C and SIGTERM while a launch is at work."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = (
    "Interrupted. Finished trials are kept; launch again to go on: the others continue after their last whole "
    "epoch."
)
AT_ONCE = (
    "\nStopped at once. Finished trials are kept; launch again to go on: it also closes the runs that MLflow still "
    "calls running.\n"
)
EXIT_CODE = 130
AGAIN_SECONDS = 0.05
"""After which an interruption that went nowhere is tried again."""
REPEAT_SECONDS = 0.5
"""Signals that follow the first one closer than this are the same keystroke: a terminal sends it to the whole group of
processes, and a parent such as ``uv run`` passes it on."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, which cluster schedulers send first, stop this block as Ctrl+C does; a second signal ends the
    process at once, as a kill would.

    SIGINT is heard even where the shell that started this process in the background had it ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: float | None = None
    lost = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal first, lost
        now = time.monotonic()
        if first is None or lost:
            first, lost = now, False
            raise KeyboardInterrupt
        if now - first > REPEAT_SECONDS:
            _end_at_once()

    def tell_of_ignored(ignored: sys.UnraisableHookArgs) -> None:
        # Where a signal arrives amid a callback of Python's own (at a fork, say), what the handler raises goes nowhere.
        nonlocal lost
        if ignored.exc_type is not KeyboardInterrupt:
            others(ignored)
            return
        lost = True
        threading.Timer(AGAIN_SECONDS, _thread.interrupt_main).start()

    others, sys.unraisablehook = sys.unraisablehook, tell_of_ignored
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        sys.unraisablehook = others
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_at_once() -> None:
    """Nothing is cleaned up: the kernel gives back the lock, and Ray's processes follow their driver."""
    # A live table has hidden the cursor.
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(sys.stderr.fileno(), (show_cursor + AT_ONCE).encode())
    os._exit(EXIT_CODE)
