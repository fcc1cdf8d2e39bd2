"""Every attempt at a trial, whatever became of it: ``attempts.jsonl`` in the trial's folder.

Two lines an attempt, one when it begins and one when it ends. An attempt without a second line died with its process
or machine. The file is only ever added to, and outlives the record that a new attempt takes away.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from study.running.executor import Place
from study.running.failures import classify
from study.spec.record import TrialRecord
from study.spec.trial import Trial

ATTEMPTS_FILE = "attempts.jsonl"


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
    """

    number: int
    started_at: float
    host: str
    pid: int
    ended_at: float | None = None
    outcome: str = "died"
    failure: str = ""
    message: str = ""


def begin_attempt(folder: Path) -> int:
    """Note that an attempt begins in this process; returns its number."""
    number = len(read_attempts(folder)) + 1
    started = {"started_at": time.time(), "host": socket.gethostname(), "pid": os.getpid()}
    _append(folder, {"attempt": number, **started})
    return number


def end_attempt(folder: Path, number: int, outcome: TrialRecord | BaseException) -> None:
    """Note how attempt ``number`` ended: with a record, or by an exception that passed through."""
    entry: dict[str, Any] = {"attempt": number, "ended_at": time.time()}
    if isinstance(outcome, BaseException):
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
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
            number = int(entry.pop("attempt"))
            if number in attempts:
                attempts[number] = replace(attempts[number], **entry)
            else:
                attempts[number] = Attempt(number, **entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return list(attempts.values())


def run_attempt(trial: Trial, place: Place, tick: Callable[[int], None]) -> TrialRecord:
    """:func:`study.running.run_trial.run_trial`, noted as an attempt; arguments and result are its own."""
    from study.running.run_trial import run_trial

    number = begin_attempt(place.folder)
    try:
        record = run_trial(trial, place, tick)
    except BaseException as error:
        end_attempt(place.folder, number, error)
        raise
    end_attempt(place.folder, number, record)
    return record


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
