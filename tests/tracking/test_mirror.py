"""Folders and MLflow: the mirror writes what is missing, once, whatever happened before."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from study.errors import StoreError
from study.spec.record import Failure
from study.spec.trial import Trial
from study.tracking.mirror import Mirror, MirrorItem
from study.tracking.names import TableRow
from study.tracking.read import load_curves, load_runs
from study.tracking.store import connect, sqlite_path
from tests import fabricated

STUDY = "sth-ablation"
TABLES = (
    "experiments",
    "experiment_tags",
    "runs",
    "metrics",
    "latest_metrics",
    "params",
    "tags",
    "inputs",
    "datasets",
)


@pytest.fixture
def trial() -> Trial:
    return fabricated.trial_of(fabricated.load(["table7"]).experiments[0].arm("STH hybrid+attention"))


def item(folder: Path, trial: Trial, *, running: bool = False, table: str = "table7") -> MirrorItem:
    row = TableRow(table, "STH hybrid+attention", "STH hybrid+attention", trial.repeat)
    return MirrorItem(folder, trial, (row,), running)


def mirror(uri: str, tmp_path: Path) -> Mirror:
    """A mirror as a new driver process would have it: with nothing in memory."""
    return Mirror(uri, STUDY, tmp_path / "artifacts")


def dump(uri: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the tables that a mirror writes to."""
    with closing(sqlite3.connect(sqlite_path(uri) or "")) as connection:
        return {name: sorted(connection.execute(f"select * from {name}"), key=repr) for name in TABLES}


def only_run(uri: str) -> dict[str, object]:
    runs = load_runs(uri, STUDY)
    assert len(runs) == 1
    return dict(runs.iloc[0])


def test_a_finished_trial_is_one_finished_run_with_everything_in_it(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial, top1=0.7)
    report = mirror(uri, tmp_path).sync([item(folder, trial)])
    assert (report.created, report.errors) == (1, [])
    run = only_run(uri)
    assert run["trial_id"] == trial.trial_id
    assert (run["status"], run["run_status"]) == ("completed", "FINISHED")
    assert run["run_name"] == "STH hybrid+attention · r0 · table7"
    assert (run["started_at"], run["ended_at"]) == (fabricated.BEGAN, fabricated.BEGAN + 60)
    assert run["metrics.final/1x1/top1"] == 0.7
    assert run["metrics.train/loss"] == 0.5  # the last of 2/1, 2/2, 2/3, 2/4
    assert run["metrics.cost/params_m"] == fabricated.cost(trial).params_m
    assert (run["params.p"], run["params.block"], run["params.epochs"]) == ("1/4", "sth", "10")
    assert run["tags.tables"] == "table7"
    assert run["tags.code_fingerprint"] == "c0de" * 4
    client = connect(uri)
    names = {file.path for file in client.list_artifacts(str(run["run_id"]))}
    assert names == {"record.json", "scores.npz", "attention.csv", "settings.yaml"}
    history = client.get_metric_history(str(run["run_id"]), "attention/alpha_t")
    assert [metric.step for metric in history] == list(range(fabricated.BLOCKS))


def test_syncing_again_changes_no_row(uri: str, tmp_path: Path, trial: Trial) -> None:
    done = fabricated.begin(tmp_path, trial)
    fabricated.end(done, trial)
    other = Trial(trial.settings, 1, fabricated.DIGEST)
    items = [item(done, trial), item(fabricated.begin(tmp_path, other), other)]
    first = mirror(uri, tmp_path)
    first.sync(items)
    first.describe(items, Path("report.html"))
    before = dump(uri)
    assert len(before["runs"]) == 2
    assert first.sync(items).unchanged == 2
    fresh = mirror(uri, tmp_path)
    assert fresh.sync(items).unchanged == 2
    fresh.describe(items, Path("report.html"))
    assert dump(uri) == before


