"""Trials of several processes through Ray Tune and Ray Train, for real."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from study.running.attempts import read_attempts, run_attempt
from study.running.executor import Job, Place
from study.running.ray_tune import RayExecutor
from study.running.spawn import launch_here
from study.running.store import Store
from study.spec.record import load_record
from tests.faults.processes import descendants, name_of
from tests.faults.test_loopback import LOOPBACK, listening_addresses
from tests.running.conftest import toy_trial

TWO = ("resources.processes=2", "resources.cpus=2")


class KillOnce:
    """Kills a worker of Ray Train after the first epoch, having looked where the workers listen."""

    def __init__(self) -> None:
        self.epochs: defaultdict[str, list[int]] = defaultdict(list)
        self.ends: list[str] = []
        self.killed = 0
        self.sockets: dict[str, str] = {}

    def started(self, trial_id: str) -> None:
        pass

    def epoch(self, trial_id: str, epoch: int) -> None:
        self.epochs[trial_id].append(epoch)
        workers = [pid for pid in descendants(os.getpid()) if "RayTrainWorker" in name_of(pid)]
        if not self.killed and len(workers) == 2:
            self.sockets = listening_addresses(workers)
            self.killed = max(workers)
            os.kill(self.killed, signal.SIGKILL)

    def ended(self, trial_id: str, problem: str = "") -> None:
        assert not problem
        self.ends.append(trial_id)


@pytest.mark.slow
def test_workers_of_ray_train_give_the_record_of_processes_here_though_one_is_killed(
    store: Store, tmp_path: Path
) -> None:
    """And the failure of a trial is its record, not an error of Ray."""
    long = ("training.epochs=4", "evaluation.every=2")
    good = toy_trial(store, "STH hybrid+attention", *long, *TWO)
    hopeless = toy_trial(
        store, "STH hybrid", "training.optimizer.lr=1e30", "training.optimizer.clip_grad_norm=null", *TWO
    )
    jobs = [
        Job(planned.trial, Place(store.folder(planned.trial_id), store.data)) for planned in (good, hopeless)
    ]
    events = KillOnce()
    RayExecutor().run(jobs, events)
    assert events.killed, "two workers were not seen"
    assert events.sockets, "nothing listens: the test sees nothing"
    assert not {place for place in events.sockets if place.split()[0] not in LOOPBACK}, events.sockets
    assert sorted(events.ends) == sorted([good.trial_id, hopeless.trial_id])
    assert events.epochs[good.trial_id][-1] == 4
    folder = store.folder(good.trial_id)
    assert [a.outcome for a in read_attempts(folder)] == ["died", "completed"]
    found = load_record(folder / "record.json")
    # Processes that are started here are held against a single one in test_processes.
    here = Place(tmp_path / "here", store.data)
    expected = run_attempt(good.trial, here, lambda epoch: None, launch=launch_here)
    different = {"started_at": True, "ended_at": True, "seconds": True, "environment": {"git_commit"}}
    assert found.model_dump(exclude=different) == expected.model_dump(exclude=different)
    trained, reference = (torch.load(f / "checkpoint.pt")["model"] for f in (folder, here.folder))
    assert all(trained[name].equal(value) for name, value in reference.items())
    folder = store.folder(hopeless.trial_id)
    failure = load_record(folder / "record.json").failure
    assert failure is not None
    assert failure.kind == "DivergedError"
    assert [(a.outcome, a.failure) for a in read_attempts(folder)] == [("failed", "diverged")]
