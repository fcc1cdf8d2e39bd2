"""Attempts are kept, whatever became of them, and failures have classes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from study import errors
from study.running.attempts import ATTEMPTS_FILE, begin_attempt, end_attempt, read_attempts, run_attempt
from study.running.executor import Place
from study.running.failures import ADVICE, FailureClass, classify
from study.running.store import Store, discard_attempt
from study.spec.record import Failure
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