def test_a_record_that_was_only_copied_adds_nothing(uri: str, tmp_path: Path, trial: Trial) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial)
    mirror(uri, tmp_path).sync([item(folder, trial)])
    before = dump(uri)
    os.utime(folder / "record.json", (0, 0))
    assert mirror(uri, tmp_path).sync([item(folder, trial)]).updated == 1
    after = dump(uri)
    assert {name: len(rows) for name, rows in after.items()} == {
        name: len(rows) for name, rows in before.items()
    }
    assert after["metrics"] == before["metrics"]


def test_new_epochs_are_added_while_a_trial_runs(uri: str, tmp_path: Path, trial: Trial) -> None:
    running = mirror(uri, tmp_path)
    folder = fabricated.begin(tmp_path, trial, epochs=1)
    running.sync([item(folder, trial, running=True)])
    assert only_run(uri)["run_status"] == "RUNNING"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(fabricated.metric_line(1)) + "\n")
        file.write('{"step": 2, "timestamp": 17')  # a line that is being written
    running.sync([item(folder, trial, running=True)])
    curve = load_curves(uri, load_runs(uri, STUDY), ["train/loss"])
    assert curve["step"].tolist() == [0, 1]
    assert curve["value"].tolist() == [2.0, 1.0]
    assert curve["timestamp"].tolist() == [int(1000 * (fabricated.BEGAN + 10 + step)) for step in (0, 1)]


