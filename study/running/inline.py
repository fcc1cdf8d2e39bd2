"""The executor that is a ``for`` loop: for tests, notebooks, and machines without Ray."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from study.running.attempts import LostProcessError, Run, Tick, attempt_apart
from study.running.executor import Events, Job
from study.running.ranks import MAX_LOSSES
from study.running.spawn import launch_here
from study.spec.training import ResourcesSpec


@dataclass(frozen=True)
class InlineExecutor:
    """Runs the jobs one after the other in this process, or in those that it starts for a trial of several.

    Attributes:
        run_one: what runs a trial; ``run_trial`` when None.
    """

    run_one: Run | None = None

    def capacity(self, asked: Sequence[ResourcesSpec]) -> int:
        """See :class:`study.running.executor.Executor`."""
        return 1

    def run(self, jobs: Sequence[Job], events: Events) -> None:
        """See :class:`study.running.executor.Executor`."""
        for job in jobs:
            trial_id = job.trial.trial_id
            events.started(trial_id)
            problem = self._run(job, partial(events.epoch, trial_id))
            events.ended(trial_id, problem)

    def _run(self, job: Job, tick: Tick) -> str:
        for _ in range(MAX_LOSSES):
            try:
                return attempt_apart(job, tick, self.run_one, launch_here)
            except LostProcessError as error:
                logging.getLogger(__name__).warning(
                    "trial %s: %s; it goes on after its last whole epoch", job.trial.trial_id, error
                )
        try:
            return attempt_apart(job, tick, self.run_one, launch_here)
        except LostProcessError as error:
            return str(error)
