"""Where the time of a laptop trial goes: a whole ``run_trial``, by what it does.

Functions are replaced by ones that also look at the clock, on entering and on leaving; the time of one that runs
inside another counts for the inner one alone. What a profiler does to every call of every function is not in it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tabulate import tabulate

from study.running.executor import Place
from study.running.plan import make_plan
from study.running.run_trial import run_trial
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.trial import Trial

PHASES = {
    "study.running.run_trial._train": "training",
    "study.running.run_trial._evaluate": "evaluation",
}
"""What runs in none of these is set-up."""
PARTS = {
    "study.running.run_trial.prepare_videos": "make videos",
    "study.running.run_trial.count_cost": "count parameters and multiply-accumulates",
    "study.running.run_trial._build": "build the network",
    "study.running.run_trial.fingerprint_code": "record",
    "study.running.run_trial.describe_environment": "record",
    "study.running.run_trial.save_record": "record",
    "study.running.run_trial.write_scores": "record",
    "study.running.run_trial.append_metrics": "record",
    "study.data.dataset.Videos.open": "decode, or find in the cache",
    "study.data.dataset.Videos.read": "decode, or find in the cache",
    "study.data.dataset.ClipDataset.__getitem__": "draw, crop and flip clips, make batches",
    "study.data.dataset.ViewDataset.__getitem__": "draw, crop and flip clips, make batches",
    "study.data.samples.ClipBatch.collate": "draw, crop and flip clips, make batches",
    "study.data.samples.ViewBatch.collate": "draw, crop and flip clips, make batches",
    "study.data.samples.ViewBatch.assemble": "draw, crop and flip clips, make batches",
    "study.training.fit.normalize": "normalize",
    "study.training.evaluate.normalize": "normalize",
    "study.models.recognizer.Recognizer.forward": "forward",
    "torch.autograd.backward": "backward",
    "torch.nn.utils.clip_grad_norm_": "clip the gradient",
    "torch.optim.SGD.step": "optimizer",
    "study.training.fit.save_checkpoint": "checkpoint",
}
"""Functions, and what they do."""
OTHER = "all else: loss, accuracy, rate, loops"
Key = tuple[str, str]


def make_trial(folder: Path, videos: int) -> tuple[Trial, Place]:
    """STH of table 7 at the laptop profile's scale, with ``videos`` training videos, and a store for it."""
    store = Store.at(folder / "runs")
    study = load_study(["table7"], profile="laptop", overrides=[f"data.train_videos={videos}"], repeats=1)
    planned = make_plan(study, store).find("table7", "STH hybrid", 0)
    place = Place(store.folder(planned.trial_id), store.data)
    place.folder.mkdir(parents=True, exist_ok=True)
    return planned.trial, place


@dataclass
class Stopwatch:
    """Seconds by phase and part, on the clock and of the processor; what is inside a part is not that part's."""

    wall: defaultdict[Key, float] = field(default_factory=lambda: defaultdict(float))
    processor: defaultdict[Key, float] = field(default_factory=lambda: defaultdict(float))
    _phase: str = "set-up and end"
    _parts: list[str] = field(default_factory=lambda: [OTHER])
    _last: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))

    def turn(self) -> None:
        """Book the time since the last turn on what is under way."""
        now = (time.perf_counter(), time.process_time())
        key = (self._phase, self._parts[-1])
        self.wall[key] += now[0] - self._last[0]
        self.processor[key] += now[1] - self._last[1]
        self._last = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """While ``name`` is under way."""
        self.turn()
        self._parts.append(name)
        try:
            yield
        finally:
            self.turn()
            self._parts.pop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """While phase ``name`` is under way."""
        self.turn()
        before, self._phase = self._phase, name
        try:
            yield
        finally:
            self.turn()
            self._phase = before

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Replace the functions of :data:`PHASES` and :data:`PARTS`."""
        with ExitStack() as stack:
            for enter, names in ((self.phase, PHASES), (self.part, PARTS)):
                for target, name in names.items():
                    stack.enter_context(_watched(target, lambda enter=enter, name=name: enter(name)))
            self._last = (time.perf_counter(), time.process_time())
            yield
            self.turn()


def _watched(target: str, enter: Callable[[], Any]) -> Any:
    """The patch that runs the function called ``target`` within ``enter()``."""
    owner_name, _, attribute = target.rpartition(".")
    owner = _import(owner_name)
    function = owner.__dict__[attribute]
    plain = function.__func__ if isinstance(function, classmethod) else function

    @wraps(plain)
    def run(*arguments: Any, **options: Any) -> Any:
        with enter():
            return plain(*arguments, **options)

    return patch.object(owner, attribute, classmethod(run) if isinstance(function, classmethod) else run)


def _import(name: str) -> Any:
    """The module or class called ``name``."""
    from pkgutil import resolve_name

    return resolve_name(name)


def profile_trial(trial: Trial, place: Place) -> str:
    """Run ``trial`` and say where its time went.

    Raises:
        RuntimeError: when the trial failed.
    """
    watch = Stopwatch()
    with watch.watching():
        record = run_trial(trial, place)
    if record.status != "completed":
        raise RuntimeError(f"the trial is {record.status}: {record.failure and record.failure.message}")
    return render(watch)


def render(watch: Stopwatch) -> str:
    """A row for each part, phases in the order in which they came."""
    total = sum(watch.processor.values())
    order = list(dict.fromkeys(phase for phase, _ in watch.processor))
    rows = []
    for phase in order:
        parts = {part: spent for (which, part), spent in watch.processor.items() if which == phase}
        for part, spent in sorted(parts.items(), key=lambda item: -item[1]):
            rows.append(
                [phase, part, f"{spent:.2f}", f"{100 * spent / total:.1f}", f"{watch.wall[phase, part]:.2f}"]
            )
        whole = sum(parts.values())
        wall = sum(watch.wall[phase, part] for part in parts)
        rows.append(["", "together", f"{whole:.2f}", f"{100 * whole / total:.1f}", f"{wall:.2f}"])
    rows.append(["the trial", "", f"{total:.2f}", "100.0", f"{sum(watch.wall.values()):.2f}"])
    headers = ["phase", "part", "CPU s", "%", "s on the clock"]
    return tabulate(
        rows, headers=headers, disable_numparse=True, colalign=("left", "left", "right", "right", "right")
    )
