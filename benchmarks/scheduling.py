"""What the harness adds to bare Ray Tune, and to a driver's memory.

    uv run python -m benchmarks.scheduling                    trials that do nothing, against bare Tune
    uv run python -m benchmarks.scheduling --memory 1000      the driver's resident memory over so many trials
    uv run python -m benchmarks.scheduling --memory 200 --bare   that of a driver of bare Tune; kept nowhere
    uv run python -m benchmarks.scheduling --plan 10000       time to plan so many trials
    uv run python -m benchmarks.scheduling --save             keeps the figures, as with the others

Both contestants use one Ray, the same settings and as many trials at a time, and take turns; each trial starts a
process of its own and reports once. Ours imports the specification, unpacks its trial, notes its attempt in the store
(two lines, flushed to the disk) and holds the trial's lock. What a real trial does besides, importing torch above all,
is left out of both. Times on a shared machine mean little; ratios of neighbors in time mean something.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.history import Keeper, add_save_option
from study.running.executor import Job, Place
from study.running.plan import make_plan
from study.running.ray_tune import RayExecutor, run_jobs
from study.running.ray_tune.connection import connected
from study.running.ray_tune.listener import make_listener
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.record import TrialRecord
from study.spec.trial import Trial

ARMS = 9
"""Distinct trials of tables 6, 7 and 8."""
PLANS = 3
"""Times that a plan is made; the first also imports what planning needs."""
Found = dict[str, list[float]]
"""Values of every turn by name of the target."""


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10, help="trials of a turn")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each contestant")
    parser.add_argument("--concurrent", type=int, default=2, help="trials at a time")
    parser.add_argument(
        "--memory", type=int, default=0, help="trials to watch the driver's memory over; then stop"
    )
    parser.add_argument("--bare", action="store_true", help="with --memory: trials of bare Tune")
    parser.add_argument("--plan", type=int, default=0, help="trials to plan; then stop")
    add_save_option(parser)
    arguments = parser.parse_args()
    keeper = Keeper("scheduling", arguments.save)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if arguments.plan:
            found = time_plan(folder, arguments.plan)
        elif arguments.memory:
            run = run_bare if arguments.bare else run_ours
            found = watch_memory(folder, arguments.memory, arguments.concurrent, run)
            found = {} if arguments.bare else found
        else:
            found = race(folder, arguments.trials, arguments.rounds, arguments.concurrent)
    print(keeper.conclude(found))


def make_jobs(root: Path, count: int) -> list[Job]:
    """Jobs of ``count`` distinct trials in a store of their own."""
    store = Store.at(root)
    study = load_study(["table6", "table7", "table8"], repeats=-(-count // ARMS))
    trials = make_plan(study, store).trials[:count]
    return [Job(planned.trial, Place(store.folder(planned.trial_id), store.data)) for planned in trials]


def run_nothing(trial: Trial, place: Place, tick: Callable[[int], None]) -> TrialRecord:
    """Stands for ``run_trial``."""
    tick(1)
    return TrialRecord.model_construct(status="completed", failure=None)


class Listening:
    """Notes the driver's memory when trials end."""

    def __init__(self) -> None:
        self.resident: list[float] = []

    def started(self, trial_id: str) -> None:
        """See :class:`study.running.executor.Events`."""

    def epoch(self, trial_id: str, epoch: int) -> None:
        """See :class:`study.running.executor.Events`."""

    def ended(self, trial_id: str, problem: str = "") -> None:
        """See :class:`study.running.executor.Events`."""
        self.resident.append(resident_mib())


def race(folder: Path, trials: int, rounds: int, concurrent: int) -> Found:
    """Print the seconds a trial of both contestants; their ratio in each turn."""
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    with connected(None):
        for turn in range(rounds + 1):
            for name, run in (("bare", run_bare), ("ours", run_ours)):
                began = time.perf_counter()
                run(folder / f"{name}{turn}", trials if turn else 4, concurrent)
                if turn:  # the first turn warms caches
                    seconds[name].append((time.perf_counter() - began) / trials)
    print(f"{trials} trials a turn, {concurrent} at a time, {rounds} turns each; medians")
    for name, values in seconds.items():
        print(f"{name}: {statistics.median(values):.3f} s a trial")
    pairs = zip(seconds["ours"], seconds["bare"], strict=True)
    return {"a trial that does nothing, ours / bare Tune": [ours / bare for ours, bare in pairs]}


def run_ours(folder: Path, trials: int, concurrent: int) -> Listening:
    """``trials`` that do nothing, as the executor runs them."""
    jobs, events = make_jobs(folder, trials), Listening()
    with tempfile.TemporaryDirectory() as scratch:
        executor = RayExecutor(max_concurrent=concurrent, run_one=run_nothing)
        run_jobs(executor, jobs, make_listener(events, None), None, scratch)
    assert len(events.resident) == trials
    return events


def run_bare(folder: Path, trials: int, concurrent: int) -> Listening:
    """``trials`` that do nothing, as Tune's documentation has it."""
    from ray import tune

    events = Listening()

    class Passing(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            events.ended(trial.trial_id)

        def __getstate__(self) -> dict[str, Any]:
            return {}

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"epoch": 1})

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"trial": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=concurrent),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0, callbacks=[Passing()]),
    )
    assert tuner.fit().num_errors == 0
    return events


def watch_memory(
    folder: Path, trials: int, concurrent: int, run: Callable[[Path, int, int], Listening]
) -> Found:
    """Print the resident memory of this process at tenths of ``trials``; the last over the first of them."""
    with connected(None):
        resident = run(folder, trials, concurrent).resident
    step = max(1, trials // 10)
    for number in range(step, trials + 1, step):
        print(f"{number:6d} trials: {resident[number - 1]:.1f} MiB")
    return {f"growth of the driver's memory over {trials:,} trials": [resident[-1] / resident[step - 1]]}


def resident_mib() -> float:
    """Resident memory of this process, mebibytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def time_plan(folder: Path, trials: int) -> Found:
    """Seconds to load and plan ``trials`` of which the store holds none, three times."""
    seconds = []
    for turn in range(PLANS):
        began, worked = time.perf_counter(), time.process_time()
        jobs = make_jobs(folder / str(turn), trials)
        seconds.append(time.perf_counter() - began)
        work = time.process_time() - worked
        print(f"{len(jobs)} trials: loaded and planned in {seconds[-1]:.2f} s ({work:.2f} CPU s)")
    return {f"plan of {trials:,} trials": seconds}


if __name__ == "__main__":
    main()
