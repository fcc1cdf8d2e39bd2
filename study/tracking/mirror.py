"""Mirroring the folders of trials into MLflow.

One mechanism, :meth:`Mirror.sync`, serves while trials run, when they have ended, and as reconciliation at
the next start. It compares what a folder holds with what MLflow holds and writes the difference, so doing it
twice changes nothing. What MLflow holds is remembered in MLflow itself, as a tag of the run, and can be
neither lost nor out of step with it: an empty database is filled again from the folders.

Several stores may hold the same study on one server. Each writes to its own runs only; see docs/faults.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.errors import StoreError
from study.spec.record import TrialRecord
from study.tracking.folder import MetricLine, read_metrics, read_record, read_start, stamp_record
from study.tracking.names import SOURCE_NAME, STORE_TAG, TWIN_TAG, final_metrics, metric_name, row_tags
from study.tracking.note import Outcome, describe_study
from study.tracking.redaction import first_line, redact_uri
from study.tracking.state import RunState, iter_runs, read_state
from study.tracking.store import check_uri, connect, ensure_experiment
from study.tracking.view import VIEW_TAG, view_state
from study.tracking.write import (
    MirrorItem,
    create_run,
    retire_run,
    write_open,
    write_progress,
    write_record,
)

__all__ = ["Mirror", "MirrorItem", "SyncReport"]

GIVE_UP_AFTER = 3
"""Failures in a row after which a pass leaves the store alone."""
CLASH = "BAD_REQUEST"
"""What MLflow answers when its database refuses a row. Two writers that both found a data set missing both
insert it, and the slower one is refused: what it looked for is there when it looks again."""
ANEW = "the trial was trained anew"
TWICE = "a second run of its trial: a request was carried out after it had been given up"


@dataclass
class SyncReport:
    """What one pass did. ``errors`` says why a trial could not be mirrored; nothing was raised.

    Attributes:
        created: trials that have a run now and had none.
        updated: trials whose run was brought up to date.
        unchanged: trials of which MLflow held everything.
        absent: trials that have not begun.
        errors: what went wrong.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    absent: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether MLflow now holds everything."""
        return not self.errors


class Mirror:
    """Keeps the MLflow experiment of one study in step with the folders of its trials.

    Args:
        uri: address of the store, ``sqlite:///PATH`` or a server's. Nothing is opened before the first pass.
        study: name of the study and of its MLflow experiment.
        artifact_root: folder for artifacts when the store is a database.
        owner: id of the store whose trials are mirrored; runs with another's are not touched.
        pause: seconds to leave a store alone that did not answer; :meth:`sync` then returns at once.

    Raises:
        StoreError: when ``uri`` is no address MLflow can track to.
    """

    def __init__(
        self, uri: str, study: str, artifact_root: Path, *, owner: str = "", pause: float = 30.0
    ) -> None:
        check_uri(uri)
        self.uri, self.study, self.artifact_root, self.pause = uri, study, artifact_root, pause
        self.owner = owner
        self._client: MlflowClient | None = None
        self._experiment_id = ""
        self._runs: dict[str, RunState] = {}
        self._others: dict[str, list[RunState]] = {}
        self._quiet_until = 0.0
        self._last_error = ""
        self._in_doubt = False
        self._experiment_tags: dict[str, str] = {}

    def prepare(self) -> list[str]:
        """Open or create the store before anything else does; returns what went wrong, if anything."""
        return self.sync(()).errors

    @property
    def experiment_id(self) -> str:
        """Id of the MLflow experiment; empty before the first pass that reached the store."""
        return self._experiment_id

    def sync(
        self,
        items: Iterable[MirrorItem],
        *,
        force: bool = False,
        stop: Callable[[], bool] = lambda: False,
    ) -> SyncReport:
        """Bring MLflow up to date with ``items``; never raises.

        Args:
            items: the trials to look at. Those left out stay as they are.
            force: ask even a store that has just failed to answer; for the passes at start and end.
            stop: asked before each trial; once it says so, the rest waits for another pass.
        """
        report, waiting = SyncReport(), list(items)
        if not force and time.monotonic() < self._quiet_until:
            report.errors.append(self._last_error)
            return report
        if force and self._in_doubt:
            self._client = None
        failures = 0
        try:
            self._open()
            while waiting and not stop():
                failures = self._try_item(waiting[0], report, failures)
                waiting.pop(0)
            if waiting:
                report.errors.append(f"MLflow at {redact_uri(self.uri)} is slow: {len(waiting)} trials wait")
        except Exception as error:
            where, problem = redact_uri(self.uri), first_line(error, self.uri)
            self._last_error = f"MLflow at {where} cannot be reached, the rest waits: {problem}"
            report.errors.append(self._last_error)
            self._quiet_until = time.monotonic() + self.pause
        return report

    def describe(self, items: Sequence[MirrorItem], report: Path | None = None) -> list[str]:
        """Make the study's summary the description of the MLflow experiment; never raises.

        Args:
            items: every trial of the study, begun or not.
            report: where the report lies or will lie.

        Returns:
            What went wrong, if anything.
        """
        if time.monotonic() < self._quiet_until:
            return [self._last_error]
        try:
            client = self._open()
            text = describe_study(self.study, [self._outcome(item) for item in items], report)
            protocols = dict.fromkeys(item.trial.settings.evaluation.primary for item in items)
            for name, value in (("mlflow.note.content", text), (VIEW_TAG, view_state(protocols))):
                if self._experiment_tags.get(name) != value:
                    client.set_experiment_tag(self._experiment_id, name, value)
                    self._experiment_tags[name] = value
        except Exception as error:
            return [f"description of the MLflow experiment: {first_line(error, self.uri)}"]
        return []

    def _try_item(self, item: MirrorItem, report: SyncReport, failures: int) -> int:
        """Sync ``item`` and return the failures in a row; one too many is raised."""
        try:
            try:
                self._sync_item(item, report)
            except MlflowException as error:
                if error.error_code != CLASH:
                    raise
                self._client = None
                self._sync_item(item, report)
        except StoreError as error:  # a file of the trial cannot be read: the store is well
            report.errors.append(f"trial {item.trial.trial_id}: {error}")
        except Exception as error:
            # A call that failed may still have been carried out, so what we remember is in doubt.
            self._client, self._in_doubt = None, True
            if failures + 1 >= GIVE_UP_AFTER:
                raise
            report.errors.append(f"trial {item.trial.trial_id}: {first_line(error, self.uri)}")
            return failures + 1
        return 0

    def _outcome(self, item: MirrorItem) -> Outcome:
        state = self._runs.get(item.trial.trial_id) or self._recall_twin(item)
        if state is None:
            return Outcome(item.rows, "not started", None)
        primary = metric_name(f"final/{item.trial.settings.evaluation.primary}/top1")
        return Outcome(item.rows, state.tags.get("status", "running"), state.finals.get(primary))

    def _open(self) -> MlflowClient:
        if self._client is None:
            client = connect(self.uri)
            self._experiment_id = ensure_experiment(client, self.uri, self.study, self.artifact_root)
            self._experiment_tags.clear()
            self._runs = self._list_runs(client)
            self._client = client
        return self._client

    def _list_runs(self, client: MlflowClient) -> dict[str, RunState]:
        """The run of each trial. Of two runs of ours the one that holds less is taken away: a slow server may
        carry out a request after we have given it up and made another. Those of other stores are only noted.
        """
        runs: dict[str, RunState] = {}
        self._others = {}
        for run in list(iter_runs(client, self._experiment_id)):
            state = read_state(run)
            name = run.data.tags.get("trial_id", run.info.run_id)
            if state.tags.get(STORE_TAG, "") != self.owner:
                self._others.setdefault(name, []).append(state)
                continue
            other = runs.setdefault(name, state)
            if other is state:
                continue
            kept, surplus = (other, state) if other.extent >= state.extent else (state, other)
            runs[run.data.tags["trial_id"]] = kept
            if surplus.tags.get("mlflow.source.name") == SOURCE_NAME:
                retire_run(client, surplus, TWICE)
        return runs

    def _sync_item(self, item: MirrorItem, report: SyncReport) -> None:
        client = self._open()
        before = self._runs.get(item.trial.trial_id)
        stamp = stamp_record(item.folder)
        tags = row_tags(item.trial, item.rows) | ({STORE_TAG: self.owner} if self.owner else {})
        if before is not None and stamp and before.record == stamp and tags.items() <= before.tags.items():
            report.unchanged += 1
            return
        if before is None and stamp and self._recall_twin(item) is not None:
            report.unchanged += 1
            return
        # Everything is read before anything is written: a file that cannot be read leaves MLflow as it was.
        start = read_start(item.folder)
        if start is None:
            report.absent += 1
            return
        lines = read_metrics(item.folder)
        record = read_record(item.folder) if stamp else None
        if before is None and record is not None and self._find_twin(client, item, lines, record, stamp):
            report.unchanged += 1
            return
        state = before
        anew = state is not None and (
            state.contradicts(lines, ended=record is not None)
            or (record is not None and state.misstates(final_metrics(record)))
        )
        if state is not None and anew:
            retire_run(client, state, ANEW)
            state = None
        if state is None:
            state = create_run(client, self._experiment_id, tags, float(start["started_at"]))
            report.created += 1
        after = write_progress(client, state, item, tags, lines)
        if record is not None:
            after = write_record(client, after, item, record, stamp)
        else:
            after = write_open(client, after, item, lines)
        self._runs[item.trial.trial_id] = after
        if state is before:
            report.updated += after != before
            report.unchanged += after == before

    def _recall_twin(self, item: MirrorItem) -> RunState | None:
        """The run of another store that was found to show this very record."""
        mark, stamp = f"{TWIN_TAG}{self.owner}", stamp_record(item.folder)
        others = self._others.get(item.trial.trial_id, ())
        return next((other for other in others if stamp and other.tags.get(mark) == stamp), None)

    def _find_twin(
        self,
        client: MlflowClient,
        item: MirrorItem,
        lines: list[MetricLine],
        record: TrialRecord,
        stamp: str,
    ) -> bool:
        """Whether another store's run shows this trial with the same results; marks the run then.

        An archive that was imported, or the same trial trained on a like machine, needs no second run.
        """
        others = self._others.get(item.trial.trial_id, [])
        for index, other in enumerate(others):
            if other.shows(lines, final_metrics(record)):
                mark = f"{TWIN_TAG}{self.owner}"
                client.set_tag(other.run_id, mark, stamp)
                others[index] = replace(other, tags=other.tags | {mark: stamp})
                return True
        return False
