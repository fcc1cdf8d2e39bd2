"""``launch``: train what is missing, keep MLflow in step, write the report."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import Progress, TaskID

from study.commands.findings import describe_findings
from study.commands.plan import summarize
from study.commands.progress import LaunchProgress, describe_seconds
from study.data.catalog import open_dataset
from study.data.opening import prepare_videos
from study.errors import DataError, StoreError
from study.running.executor import Events, Executor, Job, Place
from study.running.failures import FailureClass, classify
from study.running.interruption import INTERRUPTED, interruptible
from study.running.plan import RUNNABLE, Plan, PlannedTrial, State, make_plan
from study.running.store import Store, clear_debris, discard_attempt
from study.spec.record import write_json
from study.spec.resolved import Study

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors of a disk that is full or may only be read."""
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
    """Seconds after which no block of trials is begun that would not end in time, waiting for the store among them;
    None for no limit."""
    wait_seconds: float = 0.0
    """How long to wait for nodes of a cluster that can hold the trials."""
    wait_for_store: bool = True
    """Whether to wait where another launch is at work on the store, and not to raise."""
    tracked: bool = True
    """Whether MLflow and a report follow; without, a machine needs neither, and both can be made of the store later."""


def launch(study: Study, options: LaunchOptions) -> int:
    """Run what is missing of ``study``. Returns the exit code: 0 all done, 1 a trial failed or died.

    Raises:
        StudyError: when the request cannot be carried out; nothing has been trained then.
        KeyboardInterrupt: when interrupted, after the trials that were running have been noted.
    """
    console = Console(highlight=False)
    try:
        with interruptible():
            return _launch(study, options, console)
    except KeyboardInterrupt:
        console.print(INTERRUPTED, soft_wrap=True)
        raise
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise StoreError(
            f"{error.filename or options.storage}: {error.strerror}. What was finished is kept; make room, then "
            "launch again to go on"
        ) from None


