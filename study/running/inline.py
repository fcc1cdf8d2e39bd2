"""The executor that is a ``for`` loop: for tests, notebooks, and machines without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from study.running.attempts import run_attempt
from study.running.executor import Events, Job


class InlineExecutor:
    """Runs the jobs one after the other in this process."""

    def run(self, jobs: Sequence[Job], events: Events) -> None:
        """See :class:`study.running.executor.Executor`."""
        for job in jobs:
            trial_id = job.trial.trial_id
            events.started(trial_id)
            run_attempt(job.trial, job.place, partial(events.epoch, trial_id))
            events.ended(trial_id)
