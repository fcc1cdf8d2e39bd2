"""What kind of failure ended a trial, and what is to be done about it."""

from __future__ import annotations

import inspect
from enum import StrEnum

from study import errors
from study.spec.record import Failure, TrialRecord


class FailureClass(StrEnum):
    """Kinds of failures, by what mends them."""

    OUT_OF_MEMORY = "out of memory"
    """The device has too little memory: a smaller batch or model, or another device."""
    BAD_DATA = "bad data"
    """A video, list or folder is missing or unreadable; the message names it."""
    BAD_REQUEST = "bad request"
    """The trial cannot be built as asked: model, weights, resources or store."""
    DIVERGED = "diverged"
    """The loss is no longer finite: the recipe, not the machine."""
    NO_SPACE = "no space"
    """The disk is full or cannot be written."""
    STOPPED = "given up"
    """Not an error: the trial's own rule for early stopping."""
    CODE = "code error"
    """A defect; running it again gives the same."""


ADVICE: dict[FailureClass, str] = {
    FailureClass.OUT_OF_MEMORY: (
        "not even one clip at a time fits: give it a device with more memory, then launch --retry failed"
    ),
    FailureClass.BAD_DATA: "mend or leave out what is named (data check does), then launch --retry failed",
    FailureClass.BAD_REQUEST: "mend the experiment or the resources",
    FailureClass.DIVERGED: "a result of its own: lower the learning rate in a new experiment, for all arms alike",
    FailureClass.NO_SPACE: "make room, then launch --retry failed",
    FailureClass.STOPPED: "a result without a number; the rule (training.stop) is part of what the trial is",
    FailureClass.CODE: "a defect; the traceback is in record.json",
}
"""What to do about each."""
BAD_REQUESTS = (errors.SpecError, errors.ModelError, errors.StoreError, errors.SchedulingError)
OS_ERRORS = ("No space left on device", "Disk quota exceeded", "Read-only file system")


def classify(failure: Failure) -> FailureClass:
    """The class of ``failure``, from the name of its exception and its message.

    Records hold names of exceptions, not the exceptions: they are read where torch may be absent.
    """
    if "OutOfMemory" in failure.kind or "out of memory" in failure.message.lower():
        return FailureClass.OUT_OF_MEMORY
    by_name = {"DivergedError": FailureClass.DIVERGED, "StoppedError": FailureClass.STOPPED}
    if failure.kind in by_name:
        return by_name[failure.kind]
    if any(text in failure.message for text in OS_ERRORS):
        return FailureClass.NO_SPACE
    known = dict(inspect.getmembers(errors, inspect.isclass)).get(failure.kind)
    if known is not None and issubclass(known, errors.DataError):
        return FailureClass.BAD_DATA
    if known is not None and issubclass(known, BAD_REQUESTS):
        return FailureClass.BAD_REQUEST
    return FailureClass.CODE


def halve_micro_batch(record: TrialRecord, batch_size: int) -> int | None:
    """Clips of one pass with which a trial is tried again that ran out of memory; None when that is of no use.

    Args:
        record: what became of the attempt.
        batch_size: clips of one step.
    """
    if record.failure is None or classify(record.failure) is not FailureClass.OUT_OF_MEMORY:
        return None
    size = record.micro_batch or batch_size
    return size // 2 if size > 1 else None
