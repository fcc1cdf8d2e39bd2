"""The executor on Ray Tune: the only package that imports Ray.

Ray schedules and nothing more. It is given the ids of trials; each worker unpacks its trial and leaves the record in
the store. Tune's own notion of what exists and what is done is never consulted: its ``restore`` ignores changed values,
and an interrupted ``fit`` returns as if all were well.

On a cluster (``address``) the driver ships its code, and looks at every node that could hold a trial before the first
one starts (:mod:`study.running.preflight`), and at those that join later. See docs/cluster.md.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from typing import Any

from study.errors import SchedulingError
from study.running.attempts import Run, attempt_apart
from study.running.demand import count_concurrent
from study.running.executor import Events, Job
from study.running.interruption import held
from study.running.preflight import Survey, meeting_point, wait_for_marker
from study.running.ray_tune.connection import await_resources, connected, list_offers
from study.running.ray_tune.listener import make_listener
from study.running.ray_tune.nodes import MOUNT_SECONDS, NodeWatch
from study.running.ray_tune.train import TrainLauncher, bundle_of_trial
from study.spec.training import ResourcesSpec


@dataclass(frozen=True)
class RayExecutor:
    """Runs the jobs as trials of Ray Tune.

    Attributes:
        address: a running cluster's address; None starts Ray on this machine for the duration of the run.
        max_concurrent: most trials at a time; None for as many as the resources allow.
        wait_seconds: how long to wait for nodes that can hold the trials, on a cluster that grows when asked.
        run_one: what runs a trial; ``run_trial`` when None.
    """

    address: str | None = None
    max_concurrent: int | None = None
    wait_seconds: float = 0.0
    run_one: Run | None = None

    def capacity(self, asked: Sequence[ResourcesSpec]) -> int:
        """See :class:`study.running.executor.Executor`. A cluster is joined for a moment to ask its nodes."""
        if self.address is None:
            offers = [_offer_here(asked)]
        else:
            with connected(self.address):
                offers = list_offers()
        return min(count_concurrent(asked, offers), self.max_concurrent or len(asked) or 1)

    def run(self, jobs: Sequence[Job], events: Events) -> None:
        """See :class:`study.running.executor.Executor`.

        Raises:
            SchedulingError: when the cluster cannot be reached, when no node can give a trial what it asks for (Ray
                would wait for ever), or when a node does not see the store, the data or this code.
        """
        with connected(self.address):
            import ray

            await_resources(jobs, self.address, self.wait_seconds)
            with (
                tempfile.TemporaryDirectory(prefix="sth-tune-") as scratch,
                meeting_point(jobs) if self.address else nullcontext() as survey,
            ):
                watch = None
                if survey is not None:
                    watch = NodeWatch(survey, jobs)
                    watch.check_all(ray.nodes())  # type: ignore[no-untyped-call]
                run_jobs(self, jobs, make_listener(events, watch), survey, scratch)


def _offer_here(asked: Sequence[ResourcesSpec]) -> dict[str, float]:
    """What Ray will find on this machine once it runs."""
    offer = {"CPU": float(os.cpu_count() or 1)}
    if any(resources.gpus for resources in asked):
        import torch

        offer["GPU"] = float(torch.cuda.device_count())
    return offer


def run_jobs(
    executor: RayExecutor, jobs: Sequence[Job], listener: Any, survey: Survey | None, scratch: str
) -> None:
    from ray import tune

    by_id = {job.trial.trial_id: job for job in jobs}
    parcels = _Parcels.pack(jobs)
    tuner = tune.Tuner(
        tune.with_resources(
            _make_trainable(parcels, survey, executor.run_one),
            lambda config: tune.PlacementGroupFactory([dict(config["resources"])]),
        ),
        # What a worker needs to know of its own trial only: all of this travels to each.
        param_space={
            "trial": tune.grid_search(list(by_id)),
            "resources": tune.sample_from(
                lambda config: bundle_of_trial(by_id[config["trial"]].trial.settings.resources)
            ),
            "span": tune.sample_from(lambda config: parcels.spans[config["trial"]]),
        },
        tune_config=tune.TuneConfig(
            max_concurrent_trials=executor.max_concurrent or _limit_concurrent(jobs),
            trial_name_creator=lambda trial: trial.config["trial"],
            trial_dirname_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,
            callbacks=[listener],
            verbose=0,
            # A worker that dies with its machine is tried again; errors inside a trial become records.
            failure_config=tune.FailureConfig(max_failures=2),
        ),
    )
    with held():
        tuner.fit()


def _limit_concurrent(jobs: Sequence[Job]) -> int | None:
    """How many trials Tune may start at a time; None where what they occupy says so itself.

    One of several processes would otherwise start at once and wait for room for its workers, all of them together.
    """
    asked = [job.trial.settings.resources for job in jobs]
    if all(resources.processes == 1 for resources in asked):
        return None
    return count_concurrent(asked, list_offers())


@dataclass(frozen=True)
class _Parcels:
    """The jobs of a run, of which each worker unpacks its own.

    Attributes:
        store: reference to all of them in Ray's object store, where a machine's workers share one copy.
        spans: where the parcel of each trial begins and ends.
    """

    store: Any
    spans: Mapping[str, tuple[int, int]]

    @classmethod
    def pack(cls, jobs: Sequence[Job]) -> _Parcels:
        import numpy as np
        import ray

        content, spans = bytearray(), {}
        for job in jobs:
            begin = len(content)
            content += json.dumps(job.to_json()).encode()
            spans[job.trial.trial_id] = (begin, len(content))
        return cls(ray.put(np.frombuffer(bytes(content), dtype=np.uint8)), spans)


def _make_trainable(
    parcels: _Parcels, survey: Survey | None, run_one: Run | None
) -> Callable[[dict[str, Any]], None]:
    """The function that a worker runs; it carries folders and resolved trials, no code.

    It runs in the driver's working directory, so that relative paths in an experiment mean the same files.
    """
    directory, store = os.getcwd(), parcels.store
    launch = TrainLauncher(survey.meeting if survey is not None else None)

    def trainable(config: dict[str, Any]) -> None:
        import ray
        from ray import tune

        begin, end = config["span"]
        job = Job.from_json(json.loads(ray.get(store)[begin:end].tobytes()))
        if survey is not None and not wait_for_marker(survey.meeting, survey.token, MOUNT_SECONDS):
            raise SchedulingError(f"this node does not see the store {survey.meeting.parent}")
        # A cluster's node need not have that folder where all paths are absolute: the preflight has looked.
        with chdir(directory) if os.path.isdir(directory) else nullcontext():
            problem = attempt_apart(job, lambda epoch: tune.report({"epoch": epoch}), run_one, launch)
        if problem:
            # Not raised: Tune would try it again, as if the machine were to blame.
            tune.report({"problem": problem})

    return trainable
