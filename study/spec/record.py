"""The record of a trial: what it was, what came out, and under which circumstances. The truth of a study.

A trial's folder in the store holds

    trial.json       the resolved trial and when it started, written before anything runs
    metrics.jsonl    one line an epoch, appended while it trains
    checkpoint.pt    the last finished epoch; afterwards the final weights
    scores.npz       scores of every validation video by view (study.scores)
    record.json      this record, written last and atomically: its presence means the trial has ended
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError

from study.errors import StoreError
from study.spec.clip import ClipSpec
from study.spec.json_file import read_json
from study.spec.training import EvaluationSpec
from study.spec.trial import Trial
from study.spec.views import name_views

RECORD_VERSION = 2
Status = Literal["completed", "failed", "stopped"]


def _write_float(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


class RecordPart(BaseModel):
    """Base of the parts of a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProtocolMetrics(RecordPart):
    """What one protocol measured on the validation split."""

    top1: float
    """Fraction of videos whose label has the highest score."""
    top5: float | None
    """Fraction of videos whose label is among the five highest scores; null below six classes."""
    loss: float
    """Mean cross-entropy of the scores averaged over views."""
    videos: int
    """Validation videos measured."""
    views: int
    """Views averaged per video."""
    repeated: int | None = None
    """Videos so short that some of their views show the same pixels; null where that was not recorded."""


class BlockAttention(RecordPart):
    """Attention coefficients of one block, averaged over output channels and validation videos (Fig. 5)."""

    site: str
    """Name of the site in the backbone ("layer1.0.conv2")."""
    index: int
    """Number of the block through the network, from 0."""
    stage: int
    """Stage of the backbone, from 1."""
    alpha_s: float
    """Mean coefficient of the spatial part."""
    alpha_t: float
    """Mean coefficient of the temporal part."""
    alpha_s_std: float
    """Standard deviation over videos of the channel mean, spatial part."""
    alpha_t_std: float
    """Standard deviation over videos of the channel mean, temporal part."""
    videos: int
    """Videos averaged."""


class Cost(RecordPart):
    """Cost of one view, of the operators as defined rather than as executed."""

    params_m: float
    """Parameters, millions."""
    gmacs_per_view: float
    """Multiply-accumulates of convolutions and matrix products for one view, billions (the field's GFLOPs)."""
    fvcore_gmacs: float | None
    """fvcore's total, which adds BatchNorm and adaptive pooling, billions; null where fvcore is absent."""
    executed_gmacs: float
    """Multiply-accumulates that our implementation executes, billions."""
    uncounted: dict[str, int]
    """Operators that no counter counts, with the number of calls."""


class DataHealth(RecordPart):
    """Which videos a trial saw."""

    train_videos: int
    val_videos: int
    excluded: dict[str, str]
    """Videos left out, with the reason."""
    digest: str
    """Digest of the manifest."""
    checked: bool = False
    """Whether ``data check`` had looked at the files."""
    killed: dict[str, str] = {}
    """Videos left out while the trial ran because decoding them hung or crashed, with the reason."""


class Environment(RecordPart):
    """Where a trial ran."""

    python: str
    platform: str
    device: str
    versions: dict[str, str]
    """Versions of the libraries that training depends on."""
    git_commit: str | None
    threads: int


class CodeFingerprint(RecordPart):
    """The code a trial used: digests of the syntax trees of its modules, comments and docstrings left out."""

    digest: str
    modules: dict[str, str]


class TrainingStep(RecordPart):
    """One step of training, kept to see how the loss came to be what it is."""

    epoch: int
    """From 1."""
    step: int
    """Within the epoch, from 1."""
    lr: float
    loss: Annotated[float, PlainSerializer(_write_float, return_type=float | str, when_used="json")]
    """Mean cross-entropy of the batch; "nan" and "inf" as words, which JSON has no numbers for."""
    videos: tuple[str, ...]
    """Ids of the videos of the batch."""


class Failure(RecordPart):
    """Why a trial failed or stopped."""

    kind: str
    """Class of the exception, or "interrupted"."""
    message: str
    traceback: str = ""
    steps: tuple[TrainingStep, ...] = ()
    """The last steps of a training whose loss is no longer finite."""


class TrialRecord(RecordPart):
    """One finished trial."""

    version: Literal[2] = 2
    trial_id: str
    status: Status
    trial: dict[str, Any]
    """The resolved trial (:meth:`study.spec.trial.Trial.to_json`)."""
    protocols: dict[str, tuple[str, ...]] = {}
    """Names of the views of each protocol that was measured."""
    primary: str = ""
    """The protocol under which the attention coefficients were taken."""
    metrics: dict[str, ProtocolMetrics] = {}
    """By name of the protocol."""
    train: dict[str, float] = {}
    """Last epoch's training figures ("loss", "top1")."""
    attention: list[BlockAttention] = []
    cost: Cost | None = None
    data: DataHealth | None = None
    environment: Environment
    code: CodeFingerprint
    started_at: float
    """Seconds since 1970."""
    ended_at: float
    seconds: dict[str, float] = {}
    """Time spent by part: "setup", "train", "evaluate"; seconds."""
    epochs_done: int = 0
    micro_batch: int | None = None
    """Clips of one forward and backward pass, where a whole batch did not fit into memory; null where it did."""
    failure: Failure | None = None


def has_protocols(record: TrialRecord, trial: Trial) -> bool:
    """Whether ``record`` measured every protocol of ``trial``, each from the views it has now."""
    wanted = trial.protocols
    same = all(record.protocols.get(name) == views for name, views in wanted.items())
    return same and (record.primary == trial.settings.evaluation.primary or not record.attention)


def save_record(record: TrialRecord, path: Path) -> None:
    """Write ``record`` to ``path`` at once or not at all."""
    write_atomically(path, record.model_dump_json(indent=1))


def load_record(path: Path) -> TrialRecord:
    """The record at ``path``.

    Raises:
        StoreError: when the file cannot be read or is no record of this version.
    """
    content = read_json(path)
    try:
        return TrialRecord.model_validate(migrate_record(content))
    except (ValueError, KeyError, TypeError) as error:
        # Anything but a ValidationError comes from migrating what only claims to be of an older version.
        if not isinstance(error, ValidationError):
            raise StoreError(f"{path}: no valid record: {error!r}") from None
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "(file)"
        raise StoreError(f"{path}: no valid record: {key}: {first['msg']}") from None


def migrate_record(content: Any) -> Any:
    """The content of a record of an older version as the present one has it; anything else as it is.

    Version 1 kept a digest of its protocols; version 2 names their views.
    """
    if not isinstance(content, dict) or content.get("version") != 1:
        return content
    evaluation = EvaluationSpec.model_validate(content["trial"]["settings"]["evaluation"])
    clip = ClipSpec.model_validate(content["trial"]["settings"]["clip"])
    kept = {name: value for name, value in content.items() if name != "evaluation_fingerprint"}
    protocols = {name: name_views(spec, clip) for name, spec in evaluation.protocols.items()}
    measured = {name: views for name, views in protocols.items() if name in content.get("metrics", {})}
    return kept | {"version": 2, "protocols": measured, "primary": evaluation.primary}


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` beside ``path``, flush it to the disk, then rename it over ``path``."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False))
