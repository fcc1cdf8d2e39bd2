"""Attempts are kept, whatever became of them, and failures have classes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from study import errors
from study.running import attempts as attempts_module
from study.running.attempts import (
    ATTEMPTS_FILE,
    Run,
    begin_attempt,
    end_attempt,
    read_attempts,
    run_attempt,
)
from study.running.executor import Place
from study.running.failures import ADVICE, FailureClass, classify
from study.running.store import Store, discard_attempt
from study.spec.record import Failure, TrialRecord
from study.spec.trial import Trial
from tests.running.conftest import toy_trial


def test_attempts_of_a_trial_that_is_interrupted_fails_and_completes(store: Store) -> None:
    planned = toy_trial(store)
    folder = store.folder(planned.trial_id)
    place = Place(folder, store.data)

    def interrupt(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_attempt(planned.trial, place, interrupt)
    begin_attempt(folder)  # a process that was killed writes no second line
    record = run_attempt(planned.trial, place, lambda epoch: None)
    assert record.status == "completed"
    discard_attempt(folder)  # what a retry takes away is not the history
    attempts = read_attempts(folder)
    assert [(a.number, a.outcome) for a in attempts] == [(1, "interrupted"), (2, "died"), (3, "completed")]
    assert [a.ended_at is None for a in attempts] == [False, True, False]
    assert {a.pid for a in attempts} == {os.getpid()}


def test_a_failed_attempt_says_of_which_class(store: Store) -> None:
    planned = toy_trial(store)
    place = Place(store.folder(planned.trial_id), store.data)

    def fail(epoch: int) -> None:
        raise errors.DataError("clip.mp4: broken")

    assert run_attempt(planned.trial, place, fail).status == "failed"
    (attempt,) = read_attempts(place.folder)
    assert (attempt.outcome, attempt.failure, attempt.message) == ("failed", "bad data", "clip.mp4: broken")


def test_a_line_that_was_cut_short_costs_no_other_line(tmp_path: Path) -> None:
    first = begin_attempt(tmp_path)
    with (tmp_path / ATTEMPTS_FILE).open("a") as file:
        file.write('{"attempt": 1, "ended_at"')  # the disk was full, or the machine went down
    second = begin_attempt(tmp_path)
    end_attempt(tmp_path, second, KeyboardInterrupt())
    assert (first, second) == (1, 2)
    assert [a.outcome for a in read_attempts(tmp_path)] == ["died", "interrupted"]
    lines = (tmp_path / ATTEMPTS_FILE).read_text().splitlines()
    assert [json.loads(lines[index])["attempt"] for index in (0, 2, 3)] == [1, 2, 2]


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", FailureClass.OUT_OF_MEMORY),
        ("RuntimeError", "CUDA error: out of memory", FailureClass.OUT_OF_MEMORY),
        ("DivergedError", "the training loss of epoch 3 is nan", FailureClass.DIVERGED),
        ("OSError", "[Errno 28] No space left on device: 'checkpoint.pt'", FailureClass.NO_SPACE),
        ("DataError", "clip.mp4: broken", FailureClass.BAD_DATA),
        ("WeightsError", "weights.pt: no such layer", FailureClass.BAD_REQUEST),
        ("ZeroDivisionError", "division by zero", FailureClass.CODE),
        ("suggest", "a function of that module is no exception", FailureClass.CODE),
    ],
)
def test_classes_of_failures(kind: str, message: str, expected: FailureClass) -> None:
    assert classify(Failure(kind=kind, message=message)) is expected


def test_every_class_has_advice() -> None:
    assert set(ADVICE) == set(FailureClass)


def hold_and_report(folder: Path, trial: Trial, blocks: bool) -> subprocess.Popen[str]:
    """A process at work on ``trial``: it reports an epoch for each line it reads, and may hang while it does."""
    code = f"""
import json, sys
from pathlib import Path
from study.running.attempts import run_attempt
from study.running.executor import Place
from study.spec.trial import Trial
def run(trial, place, tick):
    print("holds", flush=True)
    for epoch, line in enumerate(sys.stdin, 1):
        print("writes", flush=True)
        tick(epoch)
    raise AssertionError("not superseded")
def tick(epoch):
    print("reports", flush=True)
    if {blocks}:
        sys.stdin.readline()
run_attempt(Trial.from_json(json.loads(sys.argv[2])), Place(Path(sys.argv[1]), Path(sys.argv[1])), tick, run)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), json.dumps(trial.to_json())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    return process


def test_an_attempt_that_was_given_up_stops_after_its_epoch(store: Store) -> None:
    planned = toy_trial(store)
    folder = store.folder(planned.trial_id)
    old = hold_and_report(folder, planned.trial, blocks=False)
    try:
        assert old.stdin is not None
        begun: list[float] = []

        def run(trial: Trial, place: Place, tick: Callable[[int], None]) -> TrialRecord:
            begun.append(time.monotonic())
            raise KeyboardInterrupt

        new = threading.Thread(target=attempt_quietly, args=(planned.trial, Place(folder, store.data), run))
        new.start()
        time.sleep(1.5)
        assert not begun, "two attempts at work in one folder"
        old.stdin.write("go\n")
        old.stdin.flush()
        stopped, error = old.communicate(timeout=30)
        new.join(30)
        assert begun
        assert (stopped, "Superseded" in error) == ("writes\n", True)
    finally:
        old.kill()
    outcomes = [(a.number, a.outcome, a.message) for a in read_attempts(folder)]
    assert outcomes == [(1, "interrupted", "Superseded"), (2, "interrupted", "KeyboardInterrupt")]


