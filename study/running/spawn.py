"""The processes of one trial on this machine, started and watched here.

They talk to each other over loopback and meet at a file. When one fails or dies, the others are ended: they would wait
for it. When this process dies, they end by themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from study.errors import SchedulingError
from study.running.attempts import Claim, LostProcessError, Superseded, Tick
from study.running.executor import Place
from study.running.ranks import run_rank, settle
from study.spec.record import TrialRecord
from study.spec.trial import Trial

PATIENCE_SECONDS = 10.0
"""How long a process may take to end after it was asked to."""


@dataclass
class _Rank:
    """A process, the connection on which it reports, and the pipe whose end tells it that this process is gone."""

    process: BaseProcess
    reports: Connection
    lifeline: Connection


@dataclass
class _Ended:
    """How the processes ended so far, by rank: the first to fail first."""

    failed: dict[int, TrialRecord] = field(default_factory=dict)
    done: dict[int, TrialRecord] = field(default_factory=dict)


def launch_here(trial: Trial, place: Place, tick: Tick, claim: Claim) -> TrialRecord:
    """Run ``trial`` in as many processes as it asks for; see :data:`study.running.attempts.Launch`.

    Raises:
        SchedulingError: when this machine has fewer GPUs than the trial asks for.
        LostProcessError: when a process died.
        Superseded: when a newer attempt has begun.
        StoreError: when the attempt before this one does not let go of the folder.
    """
    resources = trial.settings.resources
    devices = _choose_devices(resources.processes, resources.of_one_process().gpus)
    ended = _Ended()
    with tempfile.TemporaryDirectory(prefix="sth-group-") as scratch:
        jobs = [
            _Job(trial.to_json(), place, claim, rank, len(devices), str(Path(scratch) / "meeting"), device)
            for rank, device in enumerate(devices)
        ]
        with _started(jobs) as ranks:
            _watch(ranks, tick, ended)
            if ended.failed:
                # They wait for one that has failed, for ever if it is a GPU that does.
                _end(ranks, signal.SIGTERM)
    if ended.failed:
        return settle(place, claim, ended.failed)
    return ended.done[0]


def _choose_devices(processes: int, gpus: float) -> list[str]:
    """The device of each process; the CPU where there is no GPU at all, as for a trial of one process."""
    import torch

    if not gpus or not torch.cuda.is_available():
        return ["cpu"] * processes
    found = torch.cuda.device_count()
    if found < processes * gpus:
        raise SchedulingError(
            f"resources.gpus: a trial asks for {processes * gpus:g} GPUs, this machine has {found}"
        )
    return [f"cuda:{int(rank * gpus)}" for rank in range(processes)]


@contextmanager
def _started(jobs: list[_Job]) -> Iterator[list[_Rank]]:
    """The processes, which have ended when the block has."""
    # A fork would inherit torch's threads and locks.
    context = multiprocessing.get_context("spawn")
    ranks: list[_Rank] = []
    try:
        for job in jobs:
            reports, theirs = context.Pipe()
            far, lifeline = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(job, theirs, far), name=f"rank {job.rank}")
            process.start()
            theirs.close()
            far.close()
            ranks.append(_Rank(process, reports, lifeline))
        yield ranks
        for rank in ranks:
            with suppress(OSError):
                rank.reports.send(None)
            rank.process.join(PATIENCE_SECONDS)
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            _end(ranks, sign)
        for rank in ranks:
            rank.process.join()
            rank.reports.close()
            rank.lifeline.close()


def _end(ranks: list[_Rank], sign: signal.Signals) -> None:
    """Send ``sign`` to those that are still at work, and give them time."""
    alive = [rank.process for rank in ranks if rank.process.is_alive()]
    for process in alive:
        with suppress(ProcessLookupError):
            assert process.pid is not None
            os.kill(process.pid, sign)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for process in alive:
        process.join(max(0.0, deadline - time.monotonic()))


def _watch(ranks: list[_Rank], tick: Tick, ended: _Ended) -> None:
    """Pass epochs on until all processes are done, or one has failed; then ``ended`` says so.

    Raises:
        LostProcessError: when a process died.
    """
    while len(ended.done) < len(ranks):
        open_ones = {rank.reports: number for number, rank in enumerate(ranks) if number not in ended.done}
        # In the order of ranks, so that a death is seen before what it caused.
        messages = [(number, _receive(ranks[number])) for number in _list_ready(open_ones)]
        for number, message in messages:
            if message is None:
                code = ranks[number].process.exitcode
                how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
                raise LostProcessError(f"process {number} of {len(ranks)} died: {how}")
        for number, message in messages:
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, int):
                tick(message)
                with suppress(OSError):
                    ranks[number].reports.send(None)
            elif message.status == "completed":
                ended.done[number] = message
            else:
                ended.failed[number] = message
        if ended.failed:
            return


def _list_ready(connections: dict[Connection, int]) -> list[int]:
    ready = wait(list(connections))
    return [number for connection, number in connections.items() if connection in ready]


def _receive(rank: _Rank) -> Any:
    """What a process reports; None when it has died."""
    try:
        return rank.reports.recv()
    except (EOFError, OSError):
        rank.process.join(PATIENCE_SECONDS)
        return None


@dataclass(frozen=True)
class _Job:
    """What one process is to do; see :func:`study.training.group.open_group`."""

    trial: dict[str, Any]
    place: Place
    claim: Claim
    rank: int
    size: int
    meeting_file: str
    device: str


def _run(job: _Job, reports: Connection, lifeline: Connection) -> None:
    """The body of a process."""
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    # A terminal interrupts all of its processes; who started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from study.training.group import close_group, open_group

    def tick(epoch: int) -> None:
        if job.rank == 0:
            reports.send(epoch)
            reports.recv()

    trial = Trial.from_json(job.trial)
    try:
        group = open_group(job.rank, job.size, job.meeting_file, torch.device(job.device))
        outcome: TrialRecord | BaseException = run_rank(trial, job.place, tick, job.claim, group)
    except (Exception, Superseded) as error:
        outcome = error
    reports.send(outcome)
    if isinstance(outcome, TrialRecord) and outcome.status == "completed":
        # Another one may not have read yet what this one sent it last.
        reports.recv()
        close_group()


def _end_with(lifeline: Connection) -> None:
    """End this process at once when the one that started it is gone."""
    with suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
