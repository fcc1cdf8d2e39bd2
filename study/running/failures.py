"""What kind of failure ended a trial, and what is to be done about it."""

from __future__ import annotations

import inspect
from enum import StrEnum

from study import errors
from study.spec.record import Failure


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
    CODE = "code error"
    """A defect; running it again gives the same."""


ADVICE: dict[FailureClass, str] = {
    FailureClass.OUT_OF_MEMORY: "give it a device with more memory, then launch --retry failed",
    FailureClass.BAD_DATA: "mend or leave out what is named (data check does), then launch --retry failed",
    FailureClass.BAD_REQUEST: "mend the experiment or the resources",
    FailureClass.DIVERGED: "a result of its own: lower the learning rate in a new experiment, for all arms alike",
    FailureClass.NO_SPACE: "make room, then launch --retry failed",
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
    if failure.kind == "DivergedError":
        return FailureClass.DIVERGED
    if any(text in failure.message for text in OS_ERRORS):
        return FailureClass.NO_SPACE
    known = dict(inspect.getmembers(errors, inspect.isclass)).get(failure.kind)
    if known is not None and issubclass(known, errors.DataError):
        return FailureClass.BAD_DATA
    if known is not None and issubclass(known, BAD_REQUESTS):
        return FailureClass.BAD_REQUEST
    return FailureClass.CODE