@pytest.mark.parametrize("end", ["hangs while it reports", "is killed"])
def test_an_attempt_waits_neither_for_the_dead_nor_for_one_that_reports_to_nobody(
    store: Store, end: str
) -> None:
    planned = toy_trial(store)
    folder = store.folder(planned.trial_id)
    old = hold_and_report(folder, planned.trial, blocks=end == "hangs while it reports")
    try:
        assert old.stdin is not None
        assert old.stdout is not None
        if end == "is killed":
            old.kill()
        else:
            old.stdin.write("go\n")
            old.stdin.flush()
            assert [old.stdout.readline() for _ in range(2)] == ["writes\n", "reports\n"]
        record = run_attempt(planned.trial, Place(folder, store.data), lambda epoch: None)
        assert record.status == "completed"
        assert [(a.number, a.outcome) for a in read_attempts(folder)] == [(1, "died"), (2, "completed")]
        if end != "is killed":
            # Somebody listens again, after all is done: it writes no more.
            rest, error = old.communicate("go\ngo\n", timeout=30)
            assert (rest, "Superseded" in error) == ("", True)
    finally:
        old.kill()
        old.wait()


def test_an_attempt_that_cannot_have_its_folder_says_who_holds_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = toy_trial(store)
    folder = store.folder(planned.trial_id)
    old = hold_and_report(folder, planned.trial, blocks=False)
    monkeypatch.setattr(attempts_module, "WAIT_SECONDS", 0.3)
    try:
        with pytest.raises(errors.StoreError, match=f"process {old.pid} on .* has held this trial"):
            run_attempt(planned.trial, Place(folder, store.data), lambda epoch: None)
    finally:
        old.kill()
        old.wait()


def attempt_quietly(trial: Trial, place: Place, run: Run) -> None:
    with suppress(KeyboardInterrupt):
        run_attempt(trial, place, lambda epoch: None, run)


def refuse_more_than(clips: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A device whose memory holds ``clips`` clips; returns what training asked for, pass by pass."""
    import torch

    from study.models.recognizer import Recognizer

    asked: list[int] = []
    forward = Recognizer.forward

    def limited(self: Recognizer, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            asked.append(len(inputs))
        if len(inputs) > clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, inputs)

    monkeypatch.setattr(Recognizer, "forward", limited)
    return asked


def test_out_of_memory_is_tried_again_with_half_as_many_clips(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = toy_trial(store)
    place = Place(store.folder(planned.trial_id), store.data)
    asked = refuse_more_than(5, monkeypatch)
    record = run_attempt(planned.trial, place, lambda epoch: None)
    assert (record.status, record.micro_batch, record.epochs_done) == ("completed", 4, 2)
    attempts = read_attempts(place.folder)
    assert [(a.outcome, a.failure, a.micro_batch) for a in attempts] == [
        ("failed", "out of memory", None),
        ("failed", "out of memory", 8),
        ("completed", "", 4),
    ]
    # 48 videos in batches of 16 are still three steps an epoch, now of four passes each.
    assert asked == [16, 8] + [4] * (2 * 3 * 4)
    # Evaluation makes its batches smaller too, and measures every video.
    assert record.metrics["1x1"].videos == 24


def test_a_smaller_micro_batch_survives_an_interruption(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = toy_trial(store)
    place = Place(store.folder(planned.trial_id), store.data)
    refuse_more_than(8, monkeypatch)

    def interrupt(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_attempt(planned.trial, place, interrupt)
    record = run_attempt(planned.trial, place, lambda epoch: None)
    assert (record.status, record.micro_batch) == ("completed", 8)
    assert [a.micro_batch for a in read_attempts(place.folder)] == [None, 8, 8]
    undisturbed = Place(store.folder("undisturbed"), store.data)
    assert run_attempt(planned.trial, undisturbed, lambda epoch: None).metrics == record.metrics


def test_a_device_too_small_for_one_clip_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = toy_trial(store)
    place = Place(store.folder(planned.trial_id), store.data)
    refuse_more_than(0, monkeypatch)
    record = run_attempt(planned.trial, place, lambda epoch: None)
    assert (record.status, record.micro_batch) == ("failed", 1)
    assert [a.micro_batch for a in read_attempts(place.folder)] == [None, 8, 4, 2, 1]


def test_scores_do_not_depend_on_the_parts_of_an_evaluation(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out only while testing: the trial is not trained again, and nothing it measures changes."""
    planned = toy_trial(store)
    whole = run_attempt(planned.trial, Place(store.folder("whole"), store.data), lambda epoch: None)
    refuse_more_than(16, monkeypatch)
    parts = run_attempt(planned.trial, Place(store.folder("parts"), store.data), lambda epoch: None)
    assert len(read_attempts(store.folder("parts"))) == 1
    assert parts.metrics["1x1"].top1 == whole.metrics["1x1"].top1
    assert parts.metrics["1x1"].loss == pytest.approx(whole.metrics["1x1"].loss, rel=1e-5)
    assert [block.videos for block in parts.attention] == [block.videos for block in whole.attention]
    for one, other in zip(parts.attention, whole.attention, strict=True):
        assert one.alpha_s == pytest.approx(other.alpha_s, rel=1e-5)
