"""``launch``: train what is missing, keep MLflow in step, write the report."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import Progress, TaskID

from study.commands.plan import summarize
from study.commands.progress import LaunchProgress, describe_seconds
from study.data.catalog import open_dataset
from study.data.opening import prepare_videos
from study.errors import DataError
from study.running.executor import Executor, Job, Place
from study.running.plan import Plan, PlannedTrial, State, make_plan
from study.running.store import Store, discard_attempt
from study.spec.record import write_json
from study.spec.resolved import Experiment, Study

MIRROR_SECONDS = 3.0
"""Pause between two passes of the mirror while trials run."""


@dataclass(frozen=True)
class LaunchOptions:
    """How to launch, as the command line says it."""

    storage: Path
    tracking_uri: str | None = None
    address: str | None = None
    max_concurrent: int | None = None
    retry: frozenset[str] = frozenset()
    engine: str = "ray"
    budget: float | None = None
    """Seconds after which no block of trials is begun that would not end in time; None for no limit."""


def launch(study: Study, options: LaunchOptions) -> int:
    """Run what is missing of ``study``. Returns the exit code: 0 all done, 1 a trial failed.

    Raises:
        StudyError: when the request cannot be carried out; nothing has been trained then.
        KeyboardInterrupt: when interrupted, after the trials that were running have been noted.
    """
    begun = time.monotonic()
    console = Console(highlight=False)
    store = Store.at(options.storage)
    with store.locked():
        plan = make_plan(study, store)
        if plan.warnings:
            raise DataError("\n".join(plan.warnings))
        retry = frozenset(State(state) for state in options.retry)
        todo = plan.runnable(retry)
        headline = f"Study {study.name}, profile {study.profile.name}: {summarize(plan)}"
        console.print(headline, markup=False, soft_wrap=True)
        if not todo and _is_reported(plan, store, options):
            console.print(
                f"Nothing to train: every trial has its record ({describe_seconds(time.monotonic() - begun)})."
            )
        else:
            _prepare_data(todo, store, console)
            _discard(todo, store)
            plan = _run(plan, todo, store, options, console)
            elapsed = describe_seconds(time.monotonic() - begun)
            facts = {"last launch": f"{elapsed} for {len(todo)} trials, with videos, tracking and scheduling"}
            _report(plan, store, options, facts)
        _print_end(plan, store, options, console, time.monotonic() - begun)
    return 1 if plan.count(State.FAILED) + plan.count(State.BLOCKED) else 0


def _run(
    plan: Plan, todo: list[PlannedTrial], store: Store, options: LaunchOptions, console: Console
) -> Plan:
    """Train ``todo`` beside a thread that mirrors; returns the plan as it stands afterwards."""
    from study.commands.tracking import TrackingThread

    concurrent = options.max_concurrent or _guess_concurrent(todo)
    prior = plan.study.profile.seconds_per_trial
    with TrackingThread(plan, store, options.tracking_uri, MIRROR_SECONDS) as tracking:
        if todo:
            with LaunchProgress(todo, store, console, concurrent, prior) as progress:
                try:
                    with _interruptible():
                        for block in plan.blocks(todo) if options.budget else [todo]:
                            if not _fits(block, progress, options.budget, console):
                                break
                            for wave in plan.waves(block):
                                jobs = list(_make_jobs(wave, store))
                                if jobs:
                                    _executor(options).run(jobs, tracking.listen(progress))
                except KeyboardInterrupt:
                    console.print("Interrupted. Finished trials are kept; launch again to go on.")
                    raise
    plan = make_plan(plan.study, store)
    for problem in tracking.problems:
        console.print(f"warning: {problem}", style="yellow", markup=False)
    return plan


def _fits(
    block: Sequence[PlannedTrial], progress: LaunchProgress, budget: float | None, console: Console
) -> bool:
    """Whether ``block`` ends within the budget, as far as that can be told; says so where it does not."""
    if budget is None:
        return True
    needed, left = progress.estimate_block(block), budget - progress.elapsed
    if needed is None or needed <= left:
        return True
    console.print(
        f"Budget of {describe_seconds(budget)}: repeat {block[0].trial.repeat} ({len(block)} trials, about "
        f"{describe_seconds(needed)}) would not end within the {describe_seconds(max(left, 0))} that are left. Every "
        "arm has the repeats before it; launch again to go on.",
        soft_wrap=True,
    )
    return False


def _make_jobs(wave: Sequence[PlannedTrial], store: Store) -> Iterator[Job]:
    """Jobs for trials that can start now; those whose parent has failed are left."""
    for planned in wave:
        parent = store.folder(planned.parent.trial_id) if planned.parent else None
        if planned.parent is not None:
            record = store.record(planned.parent.trial_id)
            if record is None or record.status != "completed":
                continue
        yield Job(planned.trial, Place(store.folder(planned.trial_id), store.data, parent))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM, which cluster schedulers send first, stop a launch as Ctrl+C does.

    So does SIGINT, even where the shell that started this process in the background had it ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _executor(options: LaunchOptions) -> Executor:
    if options.engine == "inline":
        from study.running.inline import InlineExecutor

        return InlineExecutor()
    from study.running.ray_tune import RayExecutor

    return RayExecutor(address=options.address, max_concurrent=options.max_concurrent)


def _guess_concurrent(todo: Sequence[PlannedTrial]) -> int:
    cpus = [planned.trial.settings.resources.cpus for planned in todo]
    return max(1, int((os.cpu_count() or 1) // max(cpus))) if cpus else 1


def _prepare_data(todo: Sequence[PlannedTrial], store: Store, console: Console) -> None:
    """Make what the trials read, once, before any of them starts."""
    wanted = {
        (planned.trial.data_digest, modality.model_dump_json()): (planned.trial.settings.data, modality)
        for planned in todo
        for modality in [planned.trial.settings.clip.modality]
    }
    for spec, modality in wanted.values():
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(f"videos of '{spec.type}'", total=None)
            source = open_dataset(spec, store.data)
            prepare_videos(source, source.manifest(), modality, partial(_show, progress, task))


def _show(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


def _discard(todo: Sequence[PlannedTrial], store: Store) -> None:
    """Take away records that are to be made anew; a protocol change keeps the weights."""
    for planned in todo:
        if planned.state in (State.STALE, State.FAILED):
            discard_attempt(store.folder(planned.trial_id))


def _report(plan: Plan, store: Store, options: LaunchOptions, facts: Mapping[str, str]) -> None:
    from study.commands.report import write_report_of

    write_report_of(plan, store, tracking_uri=options.tracking_uri, output=store.report, facts=facts)
    write_json(store.facts, dict(facts))
    write_json(store.root / "reported.json", _describe_inputs(plan, options))


def _is_reported(plan: Plan, store: Store, options: LaunchOptions) -> bool:
    """Whether the last report was written from exactly these records, so that nothing is left to do."""
    made = [store.report / "report.html"]
    if options.tracking_uri is None:
        made.append(store.database)
    try:
        reported = json.loads((store.root / "reported.json").read_text())
    except (OSError, ValueError):
        return False
    return reported == _describe_inputs(plan, options) and all(path.exists() for path in made)


def _describe_inputs(plan: Plan, options: LaunchOptions) -> dict[str, object]:
    return {
        "study": plan.study.name,
        "tracking_uri": options.tracking_uri or "",
        "experiments": [experiment.spec.model_dump(mode="json") for experiment in plan.study.experiments],
        "trials": [
            [planned.trial_id, planned.state.value, planned.record.ended_at if planned.record else 0.0]
            for planned in plan.trials
        ],
    }


def _print_end(plan: Plan, store: Store, options: LaunchOptions, console: Console, seconds: float) -> None:
    """What was found, where the report lies, how to open MLflow."""
    for planned in plan.trials:
        if planned.state in (State.FAILED, State.BLOCKED):
            arms = ", ".join(f"{use.experiment} / {use.arm}" for use in planned.uses)
            text = f"{planned.state.value}: {arms} ({planned.trial_id}): {planned.reason}"
            console.print(text, style="red", markup=False)
    console.print(f"{_find(plan)} Measured in {describe_seconds(seconds)}.", markup=False, soft_wrap=True)
    console.print(f"Report: {store.report / 'report.html'}", markup=False, soft_wrap=True)
    extra = f" --storage {options.storage}" if options.storage != Path("runs") else ""
    extra += f" --tracking-uri {options.tracking_uri}" if options.tracking_uri else ""
    console.print(f"MLflow: uv run run_study.py ui{extra}", markup=False, soft_wrap=True)


def _find(plan: Plan) -> str:
    """One sentence about the accuracies: the best arm and the baseline of each table and data set."""
    parts = []
    for experiment in plan.study.experiments:
        for dataset in experiment.datasets:
            means = _means(plan, experiment, dataset.name)
            if not means:
                continue
            best, baseline = max(means, key=lambda name: means[name]), experiment.spec.baseline
            on = f" on {dataset.label}" if len(experiment.datasets) > 1 else ""
            text = f"{experiment.name}{on}: best is {best} with {100 * means[best]:.1f} % top-1"
            if baseline in means and baseline != best:
                text += f", baseline {baseline} {100 * means[baseline]:.1f} %"
            parts.append(text)
    return "; ".join(parts) + "." if parts else "No trial has finished."


def _means(plan: Plan, experiment: Experiment, dataset: str) -> dict[str, float]:
    """Mean top-1 of each row on ``dataset`` of which every trial has finished."""
    means = {}
    for row in experiment.rows:
        cells = [
            plan.find(experiment.name, arm.name, repeat)
            for arm in row.on(dataset)
            for repeat in range(experiment.repeats)
        ]
        values = [
            cell.record.metrics[cell.trial.settings.evaluation.primary].top1
            for cell in cells
            if cell.record and cell.record.status == "completed"
        ]
        if values and len(values) == len(cells):
            means[row.name] = sum(values) / len(values)
    return means
