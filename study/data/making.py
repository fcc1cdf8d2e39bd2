"""Making many files in processes of their own, which tell of each file as it is done.

They are started as ``python -m module`` and not by multiprocessing, whose children import the caller's main script
again: a script without a main guard would then make the same files once more and wait for the lock that its parent
holds. Work goes in as JSON on standard input; a line comes out for each file, or the reason why one failed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from study.data.catalog import Progress

Item = TypeVar("Item")
MADE = "made"
"""What a process says after each file."""
FAILED = "failed: "
"""What it says before the reason when it cannot go on."""


class Counter:
    """Counts files, from several threads, and reports each."""

    def __init__(self, done: int, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = done, total, progress
        self._lock = threading.Lock()
        self._report()

    def __call__(self) -> None:
        with self._lock:
            self._done += 1
            self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total)


def make_in_processes(module: str, shares: Sequence[Mapping[str, Any]], on_made: Callable[[], None]) -> None:
    """Have a process for each of ``shares`` do its work.

    Args:
        module: what is run; its main calls :func:`make_all`.
        shares: the work of each process, as JSON has it.
        on_made: called after every file, from several threads.

    Raises:
        OSError: with what a process says when it fails.
    """
    with ThreadPoolExecutor(len(shares)) as pool:
        for outcome in [pool.submit(_run_process, module, share, on_made) for share in shares]:
            outcome.result()


def _run_process(module: str, share: Mapping[str, Any], on_made: Callable[[], None]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(share))
        process.stdin.close()
        last = ""
        for line in process.stdout:
            last = line.strip()
            if last == MADE:
                on_made()
    if process.returncode:
        told = last.startswith(FAILED)
        raise OSError(last.removeprefix(FAILED) if told else f"a process ended with {process.returncode}")


def read_share() -> Any:
    """The work of this process; an interrupt ends it at once, as its parent wants."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return json.load(sys.stdin)


def make_all(items: Iterable[Item], make: Callable[[Item], object], errors: type[Exception]) -> int:
    """Make every one of ``items`` and tell the parent; 1 after the first of ``errors``, whose text is told."""
    for item in items:
        try:
            make(item)
        except errors as error:
            print(f"{FAILED}{' '.join(str(error).split())}", flush=True)
            return 1
        print(MADE, flush=True)
    return 0
