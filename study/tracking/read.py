"""Reading a study back from MLflow as tidy frames. Reports read this and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from study.errors import StoreError
from study.scores import ViewScores, load_scores
from study.spec.record import BlockAttention, load_record
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
)
CURVES = ("train/loss", "train/top1", "val/top1", "lr")


def load_runs(uri: str, study: str) -> pd.DataFrame:
    """One row a trial.

    Returns:
        ``trial_id``, ``run_id``, ``run_name``, ``status`` (completed, failed, stopped, interrupted, running),
        ``reason``, ``run_status`` (MLflow's), ``started_at`` and ``ended_at`` (seconds since 1970),
        ``fragment`` (the part of the run's address after the server's), and a column for each metric (its
        value at the highest step), parameter and tag: ``metrics.final/1x1/top1``, ``params.p``,
        ``tags.device``.
        A study that MLflow does not hold gives no rows.
    """
    client = _client(uri)
    experiment = find_experiment(client, study) if client else None
    if client is None or experiment is None:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = [
        _run_row(run) for run in iter_runs(client, experiment.experiment_id) if "trial_id" in run.data.tags
    ]
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    frame = pd.DataFrame(rows)
    return frame.drop_duplicates("trial_id", keep="first").reset_index(drop=True)


def load_attention(uri: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The attention coefficients of ``runs``: ``trial_id`` and the fields of
    :class:`study.spec.record.BlockAttention`, one row a block. Runs without attention give no rows.
    """
    columns = ["trial_id", *BlockAttention.model_fields]
    client = _client(uri)
    parts = []
    if client is not None and "metrics.attention/alpha_t" in runs:
        chosen = runs[runs["metrics.attention/alpha_t"].notna()]
        for run_id, trial_id in zip(chosen["run_id"], chosen["trial_id"], strict=True):
            path = Path(client.download_artifacts(str(run_id), ATTENTION_FILE))
            part = pd.read_csv(path)
            part.insert(0, "trial_id", trial_id)
            parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def load_run_scores(uri: str, run_id: str) -> ViewScores:
    """The scores of a run's trial by video and view.

    Raises:
        StoreError: when MLflow does not hold them.
    """
    client = _client(uri)
    try:
        if client is None:
            raise FileNotFoundError(uri)
        record = load_record(Path(client.download_artifacts(run_id, RECORD_FILE)))
        return load_scores(Path(client.download_artifacts(run_id, SCORES_FILE)), record.protocols)
    except (OSError, MlflowException) as error:
        raise StoreError(f"run {run_id}: its scores cannot be read from {uri}: {error}") from None


def load_curves(uri: str, runs: pd.DataFrame, names: Sequence[str] = CURVES) -> pd.DataFrame:
    """Metrics by epoch: ``trial_id``, ``metric``, ``step``, ``value``, ``timestamp`` (ms since 1970)."""
    client = _client(uri)
    rows: list[dict[str, Any]] = []
    if client is not None:
        for name in names:
            if f"metrics.{name}" not in runs:
                continue
            chosen = runs[runs[f"metrics.{name}"].notna()]
            for run_id, trial_id in zip(chosen["run_id"], chosen["trial_id"], strict=True):
                rows += [
                    {
                        "trial_id": trial_id,
                        "metric": name,
                        "step": metric.step,
                        "value": metric.value,
                        "timestamp": metric.timestamp,
                    }
                    for metric in client.get_metric_history(str(run_id), name)
                ]
    return pd.DataFrame(rows, columns=["trial_id", "metric", "step", "value", "timestamp"])


def _client(uri: str) -> MlflowClient | None:
    """A client, or None where the database does not exist: reading creates nothing."""
    path = sqlite_path(uri)
    return connect(uri) if path is None or path.exists() else None


def _run_row(run: Run) -> dict[str, Any]:
    tags = {name: text for name, text in run.data.tags.items() if not name.startswith("mlflow.")}
    row: dict[str, Any] = {
        "trial_id": tags["trial_id"],
        "run_id": run.info.run_id,
        "run_name": run.info.run_name,
        "status": tags.get("status", "running"),
        "reason": tags.get("reason", ""),
        "run_status": run.info.status,
        "started_at": run.info.start_time / 1000,
        "ended_at": run.info.end_time / 1000 if run.info.end_time else None,
        "fragment": f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}",
    }
    row |= {f"metrics.{name}": value for name, value in run.data.metrics.items()}
    row |= {f"params.{name}": value for name, value in run.data.params.items()}
    return row | {f"tags.{name}": value for name, value in tags.items()}
