"""Trials of several processes: the result of one, whatever is killed; the failure of the first is the record."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.data.catalog import open_dataset
from study.data.dataset import ClipDataset, Videos
from study.data.loading import build_clip_loader
from study.data.opening import prepare_videos
from study.errors import SchedulingError
from study.running import spawn
from study.running.attempts import Claim, LostProcessError, begin_attempt, read_attempts, run_attempt
from study.running.executor import Job, Place
from study.running.inline import InlineExecutor
from study.running.plan import PlannedTrial
from study.running.ranks import settle
from study.running.run_trial import run_trial
from study.running.spawn import launch_here
from study.running.store import Store
from study.seeding import derive_seed
from study.spec.record import Failure, TrialRecord, load_record
from tests.faults.test_loopback import LOOPBACK, listening_addresses
from tests.running.conftest import toy_trial

TWO = "resources.processes=2"


class Watching:
    """Events that do something at an epoch, once."""

    def __init__(self, act: Any = None) -> None:
        self.epochs: list[int] = []
        self._act = act

    def started(self, trial_id: str) -> None:
        pass

    def epoch(self, trial_id: str, epoch: int) -> None:
        self.epochs.append(epoch)
        if self._act is not None:
            act, self._act = self._act, None
            act()

    def ended(self, trial_id: str, problem: str = "") -> None:
        assert not problem


def run_one(planned: PlannedTrial, place: Place) -> TrialRecord:
    record = run_trial(planned.trial, place)
    assert record.failure is None, record.failure.traceback
    return record


def run_several(planned: PlannedTrial, place: Place, events: Watching | None = None) -> TrialRecord:
    InlineExecutor().run([Job(planned.trial, place)], events or Watching())
    record = load_record(place.folder / "record.json")
    assert record.failure is None, record.failure.traceback
    return record


def weights(place: Place) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(place.folder / "checkpoint.pt")["model"]
    return state


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "micro", "videos"),
    [
        (16, None, 48),
        (15, 4, 48),  # shares of 7 and 8, the last pass has 3 clips: 1 and 2
        # In each pass one process has nothing. Four steps, as BatchNorm over single clips multiplies differences.
        (3, 1, 6),
    ],
)
def test_two_processes_give_the_record_of_one(
    store: Store, tmp_path: Path, batch: int, micro: int | None, videos: int
) -> None:
    """To 1e-5 in float32: sums over a batch are taken in another order."""
    settings = (
        f"training.batch_size={batch}",
        f"data.train_videos={videos}",
        "training.epochs=2",
        "evaluation.batch_size=5",
    )
    alone, together = (
        toy_trial(store, "STH hybrid+attention", *settings),
        toy_trial(store, "STH hybrid+attention", *settings, TWO),
    )
    assert alone.trial_id == together.trial_id
    one = Place(tmp_path / "one", store.data, micro_batch=micro)
    two = Place(tmp_path / "two", store.data, micro_batch=micro)
    expected, events = run_one(alone, one), Watching()
    found = run_several(together, two, events)
    assert events.epochs == [1, 2]
    assert found.train == pytest.approx(expected.train, abs=1e-5)
    assert found.metrics["1x1"].loss == pytest.approx(expected.metrics["1x1"].loss, abs=1e-5)
    assert found.metrics["1x1"].videos == 24
    for ours, theirs in zip(found.attention, expected.attention, strict=True):
        assert ours.model_dump() == pytest.approx(theirs.model_dump(), abs=1e-5)
    trained, reference = weights(two), weights(one)
    assert list(trained) == list(reference)
    for name, value in reference.items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=1e-5, msg=name)
    scores, stored = (np.load(place.folder / "scores.npz") for place in (two, one))
    assert scores["video_ids"].tolist() == stored["video_ids"].tolist()
    np.testing.assert_allclose(scores["logits"], stored["logits"], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_of_equal_weights_the_scores_are_equal_to_the_last_bit(store: Store, tmp_path: Path) -> None:
    settings = ("training.epochs=1", "evaluation.batch_size=5")
    one, two = Place(tmp_path / "one", store.data), Place(tmp_path / "two", store.data)
    run_one(toy_trial(store, "STH hybrid+attention", *settings), one)
    shutil.copytree(one.folder, two.folder)
    more = (*settings, 'evaluation.protocols={"1x1": {}, "1x3": {"crops": 3}}', "evaluation.primary=1x3")
    expected = run_one(toy_trial(store, "STH hybrid+attention", *more), one)
    found = run_several(toy_trial(store, "STH hybrid+attention", *more, TWO), two)
    assert found.metrics == expected.metrics
    assert found.attention == expected.attention
    assert found.epochs_done == 1
    scores, stored = (np.load(place.folder / "scores.npz") for place in (two, one))
    assert stored["logits"].shape[1] == 3
    for name in ("video_ids", "labels", "views", "logits", "shown"):
        np.testing.assert_array_equal(scores[name], stored[name])


@pytest.mark.slow
@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_process_that_is_killed_costs_no_more_than_its_epoch(
    store: Store, tmp_path: Path, rank: int
) -> None:
    """And nothing that listens can be reached from another machine."""
    planned = toy_trial(store, "STH hybrid+attention", TWO, "training.epochs=3", "model.dropout=0.3")
    undisturbed, disturbed = Place(tmp_path / "a", store.data), Place(tmp_path / "b", store.data)
    outside: dict[str, str] = {}

    def kill() -> None:
        ranks = {child.name: child.pid for child in multiprocessing.active_children()}
        pids = [pid for name, pid in ranks.items() if name.startswith("rank") and pid]
        assert len(pids) == 2
        sockets = listening_addresses(pids)
        assert sockets, "nothing listens: the test sees nothing"
        outside.update({place: name for place, name in sockets.items() if place.split()[0] not in LOOPBACK})
        os.kill(ranks[f"rank {rank}"] or 0, signal.SIGKILL)

    events = Watching(kill)
    found = run_several(planned, disturbed, events)
    assert not outside, outside
    expected = run_several(planned, undisturbed)
    different = {"started_at", "ended_at", "seconds"}
    assert found.model_dump(exclude=different) == expected.model_dump(exclude=different)
    assert all(value.equal(weights(undisturbed)[name]) for name, value in weights(disturbed).items())
    assert [a.outcome for a in read_attempts(disturbed.folder)] == ["died", "completed"]
    assert events.epochs == [1, 1, 2, 3]


@pytest.mark.slow
def test_the_failure_of_one_process_is_the_record(tmp_path: Path) -> None:
    """The other one, which only loses its neighbor, does not hang and is not believed."""
    (tmp_path / "store").mkdir()
    store = Store.at(tmp_path / "store")
    planned = toy_trial(store, "STH hybrid", TWO)
    source = open_dataset(planned.trial.settings.data, store.data)
    manifest = source.manifest()
    prepare_videos(source, manifest, planned.trial.settings.clip.modality)
    videos = Videos(manifest, manifest.train, planned.trial.settings.clip)
    dataset = ClipDataset(videos, derive_seed("repeat", planned.trial.settings.training.seed, 0))
    first = next(iter(build_clip_loader(dataset, 16)))
    broken = videos.entries[int(first.indices[-1])]  # in the share of the second process
    videos.path(broken).write_bytes(b"no video")
    place = Place(store.folder(planned.trial_id), store.data)
    record = run_attempt(planned.trial, place, lambda epoch: None, launch=launch_here)
    assert record.failure is not None
    assert record.failure.kind == "DataError", record.failure
    assert Path(broken.path).name in record.failure.message
    assert load_record(place.folder / "record.json") == record
    (attempt,) = read_attempts(place.folder)
    assert (attempt.outcome, attempt.failure) == ("failed", "bad data")


@pytest.mark.slow
def test_all_processes_see_the_loss_diverge_alike(store: Store) -> None:
    hopeless = ("training.optimizer.lr=1e30", "training.optimizer.clip_grad_norm=null")
    planned = toy_trial(store, "STH hybrid", TWO, *hopeless)
    place = Place(store.folder(planned.trial_id), store.data)
    record = run_attempt(planned.trial, place, lambda epoch: None, launch=launch_here)
    assert record.failure is not None
    assert record.failure.kind == "DivergedError", record.failure
    assert {len(step.videos) for step in record.failure.steps} == {16}, "videos of the whole batch"
    alone = toy_trial(store, "STH hybrid", *hopeless)
    expected = run_trial(alone.trial, Place(store.root / "alone", store.data)).failure
    assert expected is not None
    assert [step.videos for step in record.failure.steps] == [step.videos for step in expected.steps]


@pytest.mark.slow
def test_an_interrupt_ends_all_processes(store: Store) -> None:
    planned = toy_trial(store, "STH hybrid", TWO)
    place = Place(store.folder(planned.trial_id), store.data)

    def interrupt(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_attempt(planned.trial, place, interrupt, launch=launch_here)
    assert not [child for child in multiprocessing.active_children() if child.name.startswith("rank")]
    assert not (place.folder / "record.json").exists()
    assert [a.outcome for a in read_attempts(place.folder)] == ["interrupted"]
    assert (place.folder / "checkpoint.pt").exists()


def claim_on(folder: Path) -> Claim:
    return Claim(folder, begin_attempt(folder), socket.gethostname(), os.getpid())


def failed(kind: str, message: str, record: TrialRecord) -> TrialRecord:
    return record.model_copy(update={"status": "failed", "failure": Failure(kind=kind, message=message)})


def test_who_lost_its_neighbor_is_not_to_blame(store: Store) -> None:
    planned = toy_trial(store, "STH hybrid", "training.epochs=1")
    place = Place(store.folder(planned.trial_id), store.data)
    record = run_one(planned, place)
    lost = failed("RuntimeError", "[gloo] Connection closed by peer [127.0.0.1]:1", record)
    own = failed("OutOfMemoryError", "CUDA out of memory", record)
    assert settle(place, claim_on(place.folder), {0: lost, 1: own}) == own
    assert load_record(place.folder / "record.json") == own
    with pytest.raises(LostProcessError, match=r"process 0: .*closed by peer"):
        settle(place, claim_on(place.folder), {0: lost})


def test_fewer_gpus_than_asked_for_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    with pytest.raises(SchedulingError, match="a trial asks for 4 GPUs, this machine has 3"):
        spawn._choose_devices(2, 2)
    assert spawn._choose_devices(3, 1) == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert spawn._choose_devices(2, 1) == ["cpu", "cpu"]


def test_several_processes_where_none_can_be_started_are_refused(store: Store) -> None:
    planned = toy_trial(store, "STH hybrid", TWO)
    with pytest.raises(SchedulingError, match="allowed here: 1"):
        run_attempt(planned.trial, Place(store.folder(planned.trial_id), store.data), lambda epoch: None)
