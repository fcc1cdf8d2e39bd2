"""One node of a Ray cluster, in a process of its own: a machine as far as Ray can tell.

    python -m tests.faults.ray_node '{"num_cpus": 2}' [ADDRESS] [--hide FOLDER]

Without an address it is the head. ``--hide`` covers a folder for this node and its workers, as where a file system is
not mounted; the program must then have been started by ``unshare --mount``. It prints one line of JSON and lives until
its standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.processes import ROOT, descendants

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass
class FakeNode:
    """A running node.

    Attributes:
        process: what holds it.
        address: of the cluster's head.
        raylet: Ray's own process on the node.
    """

    process: subprocess.Popen[str]
    address: str
    raylet: int

    def lose_power(self) -> None:
        """SIGKILL for everything that Ray runs on it.

        Without its raylet alone a worker may go on until the cluster misses the node, long enough to end a short trial.
        """
        for pid in [self.raylet, *descendants(self.raylet)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def ray_node(
    resources: Mapping[str, object], address: str = "", *, hide: Sequence[Path] = ()
) -> Iterator[FakeNode]:
    """A node with ``resources`` (``num_cpus``, ``num_gpus``, ``resources``), for the duration of the block."""
    command = [sys.executable, "-m", "tests.faults.ray_node", json.dumps(dict(resources))]
    command += [address] if address else []
    command += [f"--hide={folder}" for folder in hide]
    process = subprocess.Popen(
        ["unshare", "--mount", *command] if hide else command,
        cwd=ROOT,
        env=os.environ | LOOPBACK,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the node ended with {process.wait()}"
        yield FakeNode(process, **json.loads(line))
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def can_unshare() -> bool:
    """Whether this user may give a process file systems of its own."""
    try:
        return (
            subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


def main(resources: str, *rest: str) -> None:
    """Be a node until standard input ends."""
    hidden = [text.removeprefix("--hide=") for text in rest if text.startswith("--hide=")]
    address = next((text for text in rest if not text.startswith("--hide=")), "")
    for folder in hidden:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    params = RayParams(
        gcs_address=address or None,
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        min_worker_port=0,
        max_worker_port=0,
        **json.loads(resources),
    )
    node = Node(params, head=not address, shutdown_at_exit=True, spawn_reaper=False)
    raylet = node.all_processes["raylet"][0].process.pid
    print(json.dumps({"address": node.gcs_address, "raylet": raylet}), flush=True)
    sys.stdin.read()
    node.kill_all_processes(check_alive=False, allow_graceful=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
