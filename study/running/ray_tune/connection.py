"""Starting Ray on this machine, or joining a cluster, and waiting for what the trials need."""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import study
from study.errors import SchedulingError
from study.running.commit import COMMIT_VARIABLE, find_commit
from study.running.demand import describe_misfit, find_misfits
from study.running.executor import Job
from study.running.interruption import held
from study.running.ray_token import protect_token_file, set_up_local_token
from study.running.ray_tune.vital import told_of_death

logger = logging.getLogger(__name__)

# All of these are read when Ray is imported or when its processes start.
SETTINGS = {
    # Tune prints nothing of its own; our progress table takes its place.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # No CSV, JSON and TensorBoard files beside our records; importing tensorboardX alone costs 0.5 GB.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # It writes its own state, which nobody restores, once in the end: until then it keeps 11 KiB of it a trial.
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers use the interpreter of the driver; Ray would otherwise start each through "uv run".
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Trials are named by absolute paths and need no working directory of their own.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Tune's handler lets an interrupted ``fit`` return as if all trials had ended; without it we hear of it.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Ray's C++ handler gives a process that has SIGTERM three seconds and then aborts it, amid its saving.
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
    # The behavior of Ray's next release; it would otherwise warn about it at every start.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Binds every port of a local Ray to 127.0.0.1; a cluster of several machines must be without it."""
CONNECT_SECONDS = 10.0
"""How long the head of a cluster may take to answer at all."""
WORKER_SETTINGS = ("RAY_CHDIR_TO_TRIAL_DIR",)
"""Those that workers read themselves; on a cluster they do not inherit the driver's environment."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Start Ray here, or join the cluster at ``address``, for the duration of the block."""
    if address is not None:
        _check_address(address)
    os.environ.update(SETTINGS | ({} if address else LOOPBACK))
    set_up_local_token() if address is None else protect_token_file()
    import ray

    try:
        # Parts of it swallow whatever is raised in them.
        with held(), _without_rays_handler():
            ray.init(
                address=address or "local",
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=_describe_environment() if address else None,
            )
    except KeyboardInterrupt:
        with _without_collecting():
            ray.shutdown()
        raise
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if address is None:
            raise
        raise SchedulingError(
            f"--address {address}: {error}. Does `ray status --address …` answer on this machine, with the same "
            "RAY_AUTH_MODE and token?"
        ) from None
    try:
        with told_of_death():
            yield
    finally:
        with held(), _without_collecting():
            ray.shutdown()


@contextmanager
def _without_rays_handler() -> Iterator[None]:
    """Keep Ray from taking over SIGTERM: what its Python handler raises may be lost, where ours is tried again."""
    from ray._private import utils

    theirs = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = theirs


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Let no garbage collector run amid Ray's shutdown.

    It runs in whichever thread comes to it. In another one, MLflow's say, it may find a reference of Ray's at the very
    moment at which Ray has ended and does not yet say so, and Ray then ends the whole process.
    """
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check_address(address: str) -> None:
    """Raise SchedulingError for an address where nobody listens: Ray would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise SchedulingError(
            f"--address {address}: launch on a node of the cluster, with --address auto, or HOST:PORT of its head"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SchedulingError(f"--address {address}: no Ray answers there: {error}") from None


def _describe_environment() -> dict[str, Any]:
    """What every worker of a cluster gets: this package, whatever is installed there, and settings."""
    variables = {name: SETTINGS[name] for name in WORKER_SETTINGS}
    commit = find_commit()
    if commit:
        variables[COMMIT_VARIABLE] = commit
    return {
        "py_modules": [str(Path(study.__file__).parent)],
        "excludes": ["**/__pycache__"],
        "env_vars": variables,
    }


def await_resources(jobs: Sequence[Job], address: str | None, seconds: float) -> None:
    """Raise SchedulingError for what the nodes cannot hold, after ``seconds`` in which a cluster may have grown."""
    deadline, asked = time.monotonic() + seconds, False
    try:
        while True:
            offers = list_offers()
            misfits = find_misfits(jobs, offers)
            if not misfits:
                return
            if time.monotonic() >= deadline:
                raise SchedulingError(describe_misfit(misfits[0], offers, growing=address is not None))
            if not asked:
                asked = True
                logger.warning(
                    "waiting up to %.0f s for nodes with %d x %s",
                    seconds,
                    misfits[0].processes,
                    dict(misfits[0].bundle),
                )
                _ask_autoscaler([dict(wanted.bundle) for wanted in misfits for _ in range(wanted.processes)])
            time.sleep(1)
    finally:
        if asked:
            _ask_autoscaler([])


def list_offers() -> list[dict[str, float]]:
    """What each node that is alive has altogether, by Ray's names."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _ask_autoscaler(bundles: list[dict[str, float]]) -> None:
    """Ask for nodes that hold ``bundles``; the request stands until the next one."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)
