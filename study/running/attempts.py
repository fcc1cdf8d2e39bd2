"""Every attempt at a trial, whatever became of it: ``attempts.jsonl`` in the trial's folder.

Two lines an attempt, one when it begins and one when it ends. An attempt without a second line died with its process
or machine. The file is only ever added to, and outlives the record that a new attempt takes away.

Only one attempt writes at a time. A worker may outlive its scheduler's belief in it (its node was declared dead, its
driver was killed) and train on while the next attempt begins elsewhere. The next one notes that it begins, then waits
for the lock of the folder, which the kernel or the file server takes from the dead. The older one looks after each of
its epochs whether another attempt has begun, and then stops; the next goes on from the epoch that it finished. Nobody
holds the lock while an epoch is reported: to a scheduler that has given its worker up that can take for ever.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from study.errors import SchedulingError, StoreError
from study.running.executor import Job, Place
from study.running.failures import classify, halve_micro_batch
from study.spec.record import Failure, TrialRecord
from study.spec.trial import Trial

ATTEMPTS_FILE = "attempts.jsonl"
LOCK_FILE = "attempt.lock"
WAIT_SECONDS = 3600.0
"""How long an attempt waits for the one before it, which ends after an epoch at most unless it hangs."""

Tick = Callable[[int], None]
"""Called with the number of epochs done."""
Run = Callable[[Trial, Place, Tick], TrialRecord]
"""What an attempt runs, as :func:`study.running.run_trial.run_trial`."""


class Superseded(BaseException):
    """Another attempt at the same trial has begun; this one leaves it the folder.

    Not an Exception: like KeyboardInterrupt it passes through a trial without becoming its record.
    """


class LostProcessError(SchedulingError):
    """A process of a trial died: killed, out of memory, or with its machine. The trial can go on."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a trial.

    Attributes:
        number: from 1.
        started_at: seconds since 1970.
        host: name of the machine.
        pid: process there.
        ended_at: None where it died.
        outcome: "completed", "failed", "interrupted", or "died" (also of one that is at work).
        failure: class of the failure; empty without one.
        message: what was said; empty without a failure.
        micro_batch: clips of one pass of its training; None for a whole batch.
    """

    number: int
    started_at: float
    host: str
    pid: int
    ended_at: float | None = None
    outcome: str = "died"
    failure: str = ""
    message: str = ""
    micro_batch: int | None = None


@dataclass(frozen=True)
class Claim:
    """An attempt's right to the folder of its trial; it travels to the process that writes there.

    Attributes:
        folder: of the trial.
        number: of the attempt.
        host: machine of the process that began it.
        pid: that process.
    """

    folder: Path
    number: int
    host: str
    pid: int

    def is_newest(self) -> bool:
        """Whether this attempt is the last one that was begun."""
        attempts = read_attempts(self.folder)
        # Two that began in the same instant have one number; the line that was written last decides.
        mine = (self.number, self.host, self.pid)
        return not attempts or (attempts[-1].number, attempts[-1].host, attempts[-1].pid) == mine

    def work(self, run: Callable[[Tick], TrialRecord], tick: Tick) -> TrialRecord:
        """What ``run`` returns, alone in the folder; it is given a tick that lets others in while it reports.

        Raises:
            Superseded: when a newer attempt has begun.
            StoreError: when the attempt before this one does not let go of the folder.
        """
        lock = FileLock(self.folder / LOCK_FILE)

        def tick_apart(epoch: int) -> None:
            if not self.is_newest():
                raise Superseded
            lock.release()
            tick(epoch)
            _acquire(lock, self)

        try:
            _acquire(lock, self)
            return run(tick_apart)
        finally:
            lock.release()


Launch = Callable[[Trial, Place, Tick, Claim], TrialRecord]
"""What runs a trial in several processes, of which the first works under the claim (:mod:`study.running.ranks`)."""


def begin_attempt(folder: Path, micro_batch: int | None = None) -> int:
    """Note that an attempt begins in this process; returns its number."""
    number = len(read_attempts(folder)) + 1
    started = {"started_at": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
    if micro_batch is not None:
        started["micro_batch"] = micro_batch
    _append(folder, {"attempt": number, **started})
    return number


def end_attempt(folder: Path, number: int, outcome: TrialRecord | BaseException) -> None:
    """Note how attempt ``number`` ended: with a record, or by an exception that passed through.

    Of those exceptions a defect makes a failed attempt, what is no Exception (Ctrl+C) an interrupted one.
    """
    entry: dict[str, Any] = {"attempt": number, "ended_at": time.time()}
    if isinstance(outcome, Exception):
        failure = Failure(kind=type(outcome).__name__, message=str(outcome))
        message = failure.message or failure.kind
        entry |= {"outcome": "failed", "failure": classify(failure).value, "message": message}
    elif isinstance(outcome, BaseException):
        entry |= {"outcome": "interrupted", "message": type(outcome).__name__}
    else:
        entry["outcome"] = outcome.status
        if outcome.failure is not None:
            entry |= {"failure": classify(outcome.failure).value, "message": outcome.failure.message}
    _append(folder, entry)


def read_attempts(folder: Path) -> list[Attempt]:
    """The attempts at the trial of ``folder``, oldest first. A line that was cut short is left out."""
    path = folder / ATTEMPTS_FILE
    attempts: dict[int, Attempt] = {}
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
            number = int(entry.pop("attempt"))
            if number in attempts:
                attempts[number] = replace(attempts[number], **entry)
            else:
                attempts[number] = Attempt(number, **entry)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return list(attempts.values())


def run_attempt(
    trial: Trial, place: Place, tick: Tick, run: Run | None = None, launch: Launch | None = None
) -> TrialRecord:
    """:func:`study.running.run_trial.run_trial`, noted as an attempt and alone in the trial's folder.

    A trial that runs out of memory is begun anew with half as many clips in one pass, until it fits: each time an
    attempt of its own. One that was interrupted goes on with as many as it had.

    Args:
        trial: what to run.
        place: where.
        tick: called with the number of epochs done after each.
        run: what runs the trial; ``run_trial`` when None.
        launch: what runs it where it asks for several processes and ``run`` is None.

    Raises:
        Superseded: when a newer attempt has begun.
        LostProcessError: when one of several processes died.
        SchedulingError: when nothing is given that launches several.
        StoreError: when the attempt before this one does not let go of the folder.
    """
    several = trial.settings.resources.processes > 1 and run is None
    if several and launch is None:
        raise SchedulingError(
            f"resources.processes: {trial.settings.resources.processes}: several processes are started by launch only; "
            "allowed here: 1"
        )
    size = place.micro_batch or _recall_micro_batch(place.folder)
    while True:
        record = _run_once(trial, replace(place, micro_batch=size), tick, run, launch if several else None)
        size = halve_micro_batch(record, trial.settings.training.batch_size)
        if size is None:
            return record


def attempt_apart(job: Job, tick: Tick, run: Run | None = None, launch: Launch | None = None) -> str:
    """:func:`run_attempt` for an executor, which has other trials too: what one of them raises ends that one only.

    Most errors of a trial are in its record. Those that arrive here left it without one, or kept a finished trial
    from being measured again; its record is then as it was.

    Returns:
        What was raised, in a line; empty when there is a record of this attempt. KeyboardInterrupt and SystemExit
        pass through.

    Raises:
        LostProcessError: when one of several processes died; the trial is to be tried again.
    """
    try:
        run_attempt(job.trial, job.place, tick, run, launch)
    except LostProcessError:
        raise
    except Superseded:
        return "another attempt at it has begun elsewhere"
    except Exception as error:
        return f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return ""


def _run_once(trial: Trial, place: Place, tick: Tick, run: Run | None, launch: Launch | None) -> TrialRecord:
    number = begin_attempt(place.folder, place.micro_batch)
    claim = Claim(place.folder, number, socket.gethostname(), os.getpid())
    try:
        if launch is not None:
            record = launch(trial, place, tick, claim)
        else:
            work = run or _load_run_trial()
            record = claim.work(lambda apart: work(trial, place, apart), tick)
    except LostProcessError:
        # As one of a single process that died: without a word.
        raise
    except BaseException as error:
        # A full disk must not take the place of what happened, least of all of Ctrl+C.
        with suppress(OSError):
            end_attempt(place.folder, number, error)
        raise
    end_attempt(place.folder, number, record)
    return record


def _recall_micro_batch(folder: Path) -> int | None:
    """The micro-batch of the attempt that is to be gone on with; None where none was interrupted."""
    attempts = read_attempts(folder)
    if not attempts or attempts[-1].outcome == "completed":
        return None
    # A failed attempt is gone on with where its weights were kept: the disk was full, or its record was not written.
    unfinished = attempts[-1].outcome in ("died", "interrupted") or (folder / "checkpoint.pt").exists()
    return attempts[-1].micro_batch if unfinished else None


def _load_run_trial() -> Run:
    """Imported when it is first needed: torch comes with it."""
    from study.running.run_trial import run_trial

    return run_trial


def _acquire(lock: FileLock, claim: Claim) -> None:
    """Take the folder of a trial, once whoever is at work there has stopped.

    Raises:
        Superseded: when a newer attempt has begun.
        StoreError: when the attempt before this one hangs.
    """
    try:
        lock.acquire(timeout=WAIT_SECONDS, poll_interval=0.2)
    except Timeout:
        others = [a for a in read_attempts(claim.folder) if a.ended_at is None and a.number != claim.number]
        who = f"process {others[-1].pid} on {others[-1].host}" if others else "another process"
        raise StoreError(
            f"{claim.folder}: {who} has held this trial for {WAIT_SECONDS / 60:.0f} minutes without finishing an "
            "epoch; end it, then launch again"
        ) from None
    if not claim.is_newest():
        raise Superseded


def _append(folder: Path, entry: dict[str, Any]) -> None:
    """Add one line. A single write to a file opened for appending is not torn by another process that does the same."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ATTEMPTS_FILE
    # What a process left behind that died amid a line is ended first, so that the new line stands by itself.
    torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (("\n" if torn else "") + json.dumps(entry, sort_keys=True) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
