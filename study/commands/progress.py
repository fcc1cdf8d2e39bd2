"""The live table of a launch: done, running, failed, and how long the rest will take."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from study.errors import SpecError
from study.running.forecast import AtWork, Forecast
from study.running.plan import PlannedTrial
from study.running.store import Store

ESTIMATE_SECONDS = 1.0
"""Pause between two estimates of the time that is left."""


@dataclass
class _Row:
    label: str
    epochs: int
    epoch: int = 0
    heard: float = 0.0
    """When the last epoch ended."""
    started: float = 0.0
    outcome: str = ""
    seconds: float = 0.0


@dataclass
class LaunchProgress:
    """Events of an executor, drawn as a table of the running trials under a bar of all.

    Where the output is no terminal, one line is printed for each trial that ends.
    """

    trials: list[PlannedTrial]
    store: Store
    console: Console
    concurrent: int
    prior: float | None = None
    """Seconds of a trial while none has shown its pace."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._work = {planned.trial_id: planned.work for planned in self.trials if planned.work is not None}
        self._rows = {
            planned.trial_id: _Row(describe_use(planned), planned.trial.settings.training.epochs)
            for planned in self.trials
        }
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            expand=True,
        )
        self.problems: dict[str, str] = {}
        self._trials = {planned.trial_id: planned for planned in self.trials}
        self._ended: Counter[str] = Counter()
        self._at_work: set[str] = set()
        self._estimate: tuple[float, float | None] = (-ESTIMATE_SECONDS, None)
        self._task = self._bar.add_task("", total=len(self.trials), note="")
        self._live = Live(
            get_renderable=self._draw, console=self.console, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> LaunchProgress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def started(self, trial_id: str) -> None:
        """See :class:`study.running.executor.Events`."""
        with self._lock:
            self._rows[trial_id].started = time.monotonic()
            self._at_work.add(trial_id)

    def epoch(self, trial_id: str, epoch: int) -> None:
        """See :class:`study.running.executor.Events`."""
        with self._lock:
            row = self._rows[trial_id]
            row.epoch, row.heard = epoch, time.monotonic()

    def ended(self, trial_id: str, problem: str = "") -> None:
        """See :class:`study.running.executor.Events`. ``problems`` keeps what is told of each trial."""
        # What kept a trial from being measured again leaves it the record that it had.
        record = self.store.record(trial_id) if not problem else None
        with self._lock:
            row = self._rows[trial_id]
            if row.outcome:
                return
            if problem:
                self.problems[trial_id] = problem
            row.outcome = record.status if record else "not finished"
            row.seconds = time.monotonic() - row.started if row.started else 0.0
            self._ended[row.outcome] += 1
            self._at_work.discard(trial_id)
            done, left = self._ended.total(), self._estimate_now_and_then()
            self._bar.update(self._task, completed=done, note=self._note(left))
        if record and record.status == "completed":
            primary = record.metrics.get(self._primary(trial_id))
            detail = f"top-1 {100 * primary.top1:.1f} %" if primary else ""
        else:
            detail = (
                record.failure.message if record and record.failure else problem or "died without a record"
            )
        seconds = sum(record.seconds.values()) if record else 0.0
        self.console.print(
            f"[{done}/{len(self.trials)}] {row.label}: {row.outcome}, {detail} ({seconds:.0f} s)",
            markup=False,
            highlight=False,
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the launch began."""
        return time.monotonic() - self._begun

    def estimate_left(self) -> float | None:
        """Seconds until all trials have ended; None while nothing is known."""
        waiting = [trial_id for trial_id, row in self._rows.items() if not row.started and not row.outcome]
        return self._forecast().seconds_for(waiting, self.concurrent)

    def estimate_block(self, block: Sequence[PlannedTrial]) -> float | None:
        """Seconds that the trials of ``block`` take from now; None while nothing is known."""
        with self._lock:
            return self._forecast().seconds_for([planned.trial_id for planned in block], self.concurrent)

    def _forecast(self) -> Forecast:
        now = time.monotonic()
        running = {
            trial_id: AtWork(now - row.started, row.epoch / row.epochs, max(row.heard - row.started, 0.0))
            for trial_id, row in self._rows.items()
            if row.started and not row.outcome
        }
        # What a trial takes here, with starting its process, counts; what it took on another day does not.
        finished = {
            trial_id: row.seconds for trial_id, row in self._rows.items() if row.outcome == "completed"
        }
        return Forecast(finished, self._work, running, self.prior)

    def _primary(self, trial_id: str) -> str:
        return self._trials[trial_id].trial.settings.evaluation.primary

    def _estimate_now_and_then(self) -> float | None:
        """:meth:`estimate_left`, which looks at every trial, not oftener than the eye: thousands may end in a row."""
        made, left = self._estimate
        if time.monotonic() - made >= ESTIMATE_SECONDS:
            left = self.estimate_left()
            self._estimate = time.monotonic(), left
        return left

    def _note(self, left: float | None) -> str:
        failed = self._ended.total() - self._ended["completed"]
        eta = f", about {describe_seconds(left)} left" if left is not None else ""
        return f"{len(self._at_work)} running, {failed} failed{eta}"

    def _draw(self) -> RenderableType:
        with self._lock:
            table = Table(box=None, padding=(0, 2))
            for name in ("running", "epoch", "time"):
                table.add_column(name, justify="left" if name == "running" else "right")
            now = time.monotonic()
            for row in self._rows.values():
                if row.started and not row.outcome:
                    table.add_row(row.label, f"{row.epoch}/{row.epochs}", describe_seconds(now - row.started))
            self._bar.update(self._task, note=self._note(self._estimate_now_and_then()))
        return Group(table, self._bar)


def describe_use(planned: PlannedTrial) -> str:
    """The first cell that a trial serves, as MLflow names its run: "STH hybrid · r0 · table7"."""
    use = planned.uses[0]
    return f"{use.arm} · r{use.repeat} · {use.experiment}"


def describe_seconds(seconds: float) -> str:
    """A duration for people: "48 s", "3 min 20 s", "5 h 02 min".

    >>> describe_seconds(200)
    '3 min 20 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def parse_duration(text: str) -> float:
    """Seconds of a duration as people write it.

    >>> parse_duration("1h30m")
    5400.0

    Raises:
        SpecError: when it is none, or has no unit.
    """
    import pandas as pd

    try:
        # pandas is about to drop the small d.
        seconds = float(
            pd.Timedelta(text.strip().removesuffix("d") + "D" * text.strip().endswith("d")).total_seconds()
        )
    except ValueError:
        seconds = 0.0
    # A bare number would be taken for nanoseconds.
    if not seconds > 0 or text.strip()[-1:].isdigit():
        raise SpecError(f"budget: '{text}' is no duration; give a number with a unit: 90m, 8h, 1h30m, 1d")
    return seconds