def test_a_driver_that_died_leaves_a_killed_run_that_can_be_resumed(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    folder = fabricated.begin(tmp_path, trial, epochs=2)
    mirror(uri, tmp_path).sync([item(folder, trial, running=True)])
    # The next driver finds it without a record and does not run it.
    mirror(uri, tmp_path).sync([item(folder, trial)])
    run = only_run(uri)
    assert (run["status"], run["run_status"]) == ("interrupted", "KILLED")
    assert "launch again" in str(run["reason"])
    assert run["ended_at"] == fabricated.BEGAN + 11  # when its last epoch ended, not when it was found
    # A later one resumes and finishes it: same run, no epoch twice.
    fabricated.begin(tmp_path, trial, epochs=4)
    resumed = mirror(uri, tmp_path)
    resumed.sync([item(folder, trial, running=True)])
    assert only_run(uri)["run_status"] == "RUNNING"
    fabricated.end(folder, trial)
    resumed.sync([item(folder, trial)])
    after = only_run(uri)
    assert (after["run_id"], after["run_status"], after["reason"]) == (run["run_id"], "FINISHED", "")
    assert load_curves(uri, load_runs(uri, STUDY), ["lr"])["step"].tolist() == [0, 1, 2, 3]


def test_an_epoch_repeated_with_the_same_result_is_not_added_twice(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    folder = fabricated.begin(tmp_path, trial, epochs=2)
    running = mirror(uri, tmp_path)
    running.sync([item(folder, trial, running=True)])
    run_id = only_run(uri)["run_id"]
    again = fabricated.metric_line(1) | {"timestamp": 1}
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(again) + "\n" + json.dumps(fabricated.metric_line(2)) + "\n")
    running.sync([item(folder, trial, running=True)])
    assert only_run(uri)["run_id"] == run_id
    assert load_curves(uri, load_runs(uri, STUDY), ["lr"])["step"].tolist() == [0, 1, 2]


def test_a_trial_trained_anew_gets_a_new_run_and_the_old_one_disappears(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial, top1=0.5)
    mirror(uri, tmp_path).sync([item(folder, trial)])
    old = only_run(uri)
    fabricated.begin(tmp_path, trial, shift=0.2)
    fabricated.end(folder, trial, top1=0.6)
    mirror(uri, tmp_path).sync([item(folder, trial)])
    new = only_run(uri)
    assert new["run_id"] != old["run_id"]
    assert new["metrics.final/1x1/top1"] == 0.6
    assert load_curves(uri, load_runs(uri, STUDY), ["val/top1"])["value"].tolist() == [
        pytest.approx(0.1 * epoch + 0.2) for epoch in range(4)
    ]


def test_a_resumed_trial_may_for_a_while_hold_fewer_epochs(uri: str, tmp_path: Path, trial: Trial) -> None:
    folder = fabricated.begin(tmp_path, trial, epochs=3)
    running = mirror(uri, tmp_path)
    running.sync([item(folder, trial, running=True)])
    run_id = only_run(uri)["run_id"]
    for epochs in (1, 2, 4):
        fabricated.begin(tmp_path, trial, epochs=epochs)
        running.sync([item(folder, trial, running=True)])
    assert only_run(uri)["run_id"] == run_id
    assert load_curves(uri, load_runs(uri, STUDY), ["lr"])["step"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("status", "run_status"), [("failed", "FAILED"), ("stopped", "KILLED")])
def test_failed_and_stopped_trials_say_why(
    uri: str, tmp_path: Path, trial: Trial, status: str, run_status: str
) -> None:
    folder = fabricated.begin(tmp_path, trial, epochs=1)
    failure = Failure(kind="OutOfMemoryError", message="x" * 50_000)
    fabricated.end(folder, trial, None, status=status, failure=failure)
    assert mirror(uri, tmp_path).sync([item(folder, trial)]).errors == []
    run = only_run(uri)
    assert (run["status"], run["run_status"]) == (status, run_status)
    assert str(run["reason"]).startswith("OutOfMemoryError: xxx")


def test_another_table_that_wants_the_trial_is_added_to_its_run(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial)
    mirror(uri, tmp_path).sync([item(folder, trial)])
    rows = (*item(folder, trial).rows, TableRow("table8", "Fixed", "Fixed", 0))
    mirror(uri, tmp_path).sync([MirrorItem(folder, trial, rows)])
    run = only_run(uri)
    assert run["tags.tables"] == "table7, table8"
    assert run["run_name"] == "STH hybrid+attention · r0 · table7 (also table8)"
    assert run["status"] == "completed"


def test_a_trial_that_has_not_begun_has_no_run(uri: str, tmp_path: Path, trial: Trial) -> None:
    report = mirror(uri, tmp_path).sync([item(tmp_path / "absent", trial)])
    assert (report.created, report.errors) == (0, [])
    assert load_runs(uri, STUDY).empty


def test_one_damaged_folder_does_not_keep_the_others_back(uri: str, tmp_path: Path, trial: Trial) -> None:
    others = [Trial(trial.settings, repeat, fabricated.DIGEST) for repeat in range(1, 6)]
    items = []
    for other in others:
        folder = fabricated.begin(tmp_path, other)
        (folder / "record.json").write_text("{")
        items.append(item(folder, other))
    folder = fabricated.begin(tmp_path, trial)
    (folder / "metrics.jsonl").write_text("no json\n")
    good = fabricated.begin(tmp_path, Trial(trial.settings, 9, fabricated.DIGEST))
    items += [item(folder, trial), item(good, Trial(trial.settings, 9, fabricated.DIGEST))]
    report = mirror(uri, tmp_path).sync(items)
    assert report.created == 1
    assert len(report.errors) == 6
    assert f"{folder / 'metrics.jsonl'}:1" in report.errors[-1]


def test_a_dead_server_is_reported_quickly_and_caught_up_later(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial)
    dead = Mirror("http://127.0.0.1:9", STUDY, tmp_path / "artifacts", pause=60)
    began = time.monotonic()
    errors = dead.sync([item(folder, trial)]).errors
    assert len(errors) == 1
    assert "127.0.0.1:9" in errors[0]
    for _ in range(50):
        assert dead.sync([item(folder, trial)]).errors == errors
        assert dead.describe([item(folder, trial)]) == errors
    assert time.monotonic() - began < 15
    assert mirror(uri, tmp_path).sync([item(folder, trial)]).created == 1


def test_a_store_that_fails_in_between_is_completed_by_the_next_pass(
    uri: str, tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial)
    interrupted = Mirror(uri, STUDY, tmp_path / "artifacts", pause=0)
    calls = [(MlflowClient, name) for name in ("log_inputs", "log_batch", "set_terminated")]
    for owner, name in [*calls, (LocalArtifactRepository, "log_artifact")]:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, _fail)
            assert interrupted.sync([item(folder, trial)]).errors
    assert interrupted.sync([item(folder, trial)]).errors == []
    run = only_run(uri)
    assert (run["run_status"], run["metrics.final/1x1/top1"]) == ("FINISHED", 0.7)
    assert load_curves(uri, load_runs(uri, STUDY), ["lr"])["step"].tolist() == [0, 1, 2, 3]
    assert len(dump(uri)["runs"]) == 1


