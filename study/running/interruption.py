"""Ctrl+C and SIGTERM while a launch is at work.

Both become a KeyboardInterrupt where the process happens to be. Some libraries swallow what is raised amid their work;
code that calls them holds the signal back (:func:`held`) and takes it up where it does no harm (:func:`take_up`).
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass
class _Signals:
    """Those that have come since :func:`interruptible` was entered.

    Attributes:
        first: when the first one came; None before.
        holders: how many blocks hold it back now.
        waiting: whether it came in such a block, and waits.
        lost: whether what was raised for it went nowhere.
    """

    first: float | None = None
    holders: int = 0
    waiting: bool = False
    lost: bool = False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """The handler of both signals."""
        now = time.monotonic()
        if self.first is None or self.lost:
            self.first, self.lost = now, False
            if not self.holders:
                raise KeyboardInterrupt
            self.waiting = True
        elif now - self.first > REPEAT_SECONDS:
            _end_at_once()


_signals = _Signals()


@contextmanager
def held() -> Iterator[None]:
    """Let a first signal wait in this block for :func:`take_up`, at the latest for the block's end.

    For the main thread. A second signal ends the process at once here too.
    """
    _signals.holders += 1
    try:
        yield
    finally:
        _signals.holders -= 1
    if not _signals.holders:
        take_up()


def take_up() -> None:
    """Raise KeyboardInterrupt if a signal waits."""
    if _signals.waiting:
        _signals.waiting = False
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM, which cluster schedulers send first, stop this block as Ctrl+C does; a second signal ends the
    process at once, as a kill would.

    SIGINT is heard even where the shell that started this process in the background had it ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _signals
    _signals = signals = _Signals()

    def tell_of_ignored(ignored: sys.UnraisableHookArgs) -> None:
        # Where a signal arrives amid a callback of Python's own (at a fork, say), what the handler raises goes nowhere.
        if ignored.exc_type is not KeyboardInterrupt:
            others(ignored)
            return
        signals.lost = True
        threading.Timer(AGAIN_SECONDS, _thread.interrupt_main).start()

    others, sys.unraisablehook = sys.unraisablehook, tell_of_ignored
    before = {number: signal.signal(number, signals.interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
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
