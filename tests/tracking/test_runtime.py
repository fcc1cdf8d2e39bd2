"""Measurements of runtime in MLflow: each once, whole or not at all, apart from the trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import Run

from study.errors import StoreError
from study.spec.runtime import RuntimeRecord
from study.tracking import runtime
from study.tracking.artifacts import local_folder
from study.tracking.read import load_runs
from study.tracking.runtime import EXPERIMENT, load_tracked_runtimes, sync_runtimes
from study.tracking.store import connect
from tests.fabricated_runtime import fabricate_record, load, steady


@pytest.fixture(scope="module")
def records() -> list[RuntimeRecord]:
    times = {"TSM 8f": steady(0.5), "STH 8f": steady(0.6), "I3D": "out of memory"}
    return [fabricate_record(load(), times, started_at=start) for start in (10.0, 20.0)]


def list_runs(uri: str) -> list[Run]:
    client = connect(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def test_what_is_written_reads_back_and_is_written_once(
    uri: str, tmp_path: Path, records: list[RuntimeRecord]
) -> None:
    assert load_tracked_runtimes(uri) == []
    first = sync_runtimes(uri, records[:1], tmp_path / "artifacts")
    assert (first.created, first.unchanged, first.errors) == (1, 0, [])
    again = sync_runtimes(uri, records, tmp_path / "artifacts")
    assert (again.created, again.unchanged, again.errors) == (1, 1, [])
    assert sync_runtimes(uri, records, tmp_path / "artifacts").created == 0
    assert load_tracked_runtimes(uri) == records
    runs = list_runs(uri)
    assert len(runs) == 2
    run = next(run for run in runs if run.data.tags["runtime_id"] == records[0].runtime_id)
    assert run.info.status == "FINISHED"
    assert run.info.start_time == 10_000
    assert run.data.tags["kind"] == "runtime"
    assert run.data.tags["without_times"] == "I3D: out of memory"
    assert run.data.params["batch"] == "2"
    assert run.data.metrics["latency_ms/TSM 8f"] == pytest.approx(500)
    assert run.data.metrics["videos_per_s/TSM 8f"] == pytest.approx(4)
    assert run.data.metrics["peak_mem_gib/STH 8f"] == 0.25
    assert not any("I3D" in name for name in run.data.metrics)
    history = connect(uri).get_metric_history(run.info.run_id, "round_latency_ms/STH 8f")
    assert [entry.value for entry in sorted(history, key=lambda entry: entry.step)] == pytest.approx(
        [1000 * one for one in steady(0.6)]
    )


def test_a_run_that_was_cut_off_is_written_anew(
    uri: str, tmp_path: Path, records: list[RuntimeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(runtime, "get_artifact_repository", fail)
        report = sync_runtimes(uri, records[:1], tmp_path / "artifacts")
    assert report.errors == [f"measurements of runtime, MLflow at {uri}: OSError: no space left"]
    assert len(list_runs(uri)) == 1
    assert load_tracked_runtimes(uri) == []
    assert sync_runtimes(uri, records[:1], tmp_path / "artifacts").created == 1
    assert len(list_runs(uri)) == 1
    assert load_tracked_runtimes(uri) == records[:1]


def test_a_second_run_of_a_measurement_is_taken_away(
    uri: str, tmp_path: Path, records: list[RuntimeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_runtimes(uri, records[:1], tmp_path / "artifacts")
    with monkeypatch.context() as patch:  # as if another process had not seen it yet
        patch.setattr(runtime, "_list_whole", lambda *args: set[str]())
        sync_runtimes(uri, records[:1], tmp_path / "artifacts")
    assert len(list_runs(uri)) == 2
    assert load_tracked_runtimes(uri) == records[:1]
    assert sync_runtimes(uri, records[:1], tmp_path / "artifacts").created == 0
    assert len(list_runs(uri)) == 1


def test_stores_that_share_a_server_leave_each_other_alone(
    uri: str, tmp_path: Path, records: list[RuntimeRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "artifacts"
    with monkeypatch.context() as patch:  # one store is amid writing
        patch.setattr(runtime, "get_artifact_repository", lambda *args, **named: None)
        sync_runtimes(uri, records[:1], root, owner="one")
    assert sync_runtimes(uri, records[1:], root, owner="other").created == 1
    assert len(list_runs(uri)) == 2
    assert sync_runtimes(uri, records[:1], root, owner="one").created == 1
    # What was imported from an archive needs no second run.
    assert sync_runtimes(uri, records, root, owner="other").unchanged == 2
    assert len(list_runs(uri)) == 2
    # A file of another store that cannot be read from here is left out; one's own is an error.
    run = next(run for run in list_runs(uri) if run.data.tags["store"] == "one")
    (local_folder(run.info.artifact_uri) or tmp_path).joinpath("runtime.json").unlink()
    assert load_tracked_runtimes(uri, owner="other") == records[1:]
    with pytest.raises(StoreError, match="no file"):
        load_tracked_runtimes(uri, owner="one")
    assert load_tracked_runtimes(uri, owner="other", experiments={"table7"}) == []


def test_it_meets_no_trial(uri: str, tmp_path: Path, records: list[RuntimeRecord]) -> None:
    sync_runtimes(uri, records, tmp_path / "artifacts")
    assert load_runs(uri, "study").empty
    assert load_runs(uri, EXPERIMENT).empty


def test_a_store_that_does_not_answer_costs_a_line(tmp_path: Path, records: list[RuntimeRecord]) -> None:
    (tmp_path / "file").write_text("")
    report = sync_runtimes(f"sqlite:///{tmp_path}/file/mlflow.db", records, tmp_path)
    assert len(report.errors) == 1
    assert load_tracked_runtimes(f"sqlite:///{tmp_path}/none.db") == []
    assert not (tmp_path / "none.db").exists()