@dataclass
class _Outcome:
    """What came of a launch.

    Attributes:
        plan: the plan as it stands afterwards.
        unfinished: trials that were begun and are not done: their processes died, or they raised what is no record.
        reasons: why, by trial id, as far as the executor could tell.
        problems: what MLflow lacks, and why.
    """

    plan: Plan
    unfinished: list[PlannedTrial] = field(default_factory=list)
    reasons: Mapping[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def _launch(study: Study, options: LaunchOptions, console: Console) -> int:
    asked = time.monotonic()
    store = Store.at(options.storage)
    waiting = partial(_say_waiting, store, console) if options.wait_for_store else None
    with store.locked(waiting):
        begun = time.monotonic()
        plan = make_plan(study, store)
        if plan.warnings:
            raise DataError("\n".join(plan.warnings))
        retry = frozenset(State(state) for state in options.retry)
        todo = plan.runnable(retry)
        headline = f"Study {study.name}, profile {study.profile.name}: {summarize(plan)}"
        console.print(headline, markup=False, soft_wrap=True)
        if not todo and (not options.tracked or _is_reported(plan, store, options)):
            console.print(
                f"Nothing to train: every trial has its record ({describe_seconds(time.monotonic() - begun)})."
            )
            outcome = _Outcome(plan)
        else:
            _prepare_data(todo, store, console)
            _discard(todo, store)
            outcome = _run(plan, todo, store, options, console, begun - asked)
            elapsed = describe_seconds(time.monotonic() - begun)
            included = "videos, tracking and scheduling" if options.tracked else "videos and scheduling"
            write_json(store.facts, {"last launch": f"{elapsed} for {len(todo)} trials, with {included}"})
            if options.tracked:
                _report(outcome, store, options, console)
        _print_end(outcome, store, options, console, time.monotonic() - begun)
    lost = outcome.plan.count(State.FAILED) + outcome.plan.count(State.BLOCKED) + len(outcome.unfinished)
    return 1 if lost else 0


def _say_waiting(store: Store, console: Console) -> None:
    console.print(
        f"Another launch is at work on {store.root}: waiting for its end, and then for what it left to do.",
        markup=False,
        soft_wrap=True,
    )


def _run(
    plan: Plan,
    todo: list[PlannedTrial],
    store: Store,
    options: LaunchOptions,
    console: Console,
    waited: float,
) -> _Outcome:
    """Train ``todo`` beside a thread that mirrors, after ``waited`` seconds of the budget."""
    prior = plan.study.profile.seconds_per_trial
    begun: set[str] = set()
    reasons: dict[str, str] = {}
    with _track(plan, store, options) as tracking:
        if todo:
            executor = _executor(options)
            concurrent = executor.capacity([planned.trial.settings.resources for planned in todo])
            with LaunchProgress(todo, store, console, concurrent, prior) as progress:
                for block in plan.blocks(todo) if options.budget else [todo]:
                    if not _fits(block, progress, options.budget, waited, console):
                        break
                    for wave in plan.waves(block):
                        jobs = list(_make_jobs(wave, store))
                        begun |= {job.trial.trial_id for job in jobs}
                        if jobs:
                            executor.run(jobs, tracking.listen(progress))
                reasons = progress.problems
    after = make_plan(plan.study, store)
    unfinished = [t for t in after.trials if t.trial_id in begun and t.state in RUNNABLE]
    for problem in tracking.problems:
        console.print(f"warning: {problem}", style="yellow", markup=False, soft_wrap=True)
    return _Outcome(after, unfinished, reasons, tracking.problems)


class _Tracking(Protocol):
    """What keeps MLflow in step with the trials.

    Attributes:
        problems: what MLflow lacks in the end, and why.
    """

    problems: list[str]

    def listen(self, events: Events) -> Events:
        """Hear of ``events`` before they are passed on."""
        ...


@dataclass
class _Untracked:
    problems: list[str] = field(default_factory=list)

    def listen(self, events: Events) -> Events:
        return events


@contextmanager
def _track(plan: Plan, store: Store, options: LaunchOptions) -> Iterator[_Tracking]:
    if not options.tracked:
        yield _Untracked()
        return
    from study.commands.tracking import TrackingThread

    with TrackingThread(plan, store, options.tracking_uri, MIRROR_SECONDS) as tracking:
        yield tracking


def _fits(
    block: Sequence[PlannedTrial],
    progress: LaunchProgress,
    budget: float | None,
    waited: float,
    console: Console,
) -> bool:
    """Whether ``block`` ends within the budget, as far as that can be told; says so where it does not."""
    if budget is None:
        return True
    needed, left = progress.estimate_block(block), budget - waited - progress.elapsed
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


def _executor(options: LaunchOptions) -> Executor:
    if options.engine == "inline":
        from study.running.inline import InlineExecutor

        return InlineExecutor()
    from study.running.ray_tune import RayExecutor

    return RayExecutor(options.address, options.max_concurrent, options.wait_seconds)


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
        folder, failure = store.folder(planned.trial_id), planned.record.failure if planned.record else None
        if planned.state is State.FAILED and failure and classify(failure) is FailureClass.NO_SPACE:
            # The disk was full: the trial itself is well and goes on from its last epoch.
            (folder / "record.json").unlink()
        elif planned.state in (State.STALE, State.FAILED):
            discard_attempt(folder)
        clear_debris(folder)


def _report(outcome: _Outcome, store: Store, options: LaunchOptions, console: Console) -> None:
    from study.commands.report import write_report_of
    from study.tracking.store import TrackingError, answering

    facts = json.loads(store.facts.read_text())
    try:
        with answering(options.tracking_uri or store.tracking_uri):
            write_report_of(
                outcome.plan, store, tracking_uri=options.tracking_uri, output=store.report, facts=facts
            )
    except TrackingError as error:
        text = f"warning: no report yet, it is made from MLflow: {error}. Later: run_study.py report"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    else:
        # Where MLflow lacks something, the next launch has something to do.
        if not outcome.problems:
            write_json(store.root / "reported.json", _describe_inputs(outcome.plan, options))


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
    from study.tracking.redaction import redact_uri

    return {
        "study": plan.study.name,
        "tracking_uri": redact_uri(options.tracking_uri or ""),
        "experiments": [experiment.spec.model_dump(mode="json") for experiment in plan.study.experiments],
        "trials": [
            [planned.trial_id, planned.state.value, planned.record.ended_at if planned.record else 0.0]
            for planned in plan.trials
        ],
    }


def _print_end(
    outcome: _Outcome, store: Store, options: LaunchOptions, console: Console, seconds: float
) -> None:
    """What was found, where the report lies, how to open MLflow."""
    plan = outcome.plan
    for planned in outcome.unfinished:
        arms = ", ".join(f"{use.experiment} / {use.arm}" for use in planned.uses)
        reason = outcome.reasons.get(planned.trial_id) or planned.reason
        text = f"not finished: {arms} ({planned.trial_id}): {reason}; launch again to go on"
        console.print(text, style="red", markup=False, soft_wrap=True)
    for planned in plan.trials:
        if planned.state in (State.FAILED, State.BLOCKED):
            arms = ", ".join(f"{use.experiment} / {use.arm}" for use in planned.uses)
            text = f"{planned.state.value}: {arms} ({planned.trial_id}): {planned.reason}"
            console.print(text, style="red", markup=False)
        elif planned.state is State.STOPPED:
            arms = ", ".join(f"{use.experiment} / {use.arm}" for use in planned.uses)
            console.print(f"given up: {arms} ({planned.trial_id}): {planned.reason}", markup=False)
    console.print(
        f"{describe_findings(plan)} Measured in {describe_seconds(seconds)}.", markup=False, soft_wrap=True
    )
    if not options.tracked:
        later = f"uv run run_study.py report --storage {options.storage}"
        console.print(
            f"Not tracked. Here, or where the store is brought to: {later}", markup=False, soft_wrap=True
        )
        return
    page = store.report / "report.html"
    if page.exists():
        console.print(f"Report: {page}", markup=False, soft_wrap=True)
    from study.tracking.redaction import redact_uri

    extra = f" --storage {options.storage}" if options.storage != Path("runs") else ""
    extra += f" --tracking-uri {redact_uri(options.tracking_uri)}" if options.tracking_uri else ""
    console.print(f"MLflow: uv run run_study.py ui{extra}", markup=False, soft_wrap=True)