def test_a_row_that_another_writer_has_just_inserted_is_no_failure(
    uri: str, tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow looks for the data set, finds none, and inserts one: between the two another did the same."""
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial)
    write, refusals = MlflowClient.log_inputs, [MlflowException("duplicate key", BAD_REQUEST)]

    def race(*args: Any, **kwargs: Any) -> None:
        if refusals:
            raise refusals.pop()
        write(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_inputs", race)
    report = mirror(uri, tmp_path).sync([item(folder, trial)])
    assert (report.created, report.errors, refusals) == (1, [], [])
    assert len(dump(uri)["runs"]) == 1
    assert only_run(uri)["run_status"] == "FINISHED"


def test_a_row_that_is_refused_again_is_a_failure(
    uri: str, tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fabricated.begin(tmp_path, trial)

    def refuse(*args: object, **kwargs: object) -> None:
        raise MlflowException("duplicate key", BAD_REQUEST)

    monkeypatch.setattr(MlflowClient, "log_inputs", refuse)
    assert "duplicate key" in mirror(uri, tmp_path).sync([item(folder, trial)]).errors[0]


def test_an_empty_database_is_filled_again_from_the_folders(
    uri: str, tmp_path: Path, trial: Trial, empty_database: Path
) -> None:
    folder = fabricated.begin(tmp_path, trial)
    fabricated.end(folder, trial)
    mirror(uri, tmp_path).sync([item(folder, trial)])
    second = tmp_path / "second.db"
    second.write_bytes(empty_database.read_bytes())
    mirror(f"sqlite:///{second}", tmp_path).sync([item(folder, trial)])
    assert only_run(f"sqlite:///{second}")["metrics.final/1x1/top1"] == 0.7


def test_description_tells_means_and_what_is_missing(uri: str, tmp_path: Path, trial: Trial) -> None:
    items = []
    for repeat, top1 in ((0, 0.70), (1, 0.80), (2, None), (3, "absent")):
        other = Trial(trial.settings, repeat, fabricated.DIGEST)
        folder = tmp_path / "trials" / other.trial_id
        if top1 != "absent":
            fabricated.begin(tmp_path, other)
            fabricated.end(folder, other, top1)  # type: ignore[arg-type]
        row = TableRow("table7", "x", "<script>|", repeat)
        items.append(MirrorItem(folder, other, (row,)))
    writer = mirror(uri, tmp_path)
    writer.sync(items)
    assert writer.describe(items, Path("reports/generated/report.html")) == []
    client = connect(uri)
    note = client.get_experiment_by_name(STUDY).tags["mlflow.note.content"]
    line = next(line for line in note.splitlines() if "table7" in line)
    cells = [cell.strip() for cell in line.replace("\\|", "!").strip("|").split("|")]
    assert cells == ["table7", "&lt;script&gt;!", "75.0", "2 of 4", "1 failed, 1 not started"]
    assert "reports/generated/report.html" in note


@pytest.mark.parametrize("uri", ["file:///x", "./mlruns", "sqlite:x.db", "mlruns", "ftp://x"])
def test_an_address_that_mlflow_cannot_track_to_is_refused_at_once(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sqlite:///PATH"):
        Mirror(uri, STUDY, tmp_path)


def _fail(*args: object, **kwargs: object) -> None:
    raise ConnectionError("the server went away")
