"""A disk that is full or may only be read, and a clock that jumps back: nothing lost, clear errors."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from study.commands.launch import LaunchOptions, launch
from study.commands.plan import show_plan
from study.errors import DataError, StoreError
from study.running.attempts import read_attempts
from study.running.plan import State, make_plan
from study.running.store import DEBRIS_SECONDS, Store, clear_debris, discard_attempt
from study.tracking.mirror import Mirror
from study.tracking.read import load_runs
from tests.faults.conftest import make_item
from tests.faults.disks import fill, mounted_disk
from tests.faults.grid import ToyGrid, check_runs, check_same_results
from tests.faults.processes import launched

pytestmark = pytest.mark.slow
EPOCHS = 3


@pytest.fixture
def grid(store: Store) -> ToyGrid:
    return ToyGrid(store, EPOCHS, specs=("table8",))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Store:
    """The same two trials on a machine without faults."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "first").mkdir()
    (folder / "first" / "data").symlink_to(toy_data)
    first = ToyGrid(Store.at(folder / "first"), EPOCHS, specs=("table8",))
    return first.train_undisturbed(folder / "second")


def inline(grid: ToyGrid, **options: object) -> LaunchOptions:
    return LaunchOptions(storage=grid.store.root, engine="inline", **options)  # type: ignore[arg-type]


