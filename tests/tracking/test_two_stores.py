"""Two stores that hold the same study on one MLflow: neither touches the runs of the other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mlflow.entities import ViewType

from study.commands.launch import LaunchOptions, launch
from study.errors import StoreError
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.trial import Trial
from study.tracking.mirror import Mirror, MirrorItem
from study.tracking.names import TableRow
from study.tracking.read import load_runs
from study.tracking.store import connect
from tests import fabricated
from tests.running.conftest import TOY
from tests.tracking.test_mirror import dump

STUDY = "sth-ablation"


@pytest.fixture
def trial() -> Trial:
    return fabricated.trial_of(fabricated.load(["table7"]).experiments[0].arm("STH hybrid+attention"))


def item(folder: Path, trial: Trial, *, running: bool = False) -> MirrorItem:
    return MirrorItem(folder, trial, (TableRow("table7", "STH", "STH", trial.repeat),), running)


def mirror(uri: str, tmp_path: Path, owner: str) -> Mirror:
    return Mirror(uri, STUDY, tmp_path / "artifacts", owner=owner)


def list_runs(uri: str, study: str = STUDY) -> dict[str, tuple[str, str, float | None]]:
    """Run by id, also deleted ones: store, life cycle and status, accuracy."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(study)
    return {
        run.info.run_id: (
            run.data.tags["store"],
            f"{run.info.lifecycle_stage} {run.info.status}",
            run.data.metrics.get("final/1x1/top1"),
        )
        for run in client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    }


def test_the_same_trial_with_other_results_has_a_run_of_each_store(
    uri: str, tmp_path: Path, trial: Trial
) -> None:
    for owner, shift in (("a", 0.0), ("b", 0.1)):
        # Of two that began at the same moment neither is the older.
        folder = fabricated.begin(tmp_path / owner, trial, shift=shift, began=fabricated.BEGAN + shift)
        fabricated.end(folder, trial, top1=0.7 + shift)
        assert mirror(uri, tmp_path, owner).sync([item(folder, trial)]).created == 1
    expected = [("a", "active FINISHED", 0.7), ("b", "active FINISHED", pytest.approx(0.8))]
    assert sorted(list_runs(uri).values()) == expected
    before = dump(uri)
    for owner in "abab":
        folder = tmp_path / owner / "trials" / trial.trial_id
        assert mirror(uri, tmp_path, owner).sync([item(folder, trial)]).unchanged == 1
    assert dump(uri) == before
    # A report of each store has its own number, one of neither the older.
    for owner, top1 in (("a", 0.7), ("b", 0.8), ("", 0.7), ("c", 0.7)):
        runs = load_runs(uri, STUDY, owner)
        assert runs["metrics.final/1x1/top1"].tolist() == [pytest.approx(top1)]


def test_the_same_accuracy_by_other_curves_is_another_result(uri: str, tmp_path: Path, trial: Trial) -> None:
    for owner, shift in (("a", 0.0), ("b", 0.1)):
        folder = fabricated.begin(tmp_path / owner, trial, shift=shift)
        fabricated.end(folder, trial)
        assert mirror(uri, tmp_path, owner).sync([item(folder, trial)]).created == 1


def test_no_store_closes_or_continues_what_runs_in_another(uri: str, tmp_path: Path, trial: Trial) -> None:
    """The same epochs so far, as two equal machines have them: still two trials at work."""
    first, second = (fabricated.begin(tmp_path / owner, trial, epochs=1) for owner in "ab")
    mirror(uri, tmp_path, "a").sync([item(first, trial, running=True)])
    mirror(uri, tmp_path, "b").sync([item(second, trial)])
    states = sorted(list_runs(uri).values())
    assert states == [("a", "active RUNNING", None), ("b", "active KILLED", None)]
    # Trained anew in one of them: only that one's run is replaced.
    fabricated.begin(tmp_path / "b", trial, epochs=2, shift=0.3)
    mirror(uri, tmp_path, "b").sync([item(second, trial, running=True)])
    states = sorted(list_runs(uri).values())
    assert [state[:2] for state in states] == [
        ("a", "active RUNNING"),
        ("b", "active RUNNING"),
        ("b", "deleted KILLED"),
    ]


def test_a_finished_trial_that_was_imported_has_no_second_run(uri: str, tmp_path: Path, trial: Trial) -> None:
    folder = fabricated.begin(tmp_path / "a", trial)
    fabricated.end(folder, trial)
    mirror(uri, tmp_path, "a").sync([item(folder, trial)])
    (run_id,) = list_runs(uri)
    copy = tmp_path / "b" / "trials" / trial.trial_id
    shutil.copytree(folder, copy)
    os.utime(copy / "record.json", (1, 1))
    report = mirror(uri, tmp_path, "b").sync([item(copy, trial)])
    assert (report.created, report.unchanged, report.errors) == (0, 1, [])
    assert list(list_runs(uri)) == [run_id]
    before = dump(uri)
    assert mirror(uri, tmp_path, "b").sync([item(copy, trial)]).unchanged == 1
    assert mirror(uri, tmp_path, "a").sync([item(folder, trial)]).unchanged == 1
    assert dump(uri) == before
    # An older run of a third store does not come before the one that shows the same results.
    other = fabricated.begin(tmp_path / "c", trial, shift=0.5)
    fabricated.end(other, trial, top1=0.1)
    mirror(uri, tmp_path, "c").sync([item(other, trial)])
    assert load_runs(uri, STUDY, "b")["run_id"].tolist() == [run_id]
    # When the first store trains it anew, the second gets a run of its own.
    fabricated.begin(tmp_path / "a", trial, shift=0.2)
    fabricated.end(folder, trial, top1=0.9)
    mirror(uri, tmp_path, "a").sync([item(folder, trial)])
    assert mirror(uri, tmp_path, "b").sync([item(copy, trial)]).created == 1
    assert load_runs(uri, STUDY, "b")["metrics.final/1x1/top1"].tolist() == [0.7]
    assert load_runs(uri, STUDY, "a")["metrics.final/1x1/top1"].tolist() == [0.9]


def test_two_launches_of_one_study_into_one_database(uri: str, tmp_path: Path, toy_data: Path) -> None:
    study = load_study(("table8",), overrides=TOY)
    stores = []
    for name in "ab":
        store = Store.at(tmp_path / name)
        store.root.mkdir()
        (store.root / "data").symlink_to(toy_data)
        stores.append(store)
        options = LaunchOptions(storage=store.root, tracking_uri=uri, engine="inline")
        assert launch(study, options) == 0
    owners = {store.find_id() for store in stores}
    assert len(owners) == 2
    # One or two of each trial: equal results that were there before the mirror looked have no run of their own.
    states = list_runs(uri, study.name).values()
    assert {state[0] for state in states} <= owners
    assert {state[1] for state in states} == {"active FINISHED"}
    for store in stores:
        runs = load_runs(uri, study.name, store.find_id()).set_index("trial_id")
        records = {name: store.record(name) for name in runs.index}
        assert len(records) == 2
        for name, record in records.items():
            assert record is not None
            assert runs.loc[name, "metrics.final/1x1/top1"] == record.metrics["1x1"].top1


def test_the_id_of_a_store(store: Store) -> None:
    assert store.find_id() == ""
    first = store.claim_id()
    assert len(first) == 32
    assert store.claim_id() == store.find_id() == first
    for content in ("[]", '{"id": ""}', '{"id": 3}', '{"id": "a b"}', "{"):
        (store.root / "store.json").write_text(content)
        with pytest.raises(StoreError, match=r"store\.json: "):
            store.claim_id()
