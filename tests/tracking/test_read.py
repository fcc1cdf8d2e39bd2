"""Reading back: frames that hold what the folders held."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.spec.trial import Trial
from study.tracking import read
from study.tracking.mirror import Mirror, MirrorItem
from study.tracking.names import TableRow
from study.tracking.read import load_attention, load_curves, load_runs
from study.tracking.store import connect
from tests import fabricated


def test_a_store_that_does_not_exist_gives_empty_frames_and_is_not_created(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/none.db"
    runs = load_runs(uri, "study")
    assert runs.empty
    assert "trial_id" in runs
    assert load_attention(uri, runs).empty
    assert load_curves(uri, runs).empty
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_study_gives_an_empty_frame(uri: str) -> None:
    assert load_runs(uri, "another").empty


def test_attention_comes_back_as_it_was_recorded(uri: str, tmp_path: Path) -> None:
    arm = fabricated.load(["table7"]).experiments[0].arm("STH hybrid+attention")
    plain = fabricated.load(["table6"]).experiments[0].arm("p=0")
    trials = [fabricated.trial_of(arm, 0), fabricated.trial_of(arm, 1), fabricated.trial_of(plain, 0)]
    items = []
    for trial in trials:
        folder = fabricated.begin(tmp_path, trial)
        fabricated.end(folder, trial)
        items.append(MirrorItem(folder, trial, (TableRow("t", "a", "a", trial.repeat),)))
    assert Mirror(uri, "study", tmp_path / "artifacts with spaces").sync(items).errors == []
    attention = load_attention(uri, load_runs(uri, "study"))
    assert set(attention["trial_id"]) == {trial.trial_id for trial in trials[:2]}
    for trial in trials[:2]:
        rows = attention[attention["trial_id"] == trial.trial_id]
        expected = [block.model_dump() for block in fabricated.attention(trial)]
        assert rows.drop(columns="trial_id").to_dict("records") == expected


@pytest.mark.parametrize("direct", [True, False], ids=["database", "client"])
def test_a_curve_is_in_the_order_of_its_steps_and_has_each_once(
    uri: str, tmp_path: Path, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock went back between two epochs, and one was logged again."""
    trial: Trial = fabricated.trial_of(fabricated.load(["table6"]).experiments[0].arms[0])
    mirror = Mirror(uri, "study", tmp_path / "artifacts")
    folder = fabricated.begin(tmp_path, trial, epochs=0)
    mirror.sync([MirrorItem(folder, trial, (TableRow("t", "a", "a", 0),))])
    runs = load_runs(uri, "study")
    client, run_id = connect(uri), str(runs["run_id"].iloc[0])
    for step, value, when in ((1, 0.1, 900), (2, 0.2, 500), (3, 0.3, 700), (1, 0.4, 950), (2, 0.9, 400)):
        client.log_metric(run_id, "lr", value, timestamp=when, step=step)
    if not direct:
        monkeypatch.setattr(read, "sqlite_path", lambda uri: None)
    curves = load_curves(uri, load_runs(uri, "study"), ["lr"])
    assert curves["step"].tolist() == [1, 2, 3]
    assert curves["value"].tolist() == [0.4, 0.2, 0.3]
    assert curves["timestamp"].tolist() == [950, 500, 700]


def test_runs_of_foreign_origin_are_left_out(uri: str, tmp_path: Path) -> None:
    trial: Trial = fabricated.trial_of(fabricated.load(["table6"]).experiments[0].arms[0])
    folder = fabricated.begin(tmp_path, trial)
    mirror = Mirror(uri, "study", tmp_path / "artifacts")
    mirror.sync([MirrorItem(folder, trial, (TableRow("t", "a", "a", 0),))])
    connect(uri).create_run(mirror.experiment_id, run_name="by hand")
    runs = load_runs(uri, "study")
    assert runs["trial_id"].tolist() == [trial.trial_id]
    assert runs["fragment"].iloc[0] == f"#/experiments/{mirror.experiment_id}/runs/{runs['run_id'].iloc[0]}"
