"""SIGINT and SIGTERM, once and twice, and two launches on one store: with real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from study.commands.launch import LaunchOptions, launch
from study.running.attempts import read_attempts
from study.running.plan import State, make_plan
from study.running.store import Store
from study.tracking.read import load_runs
from tests.faults.grid import ToyGrid, check_runs
from tests.faults.processes import Launch, launched, wait_for

pytestmark = pytest.mark.slow
EPOCHS = 12
WAITS = "Another launch is at work on"


@pytest.fixture
def grid(store: Store) -> ToyGrid:
    return ToyGrid(store, EPOCHS, specs=("table8",))


def wait_for_training(grid: ToyGrid, running: Launch, epochs: int = 1) -> None:
    def trains() -> bool:
        assert running.running(), running.output
        return grid.count_epochs() >= epochs

    wait_for(trains, 120, "training begins")


def finish(grid: ToyGrid) -> None:
    """The next launch, and what must be true after it."""
    assert launch(grid.study, LaunchOptions(storage=grid.store.root, engine="inline")) == 0
    assert check_runs(grid, grid.store.tracking_uri) == {"runs": 2, "surplus": 0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_cleanly_and_says_how_to_go_on(
    grid: ToyGrid, tmp_path: Path, number: signal.Signals
) -> None:
    with launched(grid.arguments(), tmp_path / "log") as running:
        wait_for_training(grid, running)
        os.kill(running.process.pid, number)
        assert running.wait(60) == 130
        assert "Interrupted. Finished trials are kept; launch again to go on" in running.output
        assert "Traceback" not in running.output
        assert "RUNNING" not in set(load_runs(grid.store.tracking_uri, grid.study.name)["run_status"])
        wait_for(lambda: not running.find("ray::"), 20, "no worker is left")
    finish(grid)


def test_ctrl_c_for_the_whole_group_is_one_signal(grid: ToyGrid, tmp_path: Path) -> None:
    """A terminal sends it to every process of the group, and a parent may pass it on at once."""
    with launched(grid.arguments(), tmp_path / "log") as running:
        wait_for_training(grid, running)
        os.killpg(running.process.pid, signal.SIGINT)
        time.sleep(0.05)
        os.kill(running.process.pid, signal.SIGINT)
        assert running.wait(60) == 130
        assert "Interrupted. Finished trials are kept" in running.output
        assert "Stopped at once" not in running.output
    finish(grid)


def test_a_second_signal_stops_at_once_and_the_next_start_closes_what_is_open(
    grid: ToyGrid, tmp_path: Path
) -> None:
    with launched(grid.arguments(), tmp_path / "log") as running:
        wait_for_training(grid, running)
        wait_for(lambda: "RUNNING" in statuses(grid), 60, "MLflow has a run")
        os.kill(running.process.pid, signal.SIGINT)
        time.sleep(0.6)
        if running.running():
            os.kill(running.process.pid, signal.SIGINT)
        began = time.monotonic()
        assert running.wait(60) == 130
        assert time.monotonic() - began < 2
        assert "Traceback" not in running.output
        assert "Stopped at once" in running.output
        wait_for(lambda: not running.find("ray::ImplicitFunc"), 30, "no worker outlives its driver")
    finish(grid)


def statuses(grid: ToyGrid) -> set[str]:
    if not grid.store.database.exists():
        return set()
    return set(load_runs(grid.store.tracking_uri, grid.study.name).get("run_status", ()))


@pytest.mark.parametrize(
    "pause", [4.0, pytest.param(1.0, marks=pytest.mark.long), pytest.param(7.0, marks=pytest.mark.long)]
)
def test_a_signal_before_training_has_begun(grid: ToyGrid, tmp_path: Path, pause: float) -> None:
    """While modules are imported, data made or Ray started: it ends soon, without a traceback of ours."""
    with launched(grid.arguments(), tmp_path / "log") as running:
        wait_for(lambda: "Study " in running.output, 60, "the launch begins")
        time.sleep(pause)
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.wait(60) == 130
        assert "launch again to go on" in running.output
        assert "Traceback" not in running.output
    finish(grid)


def test_a_dead_raylet_ends_the_launch_instead_of_hanging_it(grid: ToyGrid, tmp_path: Path) -> None:
    with launched(grid.arguments(), tmp_path / "log") as running:
        wait_for_training(grid, running)
        running.kill(running.find("raylet/raylet")[0])
        assert running.wait(90) == 2
        assert "on this machine died" in running.output
        assert "launch again to go on" in running.output
        assert "Traceback" not in running.output
        assert "RUNNING" not in statuses(grid)
        wait_for(lambda: not running.find("ray::ImplicitFunc"), 30, "no worker is left")
    finish(grid)


def test_a_dead_gcs_ends_the_launch_too(grid: ToyGrid, tmp_path: Path) -> None:
    """Ray's library waits a minute for it, then ends the process that it is in."""
    with launched(grid.arguments(), tmp_path / "log") as running:
        wait_for_training(grid, running)
        running.kill(running.find("gcs/gcs_server")[0])
        assert running.wait(150) != 0
        said = " ".join(running.output.split())
        assert "Ray's gcs_server on this machine died" in said
        assert "launch again to go on" in said
        wait_for(lambda: not running.find("ray::ImplicitFunc"), 30, "no worker is left")
    finish(grid)


