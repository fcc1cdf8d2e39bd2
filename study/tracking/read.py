"""Reading a study back from MLflow as tidy frames. Reports read this and nothing else."""

from __future__ import annotations

import csv
import sqlite3
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from study.errors import StoreError
from study.scores import ViewScores, load_scores
from study.spec.record import BlockAttention, load_record
from study.tracking.artifacts import Artifacts
from study.tracking.database import StoredRun, read_histories, read_runs
from study.tracking.names import STORE_TAG, TWIN_TAG
from study.tracking.redaction import redact_uri
from study.tracking.state import iter_runs
from study.tracking.store import connect, find_experiment, sqlite_path
from study.tracking.upload import ATTENTION_FILE, RECORD_FILE, SCORES_FILE

COLUMNS = (
    "trial_id",
    "run_id",
    "run_name",
    "status",
    "reason",
    "run_status",
    "started_at",
    "ended_at",
    "fragment",
    "artifact_uri",
)
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What numpy raises on a damaged file of scores, besides what ``load_scores`` turns into a StoreError."""
CURVES = ("train/loss", "train/top1", "val/top1", "lr")


def load_runs(uri: str, study: str, store_id: str = "") -> pd.DataFrame:
    """One row a trial.

    Args:
        uri: address of MLflow.
        study: name of the study.
        store_id: of several stores that have a run of a trial, the one whose run it shall be. Without such a run it is
            a finished one of another store, the oldest.

    Returns:
        ``trial_id``, ``run_id``, ``run_name``, ``status`` (completed, failed, stopped, interrupted, running),
        ``reason``, ``run_status`` (MLflow's), ``started_at`` and ``ended_at`` (seconds since 1970),
        ``fragment`` (the part of the run's address after the server's), ``artifact_uri`` (where its files are), and
        a column for each metric (its value at the highest step), parameter and tag: ``metrics.final/1x1/top1``,
        ``params.p``, ``tags.device``.
        A study that MLflow does not hold gives no rows.
    """
    client = _client(uri)
    experiment = find_experiment(client, study) if client else None
    if client is None or experiment is None:
        return pd.DataFrame(columns=list(COLUMNS))
    runs = _list_runs(client, uri, str(experiment.experiment_id))
    runs = sorted(runs, key=lambda run: (not _belongs(run, store_id), run.status != "FINISHED"))
    rows = [_run_row(run) for run in runs if "trial_id" in run.tags]
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    frame = pd.DataFrame(rows)
    return frame.drop_duplicates("trial_id", keep="first").reset_index(drop=True)


def load_attention(uri: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The attention coefficients of ``runs``: ``trial_id`` and the fields of
    :class:`study.spec.record.BlockAttention`, one row a block. Runs without attention give no rows.

    Raises:
        StoreError: when MLflow does not hold the file of a run that has some.
    """
    columns = ["trial_id", *BlockAttention.model_fields]
    client = _client(uri)
    rows: list[dict[str, Any]] = []
    if client is not None and "metrics.attention/alpha_t" in runs:
        chosen = runs[runs["metrics.attention/alpha_t"].notna()]
        artifacts = Artifacts(client, _locations(chosen))
        artifacts.prefetch(chosen["run_id"], ATTENTION_FILE)
        for run_id, trial_id in zip(chosen["run_id"], chosen["trial_id"], strict=True):
            with artifacts.find(run_id, ATTENTION_FILE).open(encoding="utf-8", newline="") as file:
                rows += [{"trial_id": trial_id} | _block_row(row) for row in csv.DictReader(file)]
    return pd.DataFrame(rows, columns=columns)


class RunScores:
    """Scores of completed runs by video and view.

    Args:
        uri: address of MLflow.
        runs: :func:`load_runs`.
        wanted: trials whose scores will be asked for; remote ones are fetched several at a time.
    """

    def __init__(self, uri: str, runs: pd.DataFrame, wanted: Sequence[str] = ()) -> None:
        completed = runs[runs["status"] == "completed"]
        client = _client(uri)
        self._uri = uri
        self._run_ids: dict[str, str] = dict(zip(completed["trial_id"], completed["run_id"], strict=True))
        self._artifacts = Artifacts(client, _locations(completed)) if client else None
        if self._artifacts is not None:
            known = [self._run_ids[trial_id] for trial_id in wanted if trial_id in self._run_ids]
            self._artifacts.prefetch(known, SCORES_FILE)

    def has(self, trial_id: str) -> bool:
        """Whether the trial has finished."""
        return trial_id in self._run_ids

    def load(self, trial_id: str) -> ViewScores:
        """The scores of a trial.

        Raises:
            StoreError: when MLflow does not hold them.
        """
        run_id = self._run_ids.get(trial_id)
        if run_id is None or self._artifacts is None:
            raise StoreError(f"trial {trial_id}: {redact_uri(self._uri)} holds no completed run of it")
        try:
            path = self._artifacts.find(run_id, SCORES_FILE)
            return load_scores(path, self._protocols(run_id, path))
        except (StoreError, *DAMAGED) as error:
            where = redact_uri(self._uri)
            raise StoreError(f"run {run_id}: its scores cannot be read from {where}: {error}") from None

    def _protocols(self, run_id: str, path: Path) -> Mapping[str, tuple[str, ...]]:
        """Views by protocol, which only files of the first version need."""
        with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            if "logits.npy" in archive.namelist():
                return {}
        assert self._artifacts is not None
        return load_record(self._artifacts.find(run_id, RECORD_FILE)).protocols


def load_curves(uri: str, runs: pd.DataFrame, names: Sequence[str] = CURVES) -> pd.DataFrame:
    """Metrics by epoch: ``trial_id``, ``metric``, ``step``, ``value``, ``timestamp`` (ms since 1970).

    Each curve is in the order of its steps. Of an epoch that was logged twice the newest value counts.
    """
    client = _client(uri)
    rows: list[tuple[Any, ...]] = []
    present = [name for name in names if f"metrics.{name}" in runs]
    histories = _read_histories(client, uri, runs, present) if client is not None else {}
    for name in present:
        chosen = runs[runs[f"metrics.{name}"].notna()]
        for run_id, trial_id in zip(chosen["run_id"], chosen["trial_id"], strict=True):
            entries = histories.get((str(run_id), name), ())
            newest = {entry[0]: entry for entry in sorted(entries, key=lambda entry: entry[2])}
            rows += [(trial_id, name, *newest[step]) for step in sorted(newest)]
    return pd.DataFrame(rows, columns=["trial_id", "metric", "step", "value", "timestamp"])


def _client(uri: str) -> MlflowClient | None:
    """A client, or None where the database does not exist: reading creates nothing."""
    path = sqlite_path(uri)
    return connect(uri) if path is None or path.exists() else None


def _list_runs(client: MlflowClient, uri: str, experiment_id: str) -> list[StoredRun]:
    """Every active run, oldest first; from the database itself where that is a local file."""
    path = sqlite_path(uri)
    if path is not None:
        with suppress(sqlite3.Error):
            return read_runs(path, experiment_id)
    return [_convert_run(run) for run in iter_runs(client, experiment_id)]


def _read_histories(
    client: MlflowClient, uri: str, runs: pd.DataFrame, names: Sequence[str]
) -> Mapping[tuple[str, str], Sequence[tuple[int, float, int]]]:
    """Step, value and timestamp of the metrics, by run and metric."""
    path = sqlite_path(uri)
    run_ids = [str(run_id) for run_id in runs["run_id"]]
    if path is not None:
        with suppress(sqlite3.Error):
            return read_histories(path, run_ids, names)
    return {
        (run_id, name): [
            (metric.step, metric.value, metric.timestamp)
            for metric in client.get_metric_history(run_id, name)
        ]
        for run_id in run_ids
        for name in names
    }


def _convert_run(run: Run) -> StoredRun:
    info, data = run.info, run.data
    return StoredRun(
        run_id=info.run_id,
        experiment_id=str(info.experiment_id),
        name=info.run_name,
        status=info.status,
        started=info.start_time,
        ended=info.end_time,
        artifact_uri=info.artifact_uri,
        tags=dict(data.tags),
        metrics=dict(data.metrics),
        params=dict(data.params),
    )


def _belongs(run: StoredRun, store_id: str) -> bool:
    """Whether a run shows a trial of that store."""
    return bool(store_id) and (run.tags.get(STORE_TAG) == store_id or f"{TWIN_TAG}{store_id}" in run.tags)


def _locations(runs: pd.DataFrame) -> dict[str, str]:
    return dict(zip(runs["run_id"], runs["artifact_uri"], strict=True))


def _block_row(row: Mapping[str, str]) -> dict[str, Any]:
    """A line of the file of coefficients, typed as the record's fields are."""
    return {
        name: field.annotation(row[name])
        for name, field in BlockAttention.model_fields.items()
        if field.annotation
    }


def _run_row(run: StoredRun) -> dict[str, Any]:
    tags = {name: text for name, text in run.tags.items() if not name.startswith(("mlflow.", TWIN_TAG))}
    row: dict[str, Any] = {
        "trial_id": tags["trial_id"],
        "run_id": run.run_id,
        "run_name": run.name,
        "status": tags.get("status", "running"),
        "reason": tags.get("reason", ""),
        "run_status": run.status,
        "started_at": run.started / 1000,
        "ended_at": run.ended / 1000 if run.ended else None,
        "fragment": f"#/experiments/{run.experiment_id}/runs/{run.run_id}",
        "artifact_uri": run.artifact_uri,
    }
    row |= {f"metrics.{name}": value for name, value in run.metrics.items()}
    row |= {f"params.{name}": value for name, value in run.params.items()}
    return row | {f"tags.{name}": value for name, value in tags.items()}
