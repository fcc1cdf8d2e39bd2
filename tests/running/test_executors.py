"""Executors: what travels to a worker."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from study.running.executor import Job, Place
from study.running.store import Store
from tests.running.conftest import make_toy_plan


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
