"""Records of runtime: what they refuse, and what two of them have in common."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from study.errors import StoreError
from study.spec.runtime import (
    Quartiles,
    RuntimeConditions,
    RuntimeRecord,
    derive_runtime_id,
    digest_settings,
    load_runtime,
    load_runtimes,
    save_runtime,
)
from tests.fabricated_runtime import fabricate_record, load, steady


@pytest.fixture
def record() -> RuntimeRecord:
    return fabricate_record(load(), {"TSM 8f": steady(0.5), "STH 8f": steady(0.6), "I3D": "out of memory"})


def test_a_record_reads_back_as_it_was_written(record: RuntimeRecord, tmp_path: Path) -> None:
    path = save_runtime(record, tmp_path / "runtime")
    assert path.stem == record.runtime_id
    assert load_runtime(path) == record
    assert load_runtimes(tmp_path / "runtime") == [record]
    assert load_runtimes(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"latency_ms": {"q1": 1.0, "median": 1.0, "q3": 1.0}}, "medians do not follow"),
        ({"seconds": [0.5] * 10}, "has not a time of each clock"),
        ({"seconds": [0.5] * 10 + [-1.0]}, "greater than 0"),
        ({"reason": "it failed"}, "either times or a reason"),
    ],
)
def test_what_does_not_follow_from_the_times_is_refused(
    record: RuntimeRecord, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    content = record.model_dump(mode="json")
    content["arms"][0] |= change
    content["runtime_id"] = derive_runtime_id(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=f"changed.json: no valid measurement of runtime: .*{told}"):
        load_runtime(path)


def test_a_changed_record_is_not_the_one_that_its_name_says(record: RuntimeRecord, tmp_path: Path) -> None:
    content = record.model_dump(mode="json")
    content["environment"]["device"] = "cuda: NVIDIA GeForce GTX 1080 Ti"
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="is not the digest of the content"):
        load_runtime(path)


def test_quartiles_are_those_of_numpy() -> None:
    for values in (
        [3.0],
        [1.0, 2.0],
        [5.0, 1.0, 4.0, 2.0],
        list(np.random.default_rng(0).lognormal(size=23)),
    ):
        found = Quartiles.of(values)
        expected = np.quantile(values, [0.25, 0.5, 0.75])
        np.testing.assert_allclose([found.q1, found.median, found.q3], expected, rtol=1e-12)


def test_conditions_choose_their_clock_and_refuse_what_a_device_has_not() -> None:
    assert RuntimeConditions().clock == "process CPU time"
    assert RuntimeConditions(threads=2).clock == "wall time"
    assert RuntimeConditions(device="cuda", dtype="fp16").clock == "CUDA events"
    with pytest.raises(ValidationError, match="fp16 needs a GPU; on a CPU allowed: fp32, bf16"):
        RuntimeConditions(dtype="fp16")
    slugs = {
        RuntimeConditions(**changed).slug  # type: ignore[arg-type]
        for changed in (
            {}, {"batch": 2}, {"dtype": "bf16"}, {"compile": True}, {"mode": "training"}, {"threads": 2},
            {"device": "cuda"},
        )
    }  # fmt: skip
    assert len(slugs) == 7


def test_settings_are_those_that_a_time_depends_on() -> None:
    arm = load().arm("TSM 8f").settings
    known = digest_settings(arm.model, arm.clip)
    other_weights = arm.model.model_copy(
        update={"init": arm.model.init.model_copy(update={"weights": Path("w.pt")})}
    )
    assert digest_settings(other_weights, arm.clip) == known
    assert digest_settings(arm.model, arm.clip.model_copy(update={"flip": not arm.clip.flip})) == known
    assert digest_settings(arm.model, arm.clip.model_copy(update={"frames": 4})) != known
    assert digest_settings(load().arm("STH 8f").settings.model, arm.clip) != known
