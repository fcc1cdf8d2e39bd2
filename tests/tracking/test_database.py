"""The direct way to read a local database gives what MLflow's client gives; files come from disk or from a server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from study.errors import StoreError
from study.scores import ViewScores, dump_scores
from study.tracking import read, state
from study.tracking.artifacts import Artifacts, local_folder
from study.tracking.mirror import Mirror, MirrorItem
from study.tracking.names import TableRow
from study.tracking.read import RunScores, load_attention, load_curves, load_runs
from study.tracking.state import iter_runs
from study.tracking.store import connect
from tests import fabricated

STUDY = "study"


@pytest.fixture
def filled(uri: str, tmp_path: Path) -> str:
    """Five trials: completed, failed, unfinished, one whose run was deleted, and one in another experiment."""
    arms = fabricated.load(["table7"]).experiments[0].arms
    items = []
    for number, arm in enumerate(arms):
        trial = fabricated.trial_of(arm)
        folder = fabricated.begin(tmp_path, trial, shift=0.01 * number)
        if number != 2:
            fabricated.end(folder, trial, None if number == 1 else 0.5 + 0.1 * number)
        items.append(MirrorItem(folder, trial, (TableRow("table7", arm.name, arm.label, 0),)))
    mirror = Mirror(uri, STUDY, tmp_path / "artifacts with spaces")
    assert mirror.sync(items[:4]).errors == []
    assert Mirror(uri, "another", tmp_path / "artifacts").sync(items[4:]).errors == []
    client = connect(uri)
    runs = load_runs(uri, STUDY)
    deleted = items[3].trial.trial_id
    client.delete_run(runs.set_index("trial_id")["run_id"][deleted])
    runs = runs[runs["trial_id"] != deleted]
    client.log_metric(runs["run_id"].iloc[0], "val/top1", float("nan"), step=99)
    return uri


def break_direct_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise sqlite3.OperationalError("no such table: runs")

    for module, name in ((read, "read_runs"), (read, "read_histories"), (state, "read_runs")):
        monkeypatch.setattr(module, name, refuse)


def test_both_ways_give_the_same_frames(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    direct = load_runs(filled, STUDY)
    curves = load_curves(filled, direct)
    assert len(direct) == 3
    assert np.isnan(direct["metrics.val/top1"].iloc[0])
    # Four epochs of four metrics for each of three trials; the first trial's last val/top1 is no number.
    assert len(curves) == 3 * 4 * 4 - 4
    break_direct_reading(monkeypatch)
    asked = load_runs(filled, STUDY)
    pd.testing.assert_frame_equal(direct, asked[direct.columns])
    assert set(asked) == set(direct)
    keys = ["trial_id", "metric", "step"]
    expected = load_curves(filled, asked).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(curves.sort_values(keys, ignore_index=True), expected)


def test_the_mirror_sees_the_same_states_both_ways(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(filled)
    experiment = client.get_experiment_by_name(STUDY).experiment_id
    direct = [state.read_state(run) for run in iter_runs(client, experiment)]
    assert len(direct) == 3
    assert sorted(bool(one.record) for one in direct) == [False, True, True]
    break_direct_reading(monkeypatch)
    assert direct == [state.read_state(run) for run in iter_runs(client, experiment)]


def scores(seed: int) -> ViewScores:
    generator = np.random.default_rng(seed)
    names = np.array([f"v{number}" for number in range(5)])
    logits = generator.normal(size=(5, 1, 3)).astype(np.float32)
    return ViewScores(names, np.arange(5) % 3, ("view",), logits, np.ones((5, 1), np.int64))


@pytest.fixture
def scored(uri: str, tmp_path: Path) -> tuple[str, list[str]]:
    """Two completed trials with scores, one with a file of the first version."""
    arms = fabricated.load(["table7"]).experiments[0].arms[:2]
    trials = [fabricated.trial_of(arm) for arm in arms]
    items = []
    for number, trial in enumerate(trials):
        folder = fabricated.begin(tmp_path, trial)
        fabricated.end(folder, trial, 0.5)
        if number:
            logits = scores(1).logits
            old = {"video_ids": scores(1).video_ids, "labels": scores(1).labels, "1x1": logits}
            np.savez(folder / "scores.npz", **old)
        else:
            (folder / "scores.npz").write_bytes(dump_scores(scores(0)))
        items.append(MirrorItem(folder, trial, (TableRow("table7", "a", "a", number),)))
    assert Mirror(uri, STUDY, tmp_path / "artifacts with spaces").sync(items).errors == []
    return uri, [trial.trial_id for trial in trials]


def test_scores_of_both_versions_come_from_disk(
    scored: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, (first, second) = scored
    monkeypatch.setattr(MlflowClient, "download_artifacts", None)  # not asked
    loaded = RunScores(uri, load_runs(uri, STUDY))
    assert loaded.has(first)
    assert not loaded.has("unknown")
    assert np.array_equal(loaded.load(first).logits, scores(0).logits)
    assert np.array_equal(loaded.load(second).logits, scores(1).logits)
    assert loaded.load(second).views == ("tsn 1/2 center 32",)
    with pytest.raises(StoreError, match=r"trial unknown: .* holds no completed run of it"):
        loaded.load("unknown")


def test_a_lost_file_is_named(scored: tuple[str, list[str]]) -> None:
    uri, (first, _) = scored
    runs = load_runs(uri, STUDY)
    folder = local_folder(runs.set_index("trial_id")["artifact_uri"][first])
    assert folder is not None
    (folder / "scores.npz").unlink()
    with pytest.raises(StoreError, match=r"its scores cannot be read .* no file .*scores\.npz"):
        RunScores(uri, runs).load(first)


class Server:
    """A client of a server that keeps files by itself; counts what it is asked for."""

    tracking_uri = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        self.asked.append((run_id, path))
        if run_id == "lost":
            raise OSError("gone")
        target = Path(dst_path) / path
        target.write_text(f"{path} of {run_id}")
        return str(target)


def test_files_of_a_server_are_fetched_once_and_ahead() -> None:
    server = Server()
    locations = {"a": "mlflow-artifacts:/1/a", "b": "s3://bucket/b", "lost": "s3://bucket/lost"}
    artifacts = Artifacts(server, locations)  # type: ignore[arg-type]
    artifacts.prefetch(["a", "b"], "scores.npz")
    assert artifacts.find("b", "scores.npz").read_text() == "scores.npz of b"
    assert artifacts.find("a", "scores.npz").read_text() == "scores.npz of a"
    assert artifacts.find("a", "scores.npz").exists()
    assert sorted(server.asked) == [("a", "scores.npz"), ("b", "scores.npz")]
    with pytest.raises(StoreError, match=r"run lost: scores\.npz cannot be fetched: .*gone"):
        artifacts.find("lost", "scores.npz")


@pytest.mark.parametrize(
    ("location", "folder"),
    [
        ("file:///runs/with%20space", Path("/runs/with space")),
        ("file://localhost/runs", Path("/runs")),
        ("/runs/a", Path("/runs/a")),
        ("file://elsewhere/runs", None),
        ("s3://bucket/a", None),
        ("mlflow-artifacts:/1/a", None),
    ],
)
def test_what_lies_on_this_disk(location: str, folder: Path | None) -> None:
    assert local_folder(location) == folder


def test_coefficients_without_their_file_are_an_error(uri: str, tmp_path: Path) -> None:
    trial = fabricated.trial_of(fabricated.load(["table7"]).experiments[0].arm("STH hybrid+attention"))
    fabricated.end(fabricated.begin(tmp_path, trial), trial)
    item = MirrorItem(tmp_path / "trials" / trial.trial_id, trial, (TableRow("t", "a", "a", 0),))
    assert Mirror(uri, STUDY, tmp_path / "artifacts").sync([item]).errors == []
    runs = load_runs(uri, STUDY)
    assert len(load_attention(uri, runs)) == fabricated.BLOCKS
    next((tmp_path / "artifacts").rglob("attention.csv")).unlink()
    with pytest.raises(StoreError, match=r"no file .*attention\.csv"):
        load_attention(uri, runs)
