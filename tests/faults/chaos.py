"""Kill whatever a launch consists of, at random moments, until the grid is done; then look at what is there.

    uv run python -m tests.faults.chaos --kills 50

Victims are the driver, a worker (a process that trains a trial), the raylet (Ray's own process on a machine), and
MLflow's server, each found below a process that this program started, and killed by its id with SIGKILL.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from study.running.attempts import read_attempts
from study.running.plan import State, make_plan
from study.running.store import Store
from tests.faults.grid import ToyGrid, check_runs, check_same_results
from tests.faults.processes import Launch, Server, wait_for

VICTIMS = ("driver", "worker", "raylet", "server")
MARKS = {"worker": "ray::ImplicitFunc", "raylet": "raylet/raylet"}
"""By what the command line of a victim is known."""


@dataclass
class Chaos:
    """Launches ``grid`` again and again and kills parts of it.

    Attributes:
        grid: what is trained.
        server: MLflow's server, running.
        kills: how often to kill something.
        rng: decides who and when.
        folder: for logs.
        seconds: longest pause between two kills.
    """

    grid: ToyGrid
    server: Server
    kills: int
    rng: random.Random
    folder: Path
    seconds: float = 12.0
    killed: Counter[str] = field(default_factory=Counter)
    launches: int = 0
    old: list[Launch] = field(default_factory=list)
    _order: list[str] = field(default_factory=list)

    def run(self, limit: float) -> None:
        """Until every trial has its record; an AssertionError after ``limit`` seconds."""
        deadline = time.monotonic() + limit
        while True:
            assert time.monotonic() < deadline, f"not done after {limit} s and {self.killed}"
            if self._launch_once(deadline) == 0:
                break  # all is done, and nothing is left to disturb
        for launch in self.old:
            wait_for(
                lambda launch=launch: not launch.find("ray::ImplicitFunc"),
                30,
                "no worker outlives its driver",
            )
            launch.clean_up()
        self._revive_server()

    def _launch_once(self, deadline: float) -> int:
        """One launch, disturbed; its exit code."""
        self.launches += 1
        launch = Launch(self.grid.arguments(self.server.uri), self.folder / f"launch{self.launches}.log")
        # What the one before left running is there when this one starts, as it would be in life.
        for old in self.old[:-1]:
            old.clean_up()
        self.old = [*self.old[-1:], launch]
        before = self.killed.copy()
        while launch.running() and sum(self.killed.values()) < self.kills:
            self._disturb(launch)
        code = launch.wait(max(1.0, deadline - time.monotonic()))
        fatal = (self.killed - before).keys() & {"driver", "raylet", "worker"}
        assert code == 0 or fatal, f"ended with {code}:\n{launch.output}"
        return code

    def _disturb(self, launch: Launch) -> None:
        """Choose a victim, wait for it and a moment more, kill it; a dead server is started again later."""
        victim = self._next_victim()
        mark = MARKS.get(victim)
        # A quarter of the kills fall on any moment of a launch, its start included; the others wait for training.
        epochs = self.grid.count_epochs() if self.rng.random() < 0.75 else -1
        while launch.running() and (
            self.grid.count_epochs() <= epochs or (mark is not None and not launch.find(mark))
        ):
            time.sleep(0.1)
        moment = time.monotonic() + self.rng.uniform(0, self.seconds)
        while launch.running() and time.monotonic() < moment:
            time.sleep(0.05)
        if not launch.running():
            self._order.append(victim)
            return
        if victim == "server":
            self.server.kill()
        else:
            pids = launch.find(mark) if mark else [launch.process.pid]
            if not pids:
                self._order.append(victim)
                return
            launch.kill(self.rng.choice(pids))
        self.killed[victim] += 1
        epochs = self.grid.count_epochs()
        print(f"{sum(self.killed.values()):3d} {victim:6s} after {epochs} epochs", flush=True)
        if victim in ("driver", "raylet"):
            launch.wait(90)
        if victim == "server":
            time.sleep(self.rng.uniform(0, 4))
            self._revive_server()

    def _next_victim(self) -> str:
        """Every kind of victim equally often, in an order of its own each time."""
        if not self._order:
            self._order = self.rng.sample(VICTIMS, len(VICTIMS))
        return self._order.pop()

    def _revive_server(self) -> None:
        if self.server._process is None:
            self.server.begin()


def run_chaos(folder: Path, grid: ToyGrid, *, kills: int, seed: int, seconds: float, limit: float) -> Chaos:
    """Disturb ``grid``, whose store is in ``folder``, and assert that nothing is lost and nothing is there twice."""
    server = Server(folder / "server")
    chaos = Chaos(grid, server, kills, random.Random(seed), folder, seconds)
    try:
        server.start()
        chaos.run(limit)
        wait_for(server.answers, 90, "the server answers again")
        settle(chaos)
        plan = make_plan(grid.study, grid.store)
        assert {planned.state for planned in plan.trials} == {State.DONE}
        print(check_runs(grid, server.uri))
    finally:
        server.kill()
        for launch in chaos.old:
            launch.clean_up()
    check_same_results(grid, grid.train_undisturbed(folder / "undisturbed"))
    return chaos


def settle(chaos: Chaos) -> None:
    """What an outage has left to the next launch arrives with it; the one after that has nothing to do."""
    for _ in range(2):
        chaos.launches += 1
        log = chaos.folder / f"launch{chaos.launches}.log"
        launch = Launch(chaos.grid.arguments(chaos.server.uri), log)
        try:
            assert launch.wait(180) == 0, launch.output
        finally:
            launch.clean_up()
    assert "Nothing to train" in log.read_text()


def main() -> int:
    """Run the long test and print what was done."""
    parser = argparse.ArgumentParser(description="Kill parts of a launch at random until its grid is done.")
    parser.add_argument("--kills", type=int, default=50, help="at least so many (default 50)")
    parser.add_argument("--epochs", type=int, default=0, help="of each trial; default: 3 a kill")
    parser.add_argument("--seed", type=int, default=0, help="decides who and when")
    parser.add_argument("--seconds", type=float, default=12.0, help="longest pause between two kills")
    parser.add_argument("--folder", type=Path, help="to keep everything; default: a temporary one")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        chaos = run_chaos(
            folder,
            ToyGrid(Store.at(folder / "store"), arguments.epochs or 3 * arguments.kills),
            kills=arguments.kills,
            seed=arguments.seed,
            seconds=arguments.seconds,
            limit=120.0 * arguments.kills,
        )
        attempts = [len(read_attempts(path)) for path in sorted(chaos.grid.store.trials.iterdir())]
    total = sum(chaos.killed.values())
    counts = ", ".join(f"{chaos.killed[victim]} {victim}" for victim in VICTIMS)
    trials = len(attempts)
    print(
        f"{total} kills ({counts}), {chaos.launches} launches, {sum(attempts)} attempts at {trials} trials, ",
        end="",
    )
    print(
        f"{time.monotonic() - began:.0f} s: {trials} finished runs, none twice, all equal to the undisturbed grid."
    )
    return 0 if total >= arguments.kills else 1


if __name__ == "__main__":
    sys.exit(main())
