"""MLflow's own user interface over the store of a study, on this machine only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mlflow.entities import Experiment

from study.errors import StoreError
from study.tracking import SETTINGS
from study.tracking.redaction import public_base, redact_uri
from study.tracking.store import connect, find_experiment, is_server, sqlite_path
from study.tracking.view import runs_url

DEFAULT_PORT = 5000
START_SECONDS = 90.0
STOP_SECONDS = 15.0
# The job runner of MLflow 3 would start fifteen processes that take 2.4 GB; two with 0.4 GB show all we need.
LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve(
    uri: str,
    study: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the store at ``uri`` until the process is interrupted or terminated.

    Args:
        uri: the store.
        study: the study whose runs the address shows.
        host: address to listen on. There is no password: keep it on loopback and reach it through ssh.
        port: port to listen on; None for 5000, or a free one when that is taken.
        on_ready: called with the address of the study's runs once the server answers.

    Raises:
        StoreError: when the store holds no such study, the port is taken or the server does not come up.
    """
    experiment = _find(uri, study)
    if is_server(uri):
        if on_ready is not None:
            on_ready(runs_url(public_base(uri), experiment.experiment_id, experiment.tags))
        return
    chosen = _choose_port(host, port)
    with _server(uri, host, chosen) as process:
        base = f"http://{host}:{chosen}"
        _wait_until_up(process, base)
        if on_ready is not None:
            on_ready(runs_url(base, experiment.experiment_id, experiment.tags))
        process.wait()


def _find(uri: str, study: str) -> Experiment:
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        raise StoreError(f"{path}: no such database; run `launch` first")
    experiment = find_experiment(connect(uri), study)
    if experiment is None:
        raise StoreError(f"{redact_uri(uri)}: holds no study '{study}'; run `launch` first")
    return experiment


def _choose_port(host: str, port: int | None) -> int:
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError as error:
                problem = error.strerror or str(error)
                continue
            return int(probe.getsockname()[1])
    raise StoreError(f"cannot listen on {host}:{port}: {problem}")


@contextmanager
def _server(uri: str, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server in a process group of its own, which ends with this block, SIGTERM included."""
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        host,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    # Only the main thread may handle signals; another one leaves them to whoever owns the process.
    numbers = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    previous = {number: signal.signal(number, _interrupt) for number in numbers}
    process = subprocess.Popen(
        command,
        # Everybody on this machine can read the arguments of a process, only its owner the environment.
        env=os.environ | SETTINGS | LIGHT | {"MLFLOW_BACKEND_STORE_URI": uri},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    except KeyboardInterrupt:
        pass
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        _stop(process)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole process group to end, then make sure of it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _wait_until_up(process: subprocess.Popen[bytes], base: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StoreError(f"MLflow's server ended at once with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise StoreError(f"MLflow's server did not answer at {base} within {START_SECONDS:.0f} s")
