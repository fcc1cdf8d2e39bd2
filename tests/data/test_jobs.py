"""Jobs that hang while holding the interpreter's lock, crash, fail, and those beside them."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import pytest

from study.data.jobs import Outcome, run_jobs
from study.errors import DataError


def work(item: str) -> str:
    """Does what ``item`` says."""
    if item == "hang":
        # As decoders do: in native code, holding the lock, so that no signal handler of Python ever runs.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        ctypes.PyDLL(None).sleep(60)
    if item == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "leave":
        os._exit(7)
    if item == "refuse":
        raise DataError("v.mp4: no such file")
    if item == "defect":
        raise KeyError("oops")
    if item.startswith("wait"):
        time.sleep(float(item.split()[1]))
    if item.startswith("note"):
        Path(item.split()[1]).touch()
    return item.upper()


def describe(outcome: Outcome[str, str]) -> str:
    failure = outcome.failure
    assert (outcome.result is None) == (failure is not None)
    return f"{failure.kind}: {failure.message}" if failure else str(outcome.result)


def test_one_that_hangs_or_dies_takes_no_other_with_it() -> None:
    items = ["a", "hang", "die", "b", "leave", "refuse", "c"]
    begun = time.monotonic()
    outcomes = list(run_jobs(work, items, workers=2, limit_s=1.0))
    assert time.monotonic() - begun < 20
    assert [outcome.item for outcome in outcomes] == items
    assert [describe(outcome) for outcome in outcomes] == [
        "A",
        "timeout: no end after 1 s; its process was killed",
        "crash: the process died (signal SIGSEGV)",
        "B",
        "crash: the process died (exit code 7)",
        "error: v.mp4: no such file",
        "C",
    ]


def test_a_defect_is_not_hidden_and_nothing_starts_after_it(tmp_path: Path) -> None:
    late = [f"note {tmp_path / str(number)}" for number in range(60)]
    with pytest.raises(KeyError, match="oops"):
        list(run_jobs(work, ["defect", "wait 0.5", *late], workers=1, limit_s=20))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) < 60


def test_no_items_start_no_process() -> None:
    assert list(run_jobs(work, [], workers=2, limit_s=1)) == []
