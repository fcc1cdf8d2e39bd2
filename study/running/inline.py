"""The executor that is a ``for`` loop: for tests, notebooks, and machines without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from study.running.attempts import Run, attempt_apart
from study.running.executor import Events, Job
from study.spec.training import ResourcesSpec


@dataclass(frozen=True)
class InlineExecutor:
    """Runs the jobs one after the other in this process.

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
            problem = attempt_apart(job, partial(events.epoch, trial_id), self.run_one)
            events.ended(trial_id, problem)
