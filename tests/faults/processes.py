"""Processes that a test started itself: found below their parent, ended by their ids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from study.tracking import SETTINGS
from study.tracking.ui import LIGHT

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def descendants(pid: int) -> list[int]:
    """Processes below ``pid``, from /proc."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        children = [child for child, parent in parents.items() if parent == current]
        found += children
        queue += children
    return found


def name_of(pid: int) -> str:
    """What the process calls itself: its command line, or "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def birth_of(pid: int) -> int:
    """When the process began, in ticks since the machine did; 0 when it is gone. Tells it from a later namesake."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def wait_for(condition: Callable[[], object], seconds: float, what: str = "") -> None:
    """Wait until ``condition`` holds; an AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Launch:
    """``run_study.py launch …`` in a process group of its own, with everything that it starts."""

    def __init__(
        self, arguments: Sequence[str], log: Path, command: str = "launch", root: Path = ROOT
    ) -> None:
        self.log = log
        self._file = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(root / "run_study.py"), command, *arguments],
            stdout=self._file,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=os.environ | QUIET,
            start_new_session=True,
        )
        self._seen: dict[int, int] = {}

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def running(self) -> bool:
        return self.process.poll() is None

    def children(self) -> list[int]:
        """Every process below it; all that were ever seen are remembered."""
        pids = descendants(self.process.pid)
        self._seen |= {pid: birth_of(pid) for pid in pids}
        return pids

    def survivors(self) -> list[int]:
        """Processes seen below it that are still there."""
        self.children()
        return [pid for pid, born in self._seen.items() if is_alive(pid) and birth_of(pid) == born]

    def find(self, part: str) -> list[int]:
        """Its processes whose command line holds ``part``, those included that it has left behind."""
        return [pid for pid in self.survivors() if part in name_of(pid)]

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None

    def kill(self, pid: int) -> None:
        """SIGKILL for one of its processes, or for itself."""
        self.children()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def clean_up(self) -> None:
        """Leave nothing behind."""
        survivors = self.survivors()
        self.process.kill()
        self.process.wait()
        for pid in survivors:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._file.close()


@contextmanager
def launched(
    arguments: Sequence[str], log: Path, command: str = "launch", root: Path = ROOT
) -> Iterator[Launch]:
    """A :class:`Launch` of the checkout ``root`` that ends with the block."""
    launch = Launch(arguments, log, command, root)
    try:
        yield launch
    finally:
        launch.clean_up()


class Server:
    """A real MLflow server on loopback that can be killed and started again on the same data."""

    def __init__(self, folder: Path, backend: str | None = None, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self.backend = backend or f"sqlite:///{folder / 'server.db'}"
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 90) -> None:
        """Start it and wait until it answers."""
        self.begin()
        wait_for(self.answers, seconds, "the server answers")

    def begin(self) -> None:
        """Start it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | SETTINGS | LIGHT,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether it is up."""
        assert self._process is None or self._process.poll() is None, (
            self.folder / "server.log"
        ).read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL for it and its worker, which are a process group that we made."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def serving(folder: Path, backend: str | None = None) -> Iterator[Server]:
    """A running :class:`Server`."""
    server = Server(folder, backend)
    server.start()
    try:
        yield server
    finally:
        server.kill()
