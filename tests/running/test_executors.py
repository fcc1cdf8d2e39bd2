"""Executors: what travels to a worker, and what becomes of the others when a trial raises."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from study.errors import StoreError
from study.running.attempts import Run, Superseded, read_attempts
from study.running.executor import Executor, Job, Place
from study.running.inline import InlineExecutor
from study.running.store import Store
from study.spec.record import TrialRecord
from study.spec.trial import Trial
from tests.running.conftest import Heard, make_toy_plan

RAISED: tuple[tuple[BaseException, str], ...] = (
    (ZeroDivisionError("division by zero\nand more"), "ZeroDivisionError: division by zero"),
    (StoreError("checkpoint.pt: gone"), "StoreError: checkpoint.pt: gone"),
    (Superseded(), "another attempt at it has begun elsewhere"),
)


@pytest.mark.parametrize(
    "place",
    [
        Place(Path("/runs/trials/a b"), Path("data")),
        Place(Path("/runs/trials/ä"), Path("/data"), parent=Path("/runs/trials/0"), micro_batch=4),
    ],
)
def test_a_job_arrives_as_it_was_sent(place: Place, store: Store) -> None:
    assert set(place.to_json()) == {field.name for field in dataclasses.fields(Place)}
    for planned in make_toy_plan(store, specs=("table6", "table7")).trials:
        job = Job(planned.trial, place)
        arrived = Job.from_json(json.loads(json.dumps(job.to_json())))
        assert arrived == job
        assert arrived.trial.trial_id == planned.trial_id


def ray(run_one: Run) -> Executor:
    from study.running.ray_tune import RayExecutor

    return RayExecutor(max_concurrent=2, run_one=run_one)


@pytest.mark.parametrize(
    "make", [InlineExecutor, pytest.param(ray, marks=pytest.mark.slow)], ids=["inline", "ray"]
)
def test_whatever_a_trial_raises_ends_that_one_only_and_at_once(
    make: Callable[[Run], Executor], store: Store
) -> None:
    jobs = [
        Job(planned.trial, Place(store.folder(planned.trial_id), store.data))
        for planned in make_toy_plan(store, specs=("table6", "table7")).trials
    ][: len(RAISED) + 1]
    assert len(jobs) == len(RAISED) + 1
    errors = {job.trial.trial_id: error for job, (error, _) in zip(jobs, RAISED, strict=False)}

    def run(trial: Trial, place: Place, tick: Callable[[int], None]) -> TrialRecord:
        tick(1)
        if trial.trial_id in errors:
            raise errors[trial.trial_id]
        return TrialRecord.model_construct(status="completed", failure=None)

    heard = Heard()
    make(run).run(jobs, heard)
    assert heard.ends == {
        job.trial.trial_id: problem
        for job, problem in zip(jobs, [*(problem for _, problem in RAISED), ""], strict=True)
    }
    noted = [read_attempts(job.place.folder) for job in jobs]
    assert [[attempt.outcome for attempt in attempts] for attempts in noted] == [
        ["failed"],
        ["failed"],
        ["interrupted"],
        ["completed"],
    ]
    assert [attempts[0].failure for attempts in noted[:2]] == ["code error", "bad request"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_who_is_asked_to_stop_stops(error: type[BaseException], store: Store) -> None:
    jobs = [
        Job(planned.trial, Place(store.folder(planned.trial_id), store.data))
        for planned in make_toy_plan(store).trials
    ]

    def run(trial: Trial, place: Place, tick: Callable[[int], None]) -> TrialRecord:
        raise error

    heard = Heard()
    with pytest.raises(error):
        InlineExecutor(run).run(jobs, heard)
    assert heard.ends == {}
    assert [len(read_attempts(job.place.folder)) for job in jobs] == [1] + [0] * (len(jobs) - 1)
