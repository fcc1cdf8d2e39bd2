"""Stands in for the pool of processes where a test is not about processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from study.data.jobs import JobFailure, Outcome
from study.errors import StudyError


def run_inline(
    function: Callable[[Any], Any], items: Sequence[Any], *, workers: int, limit_s: float
) -> Iterator[Outcome[Any, Any]]:
    """What :func:`study.data.jobs.run_jobs` does, in this process."""
    for item in items:
        try:
            yield Outcome(item, function(item), None)
        except StudyError as error:
            yield Outcome(item, None, JobFailure("error", str(error)))
