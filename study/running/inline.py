"""The executor that is a ``for`` loop: for tests, notebooks, and machines without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from study.running.executor import Events, Job
from study.running.run_trial import run_trial


class InlineExecutor:
    """Runs the jobs one after the other in this process."""

    def run(self, jobs: Sequence[Job], events: Events) -> None:
        """See :class:`study.running.executor.Executor`."""
        for job in jobs:
            trial_id = job.trial.trial_id
            events.started(trial_id)
            run_trial(job.trial, job.place, partial(events.epoch, trial_id))
            events.ended(trial_id)
