"""A launch on this machine opens nothing to the network, and nobody without its token is let in."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from study.running.store import Store
from tests.faults.grid import ToyGrid
from tests.faults.processes import is_alive, launched, name_of, wait_for

LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")
LISTENING = "0A"
"""State of a socket in /proc/net/tcp."""


def listening_addresses(pids: Iterable[int]) -> dict[str, str]:
    """Address and port of every TCP socket that the processes listen on, with the name of one of them (Linux)."""
    inodes = {}
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(handle))
                if match:
                    inodes[match[1]] = name_of(pid)
    found = {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                host, port = fields[1].split(":")
                words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
                address = socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))
                found[f"{address} {int(port, 16)}"] = inodes[fields[9]]
    return found


def test_the_list_of_listening_sockets_is_complete() -> None:
    """The test below would pass if it saw nothing."""
    with socket.create_server(("127.0.0.1", 0)) as near, socket.create_server(("", 0)) as far:
        found = listening_addresses([os.getpid()])
        assert f"127.0.0.1 {near.getsockname()[1]}" in found
        assert f"0.0.0.0 {far.getsockname()[1]}" in found
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as near:
        assert f"::1 {near.getsockname()[1]}" in listening_addresses([os.getpid()])


@pytest.mark.slow
def test_ray_on_this_machine_listens_to_this_machine_and_asks_for_its_token(
    tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    # More than can be done before the intruder has its answer; a client of a Ray that is gone waits for minutes.
    grid = ToyGrid(Store.at(tmp_path / "store"), epochs=5000, specs=("table8",))
    grid.store.root.mkdir()
    grid.store.data.symlink_to(toy_data)
    with launched(grid.arguments(), tmp_path / "launch.log") as launch:
        wait_for(lambda: grid.count_epochs() >= 1 or not launch.running(), 180, "an epoch is done")
        assert launch.running(), launch.output
        pids = [pid for pid in (launch.process.pid, *launch.children()) if is_alive(pid)]
        sockets = listening_addresses(pids)
        assert any("gcs_server" in name for name in sockets.values()), sockets
        assert any("raylet" in name for name in sockets.values()), sockets
        outside = {place: name for place, name in sockets.items() if place.split()[0] not in LOOPBACK}
        assert not outside, outside
        assert not (tmp_path / "home" / ".ray" / "auth_token").exists(), "the token is in no file"
        (gcs,) = (
            place.split()[1]
            for place, name in sockets.items()
            if "gcs_server" in name and is_gcs(place, pids)
        )
        intruder = connect(gcs)
        assert launch.running(), launch.output
        assert intruder.returncode != 0, intruder.stdout
        assert "nthenticat" in intruder.stderr or "oken" in intruder.stderr, intruder.stderr


def is_gcs(place: str, pids: Iterable[int]) -> bool:
    """Whether the raylet was told to find the GCS at ``place``, rather than another port of its process."""
    return any(f"--gcs-address=127.0.0.1:{place.split()[1]}" in name_of(pid) for pid in pids)


def connect(port: str) -> subprocess.CompletedProcess[str]:
    """Try to run something on the Ray at ``port``, with a token that is not its own."""
    code = f"import ray; ray.init(address='127.0.0.1:{port}'); print(ray.cluster_resources())"
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
