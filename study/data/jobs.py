"""Work on many videos in parallel, in child processes that can be killed.

Decoders hang in native code, holding the interpreter's lock, and crash; only another process survives that.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from typing import Generic, Literal, TypeVar

from pebble import ProcessExpired, ProcessPool

from study.errors import StudyError

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 16
"""Items that are handed out, for each process, before the first of them has ended: outcomes come in order, and one
that hangs should not keep the others waiting."""


@dataclass(frozen=True)
class JobFailure:
    """Why a job gave no result.

    Attributes:
        kind: ``error``: it raised; ``timeout``: it was killed at its time limit; ``crash``: its process died.
        message: what is known, in a line.
    """

    kind: Literal["error", "timeout", "crash"]
    message: str


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: exactly one of ``result`` and ``failure`` is there."""

    item: Item
    result: Result | None
    failure: JobFailure | None


def run_jobs(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int, limit_s: float
) -> Iterator[Outcome[Item, Result]]:
    """Call ``function`` on every item in ``workers`` processes; yield outcomes in the order of the items.

    Args:
        function: importable by name, as are items and results picklable.
        items: what to work on.
        workers: processes at a time.
        limit_s: seconds that one call may take; its process is killed then and the others go on. Starting the
            process and importing the function's module do not count.

    Raises:
        Exception: what ``function`` raises beside StudyError, which is a defect.
    """
    if not items:
        return
    # Children that are spawned share nothing with this process: decord hangs in forked ones.
    with ProcessPool(
        max_workers=min(workers, len(items)),
        context=get_context("spawn"),
        initializer=import_module,
        initargs=[function.__module__],
    ) as pool:
        left, pending = iter(items), deque[tuple[Item, Future[Result]]]()

        def hand_out(count: int) -> None:
            pending.extend(
                (item, pool.schedule(function, [item], timeout=limit_s)) for item in islice(left, count)
            )

        try:
            hand_out(AHEAD * workers)
            while pending:
                outcome = _wait(*pending.popleft(), limit_s)
                hand_out(1)
                yield outcome
        finally:
            for _, future in pending:
                future.cancel()
            pool.stop()  # type: ignore[no-untyped-call]


def _wait(item: Item, future: Future[Result], limit_s: float) -> Outcome[Item, Result]:
    try:
        return Outcome(item, future.result(), None)
    except FutureTimeoutError:
        failure = JobFailure("timeout", f"no end after {limit_s:g} s; its process was killed")
    except ProcessExpired as error:
        failure = JobFailure("crash", f"the process died ({_describe_exit(error.exitcode)})")
    except StudyError as error:
        failure = JobFailure("error", str(error))
    return Outcome(item, None, failure)


def _describe_exit(code: int) -> str:
    if code < 0 and -code in set(signal.Signals):
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
