"""The files of a finished trial, as artifacts of its run."""

from __future__ import annotations

import csv
import tempfile
from io import StringIO
from pathlib import Path

from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from ruamel.yaml import YAML

from study.spec.record import BlockAttention, TrialRecord
from study.spec.trial import Trial

ATTENTION_FILE = "attention.csv"
SETTINGS_FILE = "settings.yaml"
SCORES_FILE = "scores.npz"
RECORD_FILE = "record.json"
COPIED = (RECORD_FILE, SCORES_FILE)


def upload_artifacts(
    client: MlflowClient, run_id: str, folder: Path, trial: Trial, record: TrialRecord
) -> None:
    """Upload record, scores, attention and resolved settings; files of the same name give way."""
    # MLflow's own ``log_artifact`` remembers for the life of the process where the files of a run go, by the run alone:
    # it would send them to the address by which a server was first known here, when that is long gone.
    location = client.get_run(run_id).info.artifact_uri
    files = get_artifact_repository(location, tracking_uri=client.tracking_uri)
    for name in COPIED:
        if (folder / name).exists():
            files.log_artifact(str(folder / name))  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / SETTINGS_FILE
        settings.write_text(settings_yaml(trial), encoding="utf-8")
        files.log_artifact(str(settings))  # type: ignore[no-untyped-call]
        if record.attention:
            attention = Path(scratch) / ATTENTION_FILE
            attention.write_text(attention_csv(record), encoding="utf-8", newline="")
            files.log_artifact(str(attention))  # type: ignore[no-untyped-call]


def settings_yaml(trial: Trial) -> str:
    """The resolved trial as YAML, every default filled in."""
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(trial.to_json(), stream)
    return stream.getvalue()


def attention_csv(record: TrialRecord) -> str:
    """One line a block: site, index, stage, coefficients, their spread over videos, number of videos."""
    stream = StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(BlockAttention.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(block.model_dump() for block in record.attention)
    return stream.getvalue()
