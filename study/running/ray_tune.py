"""The executor on Ray Tune: the only file that imports Ray.

Ray schedules and nothing more. It is given the ids of trials; each worker reads its trial from the store and
leaves its record there. Tune's own notion of what exists and what is done is never consulted: its ``restore``
ignores changed values, and an interrupted ``fit`` returns as if all were well.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from typing import Any

from study.errors import SchedulingError
from study.running.executor import Events, Job

# All of these are read when Ray is imported or when its processes start.
SETTINGS = {
    # Tune prints nothing of its own; our progress table takes its place.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # No CSV, JSON and TensorBoard files beside our records; importing tensorboardX alone costs 0.5 GB.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers use the interpreter of the driver; Ray would otherwise start each through "uv run".
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Trials are named by absolute paths and need no working directory of their own.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Tune's handler lets an interrupted ``fit`` return as if all trials had ended; without it we hear of it.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The behavior of Ray's next release; it would otherwise warn about it at every start.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Binds every port of a local Ray to 127.0.0.1; a cluster of several machines must be without it."""


@dataclass(frozen=True)
class RayExecutor:
    """Runs the jobs as trials of Ray Tune.

    Attributes:
        address: a running cluster's address; None starts Ray on this machine for the duration of the run.
        max_concurrent: most trials at a time; None for as many as the resources allow.
    """

    address: str | None = None
    max_concurrent: int | None = None

    def run(self, jobs: Sequence[Job], events: Events) -> None:
        """See :class:`study.running.executor.Executor`.

        Raises:
            SchedulingError: when no node can give a trial the CPUs and GPUs it asks for; Ray would wait for
                ever.
        """
        os.environ.update(SETTINGS | ({} if self.address else LOOPBACK))
        import ray

        on_terminate = signal.getsignal(signal.SIGTERM)
        ray.init(
            address=self.address or "local",
            include_dashboard=False if self.address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        if threading.current_thread() is threading.main_thread():
            # Ray has put its own handler in place, which aborts the process.
            signal.signal(signal.SIGTERM, on_terminate)
        try:
            _check_resources(jobs, ray.nodes())  # type: ignore[no-untyped-call]
            with tempfile.TemporaryDirectory(prefix="sth-tune-") as scratch:
                _fit(jobs, events, scratch, self.max_concurrent)
        finally:
            ray.shutdown()


def _check_resources(jobs: Sequence[Job], nodes: list[dict[str, Any]]) -> None:
    offers = [node["Resources"] for node in nodes if node["Alive"]]
    for job in jobs:
        wanted = job.trial.settings.resources
        if any(o.get("CPU", 0) >= wanted.cpus and o.get("GPU", 0) >= wanted.gpus for o in offers):
            continue
        have = "; ".join(f"{o.get('CPU', 0):g} CPUs, {o.get('GPU', 0):g} GPUs" for o in offers) or "none"
        raise SchedulingError(
            f"resources: a trial asks for {wanted.cpus:g} CPUs and {wanted.gpus:g} GPUs, and no node has them "
            f"(nodes: {have}). Lower it with --set resources.cpus=… --set resources.gpus=… or another --profile"
        )


def _fit(jobs: Sequence[Job], events: Events, scratch: str, max_concurrent: int | None) -> None:
    from ray import tune

    by_id = {job.trial.trial_id: job for job in jobs}

    def resources(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        wanted = by_id[config["trial"]].trial.settings.resources
        return tune.PlacementGroupFactory([{"CPU": wanted.cpus, "GPU": wanted.gpus}])

    tuner = tune.Tuner(
        tune.with_resources(_make_trainable(by_id), resources),
        param_space={"trial": tune.grid_search(list(by_id))},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=max_concurrent,
            trial_name_creator=lambda trial: trial.config["trial"],
            trial_dirname_creator=lambda trial: trial.config["trial"],
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=scratch,
            callbacks=[_make_listener(events)],
            verbose=0,
            # A worker that dies with its machine is tried again; errors inside a trial become records.
            failure_config=tune.FailureConfig(max_failures=2),
        ),
    )
    tuner.fit()


def _make_listener(events: Events) -> Any:
    """A callback of Tune that passes its events on."""
    from ray import tune

    class Listener(tune.Callback):
        """Holds ``events`` outside of its state: Tune pickles its callbacks for a restore that we never do."""

        events: Events

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.events.started(trial.config["trial"])

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            if "epoch" in result:
                self.events.epoch(trial.config["trial"], result["epoch"])

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.events.ended(trial.config["trial"])

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.events.ended(trial.config["trial"])

        def __getstate__(self) -> dict[str, Any]:
            return {}

    listener = Listener()
    listener.events = events
    return listener


def _make_trainable(jobs: dict[str, Job]) -> Callable[[dict[str, Any]], None]:
    """The function that a worker runs; it carries folders and resolved trials, no code.

    It runs in the driver's working directory, so that relative paths in an experiment mean the same files.
    """
    directory = os.getcwd()
    places = {trial_id: (job.trial.to_json(), job.place) for trial_id, job in jobs.items()}

    def trainable(config: dict[str, Any]) -> None:
        from ray import tune

        from study.running.attempts import run_attempt
        from study.spec.trial import Trial

        trial, place = places[config["trial"]]
        with chdir(directory):
            run_attempt(Trial.from_json(trial), place, lambda epoch: tune.report({"epoch": epoch}))

    return trainable
