"""MLflow is away, slow or full: training goes on, everything arrives later, nothing twice."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from study.commands.launch import LaunchOptions, launch
from study.commands.sync import sync
from study.errors import StoreError
from study.running.plan import State, make_plan
from study.running.store import Store
from study.tracking import mirror as mirror_module
from study.tracking.mirror import Mirror, MirrorItem
from study.tracking.read import load_curves, load_runs
from study.tracking.store import TrackingError, connect
from tests import fabricated
from tests.faults.conftest import make_item
from tests.faults.disks import fill, mounted_disk
from tests.faults.grid import ToyGrid, check_runs
from tests.faults.processes import Server, free_port, launched, serving, wait_for
from tests.faults.proxy import proxied

pytestmark = pytest.mark.slow


def check_mirrored(uri: str, study: str, items: list[MirrorItem]) -> None:
    """Each of ``items`` once, with all its epochs, and the status of its folder."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(study)
    active = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["trial_id"] for run in active) == sorted(
        item.trial.trial_id for item in items
    )
    runs = load_runs(uri, study).set_index("trial_id")
    curves = load_curves(uri, load_runs(uri, study), ["train/loss"])
    for item in items:
        ended = (item.folder / "record.json").exists()
        assert runs.loc[item.trial.trial_id, "run_status"] == ("FINISHED" if ended else "KILLED")
        curve = curves[curves["trial_id"] == item.trial.trial_id]
        assert curve["step"].tolist() == list(range(fabricated.EPOCHS))
        run = client.get_run(str(runs.loc[item.trial.trial_id, "run_id"]))
        assert len(run.inputs.dataset_inputs) == 1
        if ended:
            assert runs.loc[item.trial.trial_id, "metrics.final/1x1/top1"] == 0.5 + item.trial.repeat / 10
            files = {file.path for file in client.list_artifacts(run.info.run_id)}
            assert files == {"record.json", "scores.npz", "attention.csv", "settings.yaml"}


