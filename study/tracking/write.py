"""Writing one trial into its MLflow run. Every function returns what MLflow holds afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

from study.spec.record import TrialRecord
from study.spec.trial import Trial
from study.tracking.folder import MetricLine, digest_metrics
from study.tracking.names import (
    STATUS_OF_RUN,
    TableRow,
    metric_name,
    note_text,
    record_metrics,
    record_tags,
    run_params,
)
from study.tracking.state import RunState
from study.tracking.upload import upload_artifacts

BATCH = 1000
"""Metrics that MLflow takes in one request."""
INTERRUPTED = "its driver ended while it ran; launch again to resume it"


@dataclass(frozen=True)
class MirrorItem:
    """A trial to mirror.

    Attributes:
        folder: the trial's folder in the store; it need not exist yet.
        trial: the trial.
        rows: the places where it stands, at least one.
        running: whether this driver has it running. A trial that has begun, has not ended and is not running
            was interrupted; its run is closed as KILLED.
    """

    folder: Path
    trial: Trial
    rows: tuple[TableRow, ...]
    running: bool = False


def create_run(client: MlflowClient, experiment_id: str, tags: dict[str, str], started_at: float) -> RunState:
    """A new run with these ``tags``; ``started_at`` counts seconds since 1970."""
    tags = tags | {"status": "running"}
    run = client.create_run(
        experiment_id, start_time=int(started_at * 1000), tags=tags, run_name=tags["mlflow.runName"]
    )
    return RunState(run.info.run_id, tags)


def retire_run(client: MlflowClient, state: RunState, reason: str) -> None:
    """Take away a run that another replaces; MLflow keeps it among the deleted ones, with ``reason``.

    That of a trial trained anew must go: metrics in MLflow can be added, never replaced.
    """
    client.set_tag(state.run_id, "superseded", reason)
    client.delete_run(state.run_id)


def write_progress(
    client: MlflowClient, state: RunState, item: MirrorItem, tags: dict[str, str], lines: list[MetricLine]
) -> RunState:
    """Send the ``tags``, parameters and steps that MLflow does not hold yet."""
    new_tags = {name: text for name, text in tags.items() if state.tags.get(name) != text}
    params = {} if state.has_params else run_params(item.trial)
    missing = lines[state.steps :]
    if not (new_tags or params or missing):
        return state
    metrics = [
        Metric(metric_name(name), value, line.timestamp, line.step)
        for line in missing
        for name, value in line.metrics.items()
    ]
    after = replace(state, tags=state.tags | new_tags, has_params=True)
    if missing:
        after = replace(after, steps=len(lines), digest=digest_metrics(lines))
    if params:
        dataset = Dataset(item.trial.settings.data.type, item.trial.data_digest[:36], "local", "")
        client.log_inputs(state.run_id, datasets=[DatasetInput(dataset)])
    _log(client, state.run_id, metrics, params, new_tags | after.mark())
    return after


def write_open(client: MlflowClient, state: RunState, item: MirrorItem, lines: list[MetricLine]) -> RunState:
    """Give the run of a trial without a record its status: running, or interrupted."""
    status, reason = ("running", "") if item.running else ("interrupted", INTERRUPTED)
    if state.tags.get("status") == status:
        return state
    tags = {"status": status, "reason": reason, "mlflow.note.content": note_text(status, reason)}
    after = replace(state, tags=state.tags | tags, finals={}, record="")
    if item.running:
        client.update_run(state.run_id, status="RUNNING")
    else:
        ended = lines[-1].timestamp if lines else int(time.time() * 1000)
        client.set_terminated(state.run_id, "KILLED", end_time=ended)
    _log(client, state.run_id, [], {}, tags | after.mark())
    return after


def write_record(
    client: MlflowClient, state: RunState, item: MirrorItem, record: TrialRecord, stamp: str
) -> RunState:
    """Send a record. The mark goes last: until it is there, the next pass does all of this again."""
    if state.record == stamp:
        return state
    ended = int(record.ended_at * 1000)
    metrics = [Metric(name, value, ended, step) for name, step, value in record_metrics(record)]
    after = replace(
        state,
        tags=state.tags | record_tags(record),
        finals={metric.key: metric.value for metric in metrics if metric.key.startswith("final/")},
        record=stamp,
    )
    upload_artifacts(client, state.run_id, item.folder, item.trial, record)
    _log(client, state.run_id, metrics, {}, record_tags(record))
    client.set_terminated(state.run_id, STATUS_OF_RUN[record.status], end_time=ended)
    _log(client, state.run_id, [], {}, after.mark())
    return after


def _log(
    client: MlflowClient, run_id: str, metrics: list[Metric], params: dict[str, str], tags: dict[str, str]
) -> None:
    """``log_batch`` in pieces of the size MLflow takes; parameters and tags go with the last."""
    first_of_last = max(0, len(metrics) - BATCH)
    for begin in range(0, first_of_last, BATCH):
        client.log_batch(run_id, metrics=metrics[begin : min(begin + BATCH, first_of_last)])
    client.log_batch(
        run_id,
        metrics=metrics[first_of_last:],
        params=[Param(name, value) for name, value in params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
