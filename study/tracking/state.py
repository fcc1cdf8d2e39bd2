"""What MLflow holds of a trial, as far as the mirror needs to know it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag

from study.tracking.database import StoredRun, read_runs
from study.tracking.folder import MetricLine, digest_metrics
from study.tracking.store import sqlite_path

STATE_TAG = "mirror"
PAGE = 1000


@dataclass(frozen=True)
class RunState:
    """What MLflow holds of one trial.

    Attributes:
        run_id: the run.
        tags: its tags.
        has_params: whether its parameters are there.
        finals: its final metrics ("final/1x1/top1").
        steps: how many steps of metrics are there.
        digest: their digest (:func:`study.tracking.folder.digest_metrics`).
        record: the stamp of the record that is there; empty without one.
    """

    run_id: str
    tags: dict[str, str]
    has_params: bool = False
    finals: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    digest: str = ""
    record: str = ""

    @property
    def extent(self) -> tuple[bool, int, bool]:
        """Grows with what MLflow holds of the trial."""
        return bool(self.record), self.steps, self.has_params

    def mark(self) -> dict[str, str]:
        """The tag that lets the next process continue from here."""
        return {STATE_TAG: json.dumps({"steps": self.steps, "digest": self.digest, "record": self.record})}

    def misstates(self, finals: Mapping[str, float]) -> bool:
        """Whether MLflow holds other final metrics than these: of two values at one step it shows the one with the
        later time, and clocks go back.
        """
        return any(self.finals.get(name, value) != value for name, value in finals.items() if isfinite(value))

    def shows(self, lines: list[MetricLine], finals: Mapping[str, float]) -> bool:
        """Whether this is the run of a trial that was completed with exactly these results."""
        return (
            bool(self.record)
            and self.tags.get("status") == "completed"
            and self.steps == len(lines)
            and self.digest == digest_metrics(lines)
            and _finite(self.finals) == _finite(finals)
        )

    def contradicts(self, lines: list[MetricLine], *, ended: bool) -> bool:
        """Whether the folder no longer continues what MLflow holds: the trial was trained anew.

        A resumed trial may for a while hold fewer steps than MLflow; only when it has ended is that final.
        """
        if len(lines) < self.steps:
            return ended
        return self.steps > 0 and digest_metrics(lines[: self.steps]) != self.digest


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """Without those that are no numbers, which equal nothing."""
    return {name: value for name, value in values.items() if isfinite(value)}


def read_state(run: Run) -> RunState:
    """The state that ``run`` was left in."""
    mark: dict[str, Any] = {}
    # An edited tag counts as none: everything is sent once more, which is harmless.
    with suppress(ValueError):
        mark = json.loads(run.data.tags.get(STATE_TAG, "{}"))
    return RunState(
        run_id=run.info.run_id,
        tags=dict(run.data.tags),
        has_params=bool(run.data.params),
        finals={name: value for name, value in run.data.metrics.items() if name.startswith("final/")},
        steps=int(mark.get("steps", 0)),
        digest=str(mark.get("digest", "")),
        record=str(mark.get("record", "")),
    )


def iter_runs(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    """Every active run of the experiment, oldest first; from the database itself where that is a local file."""
    path = sqlite_path(client.tracking_uri)
    if path is not None:
        with suppress(sqlite3.Error):
            yield from [_as_entity(run) for run in read_runs(path, experiment_id)]
            return
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment_id], order_by=["attributes.start_time ASC"], max_results=PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _as_entity(run: StoredRun) -> Run:
    """``run`` as MLflow's client gives it, as far as anything here looks at it."""
    info = RunInfo(
        run.run_id,
        run.experiment_id,
        "",
        run.status,
        run.started,
        run.ended,
        "active",
        artifact_uri=run.artifact_uri,
        run_name=run.name,
    )
    # A value that was logged at several steps has one here, the last; its time is not read.
    metrics = [Metric(name, value, 0, 0) for name, value in run.metrics.items()]
    params = [Param(name, text) for name, text in run.params.items()]
    tags = [RunTag(name, text) for name, text in run.tags.items()]
    return Run(info, RunData(metrics, params, tags))