def test_a_server_that_is_down_at_the_start_holds_nothing_up_and_gets_everything_later(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ToyGrid(store, epochs=2, specs=("table8",))
    server = Server(tmp_path / "server")
    options = LaunchOptions(storage=store.root, tracking_uri=server.uri, engine="inline")
    began = time.monotonic()
    assert launch(grid.study, options) == 0
    assert time.monotonic() - began < 60
    out = capsys.readouterr().out
    assert "run_study.py sync, or the next launch, writes what is missing" in out
    assert "warning: no report yet" in out
    assert make_plan(grid.study, store).count(State.DONE) == 2
    assert sync(grid.study, store.root, tracking_uri=server.uri) == 1
    assert f"not written: MLflow at {server.uri} cannot be reached" in capsys.readouterr().out.replace(
        "\n", " "
    )
    try:
        server.start()
        assert sync(grid.study, store.root, tracking_uri=server.uri) == 0
        assert "2 new, 0 brought up to date, 0 unchanged, 0 not begun" in capsys.readouterr().out
        assert check_runs(grid, server.uri) == {"runs": 2, "surplus": 0}
        assert sync(grid.study, store.root, tracking_uri=server.uri) == 0
        assert "0 new, 0 brought up to date, 2 unchanged, 0 not begun" in capsys.readouterr().out
        # The report that could not be made then is made by the next launch, and only once.
        assert launch(grid.study, options) == 0
        assert "Nothing to train" not in capsys.readouterr().out
        assert (store.report / "report.html").exists()
        assert launch(grid.study, options) == 0
        assert "Nothing to train" in capsys.readouterr().out
    finally:
        server.kill()


def test_what_mlflow_lacks_gives_the_next_launch_something_to_do(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report could be written, but a run could not be closed: without a server, and with the trials all done."""
    grid = ToyGrid(store, epochs=1, specs=("table8",))
    options = LaunchOptions(storage=store.root, engine="inline")

    def fail(*args: object, **kwargs: object) -> None:
        raise ConnectionError("the database went away")

    monkeypatch.setattr(MlflowClient, "set_terminated", fail)
    assert launch(grid.study, options) == 0
    assert "the database went away" in capsys.readouterr().out
    assert (store.report / "report.html").exists()
    monkeypatch.undo()
    assert launch(grid.study, options) == 0
    assert "Nothing to train" not in capsys.readouterr().out
    assert check_runs(grid, store.tracking_uri) == {"runs": 2, "surplus": 0}
    assert launch(grid.study, options) == 0
    assert "Nothing to train" in capsys.readouterr().out


def test_a_server_that_dies_amid_the_grid_is_caught_up_by_the_next_launch(
    store: Store, tmp_path: Path
) -> None:
    grid = ToyGrid(store, epochs=10, specs=("table8",))
    server = Server(tmp_path / "server")
    server.start()
    try:
        arguments = [*grid.arguments(server.uri), "--engine=inline"]
        with launched(arguments, tmp_path / "log") as running:
            wait_for(lambda: len(load_runs(server.uri, grid.study.name)), 120, "the first run is in MLflow")
            server.kill()
            assert running.wait(120) == 0
            assert "writes what is missing" in running.output
            assert "Traceback" not in running.output
        server.start()
        with launched(arguments, tmp_path / "log2") as running:
            assert running.wait(120) == 0
        assert check_runs(grid, server.uri) == {"runs": 2, "surplus": 0}
    finally:
        server.kill()


@pytest.mark.parametrize("fate", ["error", "done_error", "late"])
def test_errors_and_late_answers_at_random_lose_and_double_nothing(
    fate: str, server: Server, items: list[MirrorItem], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the requests go wrong: refused, or carried out although the answer says otherwise or is late."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    study, rng = f"outage-{fate}", random.Random(1)
    with proxied(server.uri) as proxy:
        proxy.choose = lambda: fate if rng.random() < 0.35 else "pass"
        proxy.delay = 1.5
        mirror = Mirror(proxy.uri, study, tmp_path / "artifacts", pause=0)
        reports = [mirror.sync(items, force=True) for _ in range(6)]
        assert any(report.errors for report in reports)
        assert fate in proxy.served
        time.sleep(2)  # what was late is carried out by now
        proxy.choose = lambda: "pass"
        assert Mirror(proxy.uri, study, tmp_path / "artifacts").sync(items, force=True).errors == []
        check_mirrored(proxy.uri, study, items)


def test_a_request_given_up_but_carried_out_leaves_no_second_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every run is made, but the answer never comes in time; the next pass looks before the server has done it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    item, study = make_item(tmp_path, 0), "given-up"
    first = Mirror(server.uri, study, tmp_path / "artifacts", pause=0)
    assert first.prepare() == []
    # The second run as a server would make it that carries out an old request late.
    monkeypatch.setattr(mirror_module, "iter_runs", lambda client, experiment: iter(()))
    with proxied(server.uri) as proxy:
        for _ in range(2):
            Mirror(proxy.uri, study, tmp_path / "artifacts").sync([item])
    monkeypatch.undo()
    client = connect(server.uri)
    experiment = client.get_experiment_by_name(study)
    assert len(client.search_runs([experiment.experiment_id])) == 2
    assert Mirror(server.uri, study, tmp_path / "artifacts").sync([item]).errors == []
    check_mirrored(server.uri, study, [item])
    everything = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    gone = [run.data.tags.get("superseded") for run in everything if run.info.lifecycle_stage == "deleted"]
    assert gone == [mirror_module.TWICE]


def test_files_go_to_the_address_that_a_server_has_now(server: Server, tmp_path: Path) -> None:
    """One process that knew it by another, which is gone: a notebook whose tunnel was opened anew."""
    item, study = make_item(tmp_path, 0), "moved"
    with proxied(server.uri) as proxy:
        assert Mirror(proxy.uri, study, tmp_path / "artifacts").sync([item]).errors == []
        # Connections that are open outlive the proxy's end.
        proxy.choose = lambda: "error"
    fabricated.end(item.folder, item.trial, top1=0.5)
    os.utime(item.folder / "record.json", (1, 1))
    assert Mirror(server.uri, study, tmp_path / "artifacts").sync([item]).errors == []
    assert "error" not in proxy.served
    check_mirrored(server.uri, study, [item])


def test_a_slow_server_does_not_hold_up_the_end(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each answer takes five seconds; the end of the launch waits for some of them, not for all."""
    monkeypatch.setattr("study.commands.tracking.LAST_PASS_SECONDS", 2.0)
    monkeypatch.setattr("study.commands.tracking.LAST_CALL_SECONDS", 3.0)
    monkeypatch.setattr("study.commands.launch._report", lambda *_: None)
    grid = ToyGrid(store, epochs=1, specs=("table6",))
    with proxied(server.uri) as proxy:
        proxy.choose, proxy.delay = lambda: "late", 5.0
        options = LaunchOptions(storage=store.root, tracking_uri=proxy.uri, engine="inline")
        assert launch(grid.study, options) == 0
        assert "writes what is missing" in capsys.readouterr().out
        with pytest.raises(AssertionError):
            check_runs(grid, server.uri)
        proxy.choose = lambda: "pass"
        time.sleep(proxy.delay + 1)
    assert sync(grid.study, store.root, tracking_uri=server.uri) == 0
    assert check_runs(grid, server.uri)["runs"] == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", 8) as folder:
        yield folder


def test_a_server_without_room_is_caught_up_when_there_is_some(
    small_disk: Path, items: list[MirrorItem], tmp_path: Path
) -> None:
    with serving(small_disk / "server") as server:
        mirror = Mirror(server.uri, "full", tmp_path / "artifacts", pause=0)
        assert mirror.sync(items[:1]).errors == []
        ballast = fill(small_disk)
        report = mirror.sync(items, force=True)
        assert report.errors
        assert not report.complete
        ballast.unlink()
        assert mirror.sync(items, force=True).errors == []
        check_mirrored(server.uri, "full", items)


def test_a_database_is_made_whole_or_not_at_all(small_disk: Path) -> None:
    """A disk that fills while MLflow makes its tables would leave what nothing can open again."""
    ballast = fill(small_disk)
    with ballast.open("rb+") as file:
        file.truncate(ballast.stat().st_size - 200 * 1024)  # room for some of the tables
    path = small_disk / "mlflow.db"
    mirror = Mirror(f"sqlite:///{path}", "study", small_disk / "artifacts", pause=0)
    assert mirror.prepare()
    assert not path.exists()
    ballast.unlink()
    assert mirror.prepare() == []
    assert [entry.name for entry in small_disk.iterdir() if entry.name.startswith(".")] == []


def test_a_driver_killed_while_the_database_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    """SIGKILL at several moments of the first opening; the last one is left to finish."""
    path = tmp_path / "mlflow.db"
    code = f"from study.tracking.store import connect; print(1, flush=True); connect('sqlite:///{path}')"
    for pause in (0.05, 0.3, 0.6, 1.0, 1.5):
        process = subprocess.Popen(["python", "-c", code], stdout=subprocess.PIPE, env=os.environ)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.kill()
        process.wait()
    assert connect(f"sqlite:///{path}").search_experiments()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_reading_from_a_server_that_is_away_is_one_clear_error() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TrackingError, match=f"MLflow at {uri} does not answer"):
        load_runs(uri, "study")


def test_a_dead_database_server_is_given_up_soon(items: list[MirrorItem], tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    uri = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    began = time.monotonic()
    assert len(Mirror(uri, "study", tmp_path).sync(items).errors) == 1
    assert time.monotonic() - began < 20


def test_sync_of_a_store_that_is_not_there_or_in_use(store: Store) -> None:
    grid = ToyGrid(store, epochs=1, specs=("table8",))
    with pytest.raises(StoreError, match="holds no trials; name the directory of the study with --storage"):
        sync(grid.study, store.root / "absent", tracking_uri=None)
    store.trials.mkdir()
    with store.locked(), pytest.raises(StoreError, match="another launch is running"):
        sync(grid.study, store.root, tracking_uri=None)
