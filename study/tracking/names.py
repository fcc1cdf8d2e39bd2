"""What a trial is called in MLflow: run names, parameters, metrics and tags.

MLflow allows letters, digits and ``_-. :/`` in names of metrics; '@' (as in "top1@5") is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from study.spec.record import TrialRecord
from study.spec.trial import Trial, canonical_json, identity_dump

STATUS_OF_RUN = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
"""Status of a record to status of its MLflow run."""

SOURCE_NAME = "run_study.py"
"""By this runs of ours are known."""
STORE_TAG = "store"
"""Tag with the id of the store whose trial a run shows. Only that store writes to the run, closes or deletes it."""
TWIN_TAG = "also_in."
"""With a store's id behind it, the tag of a run that shows that store's trial too: the same results, to the last bit.
Its value is the stamp of the record there."""
REASON_LENGTH = 2000
TAG_LENGTH = 5000
"""MLflow refuses longer texts in a tag, at 8,000 characters."""
IDENTITY_PARTS = ("model", "data", "clip", "training")
SHORTENED = ("model.block.", "model.", "training.optimizer.", "training.")


@dataclass(frozen=True)
class TableRow:
    """A place where a trial stands: one arm of one experiment, one repeat."""

    experiment: str
    arm: str
    label: str
    repeat: int


def metric_name(text: str) -> str:
    """``text`` with what MLflow refuses in the name of a metric replaced by an underscore.

    >>> metric_name("final/1x1/top1@5")
    'final/1x1/top1_5'
    """
    return re.sub(r"[^A-Za-z0-9_\-. :/]", "_", text)


def run_name(rows: tuple[TableRow, ...]) -> str:
    """What the run table shows first. It cuts names after some 22 characters, so the arm leads.

    >>> run_name((TableRow("table7", "STH hybrid", "STH hybrid", 0), TableRow("table6", "p=1/4", "p=1/4", 0)))
    'STH hybrid · r0 · table7 (also table6)'
    """
    first = rows[0]
    others = list(dict.fromkeys(row.experiment for row in rows[1:] if row.experiment != first.experiment))
    also = f" (also {', '.join(others)})" if others else ""
    return f"{first.label} · r{first.repeat} · {first.experiment}{also}"


def run_params(trial: Trial) -> dict[str, str]:
    """The settings that make a trial what it is, flat and with short names, as text.

    Only what enters the trial's identity: MLflow never lets a parameter change, and a trial may be evaluated
    again with other protocols or on another machine. ``model.block.p`` becomes ``p``, ``model.block.type``
    ``block``, ``training.epochs`` ``epochs``; data and clip keep their prefix.
    """
    flat: dict[str, Any] = {}
    for part in IDENTITY_PARTS:
        flat |= dict(_flatten(identity_dump(getattr(trial.settings, part)), part))
    short = {path: _shorten(path) for path in flat}
    taken = list(short.values())
    params = {name if taken.count(name) == 1 else path: _text(flat[path]) for path, name in short.items()}
    return params | {"repeat": str(trial.repeat)}


def row_tags(trial: Trial, rows: tuple[TableRow, ...]) -> dict[str, str]:
    """Tags known before a trial runs."""
    return {
        "mlflow.runName": run_name(rows),
        "mlflow.source.name": SOURCE_NAME,
        "mlflow.source.type": "LOCAL",
        "trial_id": trial.trial_id,
        "tables": ", ".join(dict.fromkeys(row.experiment for row in rows)),
        "arm": " = ".join(dict.fromkeys(row.label for row in rows)),
        "repeat": str(trial.repeat),
        "data_digest": trial.data_digest,
    }


def record_tags(record: TrialRecord) -> dict[str, str]:
    """Tags known once a trial has ended."""
    reason = f"{record.failure.kind}: {record.failure.message}"[:REASON_LENGTH] if record.failure else ""
    commit = record.environment.git_commit or ""
    return {
        "status": record.status,
        "reason": reason,
        "mlflow.note.content": note_text(record.status, reason),
        "mlflow.source.git.commit": commit,
        "git_commit": commit,
        "code_fingerprint": record.code.digest,
        "protocols": " ".join(record.protocols),
        "device": record.environment.device,
        "platform": record.environment.platform,
        "python": record.environment.python,
        "versions": canonical_json(record.environment.versions),
        **({"micro_batch": str(record.micro_batch)} if record.micro_batch is not None else {}),
        **_data_tags(record),
    }


def _data_tags(record: TrialRecord) -> dict[str, str]:
    """How many videos the trial saw, and which were left out."""
    data = record.data
    if data is None:
        return {}
    tags = {"videos": f"{data.train_videos} train, {data.val_videos} val", "data_checked": str(data.checked)}
    for name, videos in (("excluded", data.excluded), ("killed", data.killed)):
        if videos:
            listed = "; ".join(f"{video}: {reason}" for video, reason in sorted(videos.items()))
            tags[name] = f"{len(videos)}: {listed}"[:TAG_LENGTH]
    return tags


def note_text(status: str, reason: str) -> str:
    """The description of a run (Markdown): why it is not completed, if it is not."""
    fence = "~~~~"
    return f"**{status}**\n\n{fence}\n{reason.replace(fence, '')}\n{fence}" if reason else ""


def record_metrics(record: TrialRecord) -> Iterator[tuple[str, int, float]]:
    """Name, step and value of what a record measured.

    The accuracies of the last evaluation are ``final/<protocol>/top1`` (fractions). The attention
    coefficients have the number of the block as their step, so that MLflow draws them as curves over the
    depth of the network.
    """
    last = record.epochs_done
    for protocol, measured in record.metrics.items():
        for name in ("top1", "top5", "loss", "repeated"):
            value = getattr(measured, name)
            if value is not None:
                yield metric_name(f"final/{protocol}/{name}"), last, value
    if record.cost is not None:
        for name in ("params_m", "gmacs_per_view", "fvcore_gmacs", "executed_gmacs"):
            value = getattr(record.cost, name)
            if value is not None:
                yield f"cost/{name}", last, value
    for part, seconds in record.seconds.items():
        yield metric_name(f"seconds/{part}"), last, seconds
    for block in record.attention:
        yield "attention/alpha_s", block.index, block.alpha_s
        yield "attention/alpha_t", block.index, block.alpha_t


def final_metrics(record: TrialRecord) -> dict[str, float]:
    """The accuracies of the last evaluation, by the names they have in MLflow."""
    return {name: value for name, _, value in record_metrics(record) if name.startswith("final/")}


def _flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flatten(item, f"{path}.{key}")
    else:
        yield path, value


def _shorten(path: str) -> str:
    if path.endswith(".type"):
        path = path.removesuffix(".type")
        return path.rsplit(".", 1)[-1]
    for prefix in SHORTENED:
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    return path


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None else str(value)
