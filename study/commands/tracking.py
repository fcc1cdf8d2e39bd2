"""Keeping MLflow in step with the store, from a thread beside the executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from study.errors import StoreError
from study.running.executor import Events
from study.running.plan import Plan
from study.running.store import Store
from study.tracking.mirror import Mirror, MirrorItem, SyncReport
from study.tracking.names import TableRow
from study.tracking.redaction import redact_uri
from study.tracking.store import sqlite_path

LAST_PASS_SECONDS = 60.0
"""What the last pass of a launch may take where MLflow is not a local file; the rest waits for the next."""
LAST_CALL_SECONDS = 30.0
"""What is then left to the trial that is being written."""


def list_items(
    plan: Plan, store: Store, running: Set[str] = frozenset(), only: Set[str] | None = None
) -> list[MirrorItem]:
    """The trials of ``plan`` for the mirror, or those whose ids are in ``only``; ``running`` holds the ids that an
    executor has at work.
    """
    labels = {(e.name, arm.name): arm.label for e in plan.study.experiments for arm in e.arms}
    return [
        MirrorItem(
            folder=store.folder(planned.trial_id),
            trial=planned.trial,
            rows=tuple(
                TableRow(use.experiment, use.arm, labels[(use.experiment, use.arm)], use.repeat)
                for use in planned.uses
            ),
            running=planned.trial_id in running,
        )
        for planned in plan.trials
        if only is None or planned.trial_id in only
    ]


def open_mirror(study: str, store: Store, tracking_uri: str | None) -> Mirror:
    """The mirror of a study, into its own database or the server that was named. The store is to be locked."""
    return Mirror(tracking_uri or store.tracking_uri, study, store.artifacts, owner=store.claim_id())


def update_tracking(plan: Plan, store: Store, tracking_uri: str | None) -> SyncReport:
    """Bring MLflow up to date with the store, unless a launch is at work on it, which does so itself.

    A second hand would not know which trials are running and call them interrupted.
    """
    try:
        with store.locked():
            return open_mirror(plan.study.name, store, tracking_uri).sync(list_items(plan, store), force=True)
    except StoreError as error:
        return SyncReport(errors=[str(error)])


@dataclass
class _Listener:
    """Passes events on and remembers which trials are at work, and which have been."""

    events: Events
    running: set[str]
    touched: set[str]

    def started(self, trial_id: str) -> None:
        self.touched.add(trial_id)
        self.running.add(trial_id)
        self.events.started(trial_id)

    def epoch(self, trial_id: str, epoch: int) -> None:
        self.events.epoch(trial_id, epoch)

    def ended(self, trial_id: str, problem: str = "") -> None:
        self.running.discard(trial_id)
        self.events.ended(trial_id, problem)


class TrackingThread:
    """A context in which MLflow follows the store: one pass at entry, one every few seconds, one at exit.

    MLflow never holds up or stops a trial: what cannot be written now is written by a later pass, by ``sync`` or by
    the next launch. ``problems`` says what is still missing after the last.
    """

    def __init__(self, plan: Plan, store: Store, tracking_uri: str | None, seconds: float) -> None:
        self.plan, self.store, self.seconds = plan, store, seconds
        self.problems: list[str] = []
        self._mirror = open_mirror(plan.study.name, store, tracking_uri)
        self._local = sqlite_path(self._mirror.uri) is not None
        self._running: set[str] = set()
        # The first pass looks at all: a launch before this one may have left runs open.
        self._touched = {planned.trial_id for planned in plan.trials}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="mlflow-mirror", daemon=True)

    def listen(self, events: Events) -> Events:
        """``events``, with this thread listening in."""
        return _Listener(events, self._running, self._touched)

    def __enter__(self) -> TrackingThread:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(None if self._local else LAST_PASS_SECONDS + LAST_CALL_SECONDS)
        if self._thread.is_alive():
            self.problems = [
                f"MLflow at {redact_uri(self._mirror.uri)} does not answer; what it lacks is kept"
            ]
        if self.problems:
            self.problems = [*self.problems, "run_study.py sync, or the next launch, writes what is missing"]

    def _follow(self) -> None:
        self._mirror.prepare()
        while not self._stop.wait(self.seconds):
            self._follow_once()
        items, deadline = list_items(self.plan, self.store), time.monotonic() + LAST_PASS_SECONDS
        report = self._mirror.sync(
            items, force=True, stop=lambda: not self._local and time.monotonic() > deadline
        )
        described = self._mirror.describe(items, Path(self.store.report / "report.html"))
        self.problems = list(dict.fromkeys(report.errors + described))

    def _follow_once(self) -> None:
        """Bring up to date what has moved. The others, who may be thousands, have their turn in the last pass."""
        # In this order: what ends between the two lines is looked at once more.
        running = frozenset(self._running)
        touched = frozenset(self._touched)
        items = list_items(self.plan, self.store, running, touched)
        if self._mirror.sync(items, stop=self._stop.is_set).complete:
            self._touched.difference_update(touched - running)