def test_a_trial_whose_worker_dies_again_and_again_makes_the_launch_fail(
    grid: ToyGrid, tmp_path: Path
) -> None:
    """Three times, then it is given up for this launch: exit code 1, the trial named, the next launch goes on."""
    grid = ToyGrid(grid.store, 25, specs=grid.specs)
    victim = make_plan(grid.study, grid.store).trials[0].trial_id
    folder = grid.store.folder(victim)
    with launched([*grid.arguments(), "--max-concurrent=1"], tmp_path / "log") as running:
        for death in range(1, 4):
            wait_for(lambda: len(read_attempts(folder)) == death, 120, f"attempt {death}")  # noqa: B023
            time.sleep(0.5)
            running.kill(read_attempts(folder)[-1].pid)
        assert running.wait(180) == 1
        assert f"not finished: table8 / Fixed ({victim})" in running.output
    states = {planned.trial_id: planned.state for planned in make_plan(grid.study, grid.store).trials}
    assert states.pop(victim) is State.MISSING
    assert set(states.values()) == {State.DONE}
    finish(grid)


def test_who_may_not_wait_for_another_launch_is_refused(grid: ToyGrid, tmp_path: Path) -> None:
    grid = ToyGrid(grid.store, 40, specs=grid.specs)
    with launched([*grid.arguments(), "--engine=inline"], tmp_path / "log") as first:
        wait_for_training(grid, first)
        with launched([*grid.arguments(), "--engine=inline", "--no-wait"], tmp_path / "log2") as second:
            assert second.wait(60) == 2
            assert f"error: {grid.store.root}: another launch is running on this store" in second.output
        assert first.running()
        # Nor does sync take the store away, nor call what is running interrupted.
        with launched(grid.arguments(), tmp_path / "log3", command="sync") as third:
            assert third.wait(60) == 2
            assert "another launch is running" in third.output
        # A report made meanwhile does not call interrupted what is running.
        wait_for(lambda: "RUNNING" in statuses(grid), 60, "MLflow has a run")
        with launched(grid.arguments(), tmp_path / "log4", command="report") as fourth:
            assert fourth.wait(120) == 0, fourth.output
        assert not first.running() or "KILLED" not in statuses(grid)
        assert first.wait(120) == 0
    attempts = [read_attempts(folder) for folder in grid.store.trials.iterdir()]
    assert [len(each) for each in attempts] == [1, 1]
    assert check_runs(grid, grid.store.tracking_uri) == {"runs": 2, "surplus": 0}


def test_of_two_launches_at_the_same_moment_one_waits(grid: ToyGrid, tmp_path: Path) -> None:
    both = [Launch([*grid.arguments(), "--engine=inline"], tmp_path / f"log{n}") for n in range(2)]
    try:
        assert [each.wait(120) for each in both] == [0, 0]
        outputs = sorted(both, key=lambda each: WAITS in each.output)
        assert WAITS not in outputs[0].output
        assert WAITS in outputs[1].output
        assert "Nothing to train: every trial has its record" in outputs[1].output
    finally:
        for each in both:
            each.clean_up()
    assert [len(read_attempts(folder)) for folder in grid.store.trials.iterdir()] == [1, 1]
    assert check_runs(grid, grid.store.tracking_uri) == {"runs": 2, "surplus": 0}


def test_a_launch_that_waits_is_interrupted_and_takes_over_from_one_that_died(
    grid: ToyGrid, tmp_path: Path
) -> None:
    arguments = [*grid.arguments(), "--engine=inline"]
    with launched(arguments, tmp_path / "log") as first:
        wait_for_training(grid, first)
        os.kill(first.process.pid, signal.SIGSTOP)
        with (
            launched(arguments, tmp_path / "log1") as impatient,
            launched(arguments, tmp_path / "log2") as heir,
        ):
            wait_for(lambda: all(WAITS in each.output for each in (impatient, heir)), 60, "both wait")
            os.kill(impatient.process.pid, signal.SIGINT)
            assert impatient.wait(30) == 130
            assert "Traceback" not in impatient.output
            first.kill(first.process.pid)
            assert heir.wait(120) == 0, heir.output
    assert check_runs(grid, grid.store.tracking_uri) == {"runs": 2, "surplus": 0}
