"""The exceptions of this package, one tree.

    StudyError                  the user can mend it: the command line prints it plainly and exits with 2
      SpecError                 an experiment, a profile or an override is wrong; carries every problem found
      DataError                 a video, a list file or a folder is missing, unreadable or inconsistent
      ModelError                a model cannot be built as asked: no site to fill, channels that do not divide
      WeightsError              a weights file does not fit the model
      StoreError                the study's directory is locked, read-only or holds records it cannot read
      SchedulingError           the cluster cannot satisfy what a trial asks for
    CountError                  two independent counters disagree: a defect of ours, never of the user

Anything else that escapes is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StudyError(Exception):
    """Base of every error that a user of the harness can mend."""


class SpecError(StudyError):
    """A specification is wrong. ``problems`` holds one line for each defect found, all at once."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class DataError(StudyError):
    """A video, a list file or a folder is missing, unreadable or inconsistent."""


class ModelError(StudyError):
    """A model cannot be built as asked."""


class WeightsError(ModelError):
    """A weights file does not fit the model it was given for."""


class StoreError(StudyError):
    """The directory of the study is locked, read-only or holds what cannot be read."""


class SchedulingError(StudyError):
    """The machine or cluster cannot give a trial what it asks for."""


class CountError(Exception):
    """Two independent counts of one model disagree by more than the tolerance."""


def suggest(name: str, allowed: Iterable[str]) -> str:
    """A half-sentence that names what is allowed and, where one is near, what was probably meant.

    >>> suggest("hybird", ["hybrid", "merge_out"])
    "did you mean 'hybrid'? Allowed: hybrid, merge_out"
    """
    options = sorted(allowed)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}Allowed: {', '.join(options) or '(nothing)'}"