def fail_once(name: str, number: int = errno.ENOSPC) -> Callable[[str, str], None]:
    """``os.replace`` that has no room for the first file called ``name``."""
    replace, failed = os.replace, []

    def limited(source: str, target: str) -> None:
        if Path(target).name == name and not failed:
            failed.append(target)
            raise OSError(number, os.strerror(number), str(target))
        replace(source, target)

    return limited


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint.pt",
        "record.json",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("trial.json", "metrics.jsonl", "scores.npz")
        ),
    ],
)
def test_no_room_for_a_file_of_a_trial(
    grid: ToyGrid,
    undisturbed: Store,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The trial fails or the launch ends, with the reason; with room again, the rest is done once and the same."""
    monkeypatch.setattr("os.replace", fail_once(name))
    try:
        assert launch(grid.study, inline(grid)) == 1
        said = capsys.readouterr().out
    except StoreError as error:
        said = str(error)
    monkeypatch.undo()
    assert "No space left on device" in said
    assert not list(grid.store.trials.glob(f"*/.{name}.*"))
    failed = [t for t in make_plan(grid.study, grid.store).trials if t.state is State.FAILED]
    kept = {t.trial_id for t in failed if (grid.store.folder(t.trial_id) / "checkpoint.pt").exists()}
    stamps = {i: (grid.store.folder(i) / "metrics.jsonl").read_bytes() for i in kept if name == "scores.npz"}

    assert launch(grid.study, inline(grid, retry=frozenset({"failed"}))) == 0
    for trial_id, before in stamps.items():
        # Its epochs were not trained again: their lines, with their times, are the same.
        assert (grid.store.folder(trial_id) / "metrics.jsonl").read_bytes() == before
    assert check_runs(grid, grid.store.tracking_uri) == {"runs": 2, "surplus": 0}
    check_same_results(grid, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", 24) as folder:
        yield folder


def test_a_disk_that_is_really_full(
    small_disk: Path, toy_data: Path, undisturbed: Store, tmp_path: Path
) -> None:
    """Room for the start and no more: no record, no database, no report. Then there is room."""
    root = small_disk / "store"
    root.mkdir()
    (root / "data").symlink_to(toy_data)
    grid = ToyGrid(Store.at(root), EPOCHS, specs=("table8",))
    ballast = fill(small_disk)
    for room in (0, 64, 400):
        with ballast.open("rb+") as file:
            file.truncate(ballast.stat().st_size - room * 1024)
        with launched([*grid.arguments(), "--engine=inline"], tmp_path / f"log{room}") as running:
            assert running.wait(120) in (1, 2), running.output
            assert "No space left on device" in running.output
            assert "Traceback" not in running.output
        fill(small_disk)
    ballast.unlink()
    with launched([*grid.arguments(), "--engine=inline", "--retry=failed"], tmp_path / "log") as running:
        assert running.wait(120) == 0, running.output
    assert check_runs(grid, grid.store.tracking_uri)["runs"] == 2
    check_same_results(grid, undisturbed)


def test_no_room_for_the_videos(small_disk: Path, undisturbed: Store) -> None:
    """They are made whole or not at all: with room again, they are those of the undisturbed store."""
    grid = ToyGrid(Store.at(small_disk / "store"), EPOCHS, specs=("table8",))
    ballast = fill(small_disk)
    with ballast.open("rb+") as file:
        file.truncate(ballast.stat().st_size - 150 * 1024)
    with pytest.raises(DataError, match="cannot write videos: No space left on device"):
        launch(grid.study, inline(grid))
    ballast.unlink()
    assert launch(grid.study, inline(grid)) == 0
    check_same_results(grid, undisturbed)


def test_a_store_that_may_only_be_read(
    small_disk: Path, toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small_disk / "store"
    root.mkdir()
    (root / "data").symlink_to(toy_data)
    grid = ToyGrid(Store.at(root), EPOCHS, specs=("table8",))
    with launched([*grid.arguments(), "--engine=inline"], tmp_path / "log") as running:
        assert running.wait(120) == 0, running.output
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        with pytest.raises(StoreError, match=r"store: cannot be written: Read-only file system"):
            launch(grid.study, inline(grid))
        capsys.readouterr()
        show_plan(grid.study, root, count_missing=False, as_json=False)
        assert "2 done" in capsys.readouterr().out
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert launch(grid.study, inline(grid)) == 0


def test_a_clock_that_jumps_back(grid: ToyGrid, undisturbed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at it finds an hour less: nothing compares times, so nothing is lost or done twice."""
    hours = itertools.count()
    real = time.time
    monkeypatch.setattr("time.time", lambda: real() - 3600.0 * next(hours))
    assert launch(grid.study, inline(grid)) == 0
    monkeypatch.undo()
    assert check_runs(grid, grid.store.tracking_uri) == {"runs": 2, "surplus": 0}
    check_same_results(grid, undisturbed)
    runs = load_runs(grid.store.tracking_uri, grid.study.name)
    for _, run in runs.iterrows():
        record = grid.store.record(str(run["trial_id"]))
        assert record is not None
        assert record.ended_at < record.started_at
        # The latest value of a metric is that of the last step, not of the latest time.
        assert run["metrics.train/loss"] == record.train["train/loss"]
        assert [a.outcome for a in read_attempts(grid.store.folder(record.trial_id))] == ["completed"]


def test_a_record_from_the_past_is_seen_as_new(tmp_path: Path) -> None:
    """The clock of a file server went back: the record written last is not the youngest."""
    from tests import fabricated

    item, uri = make_item(tmp_path, 0), f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert Mirror(uri, "study", tmp_path / "artifacts").sync([item]).created == 1
    fabricated.end(item.folder, item.trial, top1=0.25)
    os.utime(item.folder / "record.json", (0, 0))
    assert Mirror(uri, "study", tmp_path / "artifacts").sync([item]).errors == []
    assert len(load_runs(uri, "study")) == 1
    assert load_runs(uri, "study").iloc[0]["metrics.final/1x1/top1"] == 0.25


def test_a_process_killed_amid_discarding_leaves_no_old_weights_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the moment, a folder without a record holds none of the weights that were to be forgotten."""
    unlink = Path.unlink
    for survived in range(5):
        folder = tmp_path / str(survived)
        folder.mkdir()
        for name in ("record.json", "checkpoint.pt", "metrics.jsonl", "trial.json", "scores.npz"):
            (folder / name).write_text(name)
        calls = itertools.count()

        def limited(path: Path, missing_ok: bool = False) -> None:
            if next(calls) >= survived:  # noqa: B023
                raise KeyboardInterrupt
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", limited)
        with pytest.raises(KeyboardInterrupt):
            discard_attempt(folder)
        monkeypatch.undo()
        assert (folder / "record.json").exists() or not (folder / "checkpoint.pt").exists()


def test_what_a_killed_process_left_half_written_is_taken_away_later(tmp_path: Path) -> None:
    old, young, record = (
        tmp_path / ".checkpoint.pt.abc",
        tmp_path / ".record.json.x",
        tmp_path / "record.json",
    )
    for path in (old, young, record):
        path.write_text("")
    os.utime(old, (time.time() - DEBRIS_SECONDS - 60,) * 2)
    os.utime(record, (0, 0))
    clear_debris(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".record.json.x", "record.json"]
