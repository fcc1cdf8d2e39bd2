"""Whether a trial's files hold together: each readable, the id that of the settings, metrics those of the scores."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from study.errors import StoreError
from study.running.attempts import ATTEMPTS_FILE, Attempt, read_attempts
from study.running.trial_files import METRICS_FILE, SCORES_FILE, read_scores
from study.scores import ViewScores
from study.spec.json_file import parse_json, read_json, read_limited
from study.spec.record import ProtocolMetrics, TrialRecord, load_record
from study.spec.trial import Trial

LOSS_TOLERANCE = 1e-6
"""Relative; sums are rounded in other orders by other processors. Everything else must be equal."""
MAX_SCORES = 16 * 2**30
"""Bytes that the scores of a trial take in memory: Kinetics-400 under 30 views takes 1 GB."""
MAX_RATIO, FREE_BYTES = 50, 64 * 2**20
"""Above ``FREE_BYTES`` scores are at most this many times larger in memory than in the file."""


def check_trial(folder: Path) -> list[str]:
    """A line for each thing that is wrong with the finished trial in ``folder``, beginning with the file's name.

    The recorded settings must have the id by which the folder is called, so that nobody can pass off another
    trial's result; the metrics must follow from the stored scores. Training itself is not repeated.
    """
    try:
        record = load_record(folder / "record.json")
        trial = _read_trial(record.trial)
    except (StoreError, ValueError) as error:
        return [f"record.json: {_tail(error, folder)}"]
    problems = list(_check_identity(folder, record, trial))
    problems += _check_start(folder)
    problems += _check_attempts(folder)
    try:
        scores = load_checked_scores(folder, record) if record.status == "completed" else None
    except StoreError as error:
        return [*problems, f"{SCORES_FILE}: {_tail(error, folder)}"]
    problems += _check_status(record, scores)
    if scores is not None:
        problems += _check_metrics(record, trial, scores)
    try:
        problems += _check_epochs(folder, record, scores)
    except StoreError as error:
        problems.append(f"{METRICS_FILE}: {_tail(error, folder)}")
    return problems


def load_checked_scores(folder: Path, record: TrialRecord) -> ViewScores | None:
    """The scores of a trial that may come from anybody; None without any.

    Raises:
        StoreError: when they cannot be read, would fill the memory, or do not fit each other.
    """
    path = folder / SCORES_FILE
    if not path.exists():
        return None
    check_arrays(path)
    return read_scores(folder, record.protocols)


def check_arrays(path: Path) -> None:
    """Refuse an npz that would fill the memory: numpy allocates what the header of an array claims.

    Raises:
        StoreError: when it would, or is no npz of plain arrays.
    """
    limit = min(MAX_SCORES, max(FREE_BYTES, MAX_RATIO * path.stat().st_size))
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > 1000 or len({entry.filename for entry in entries}) < len(entries):
                raise StoreError(f"{path}: {len(entries)} arrays, or one of them twice")
            for entry in entries:
                total += max(entry.file_size, _claimed_bytes(archive, entry))
                if total > limit:
                    raise StoreError(f"{path}: its arrays claim more than {limit} bytes")
    except StoreError:
        raise
    except Exception as error:  # damaged zip or header: zipfile and numpy raise a dozen types
        raise StoreError(f"{path}: no readable scores: {type(error).__name__}: {error}") from None


def _claimed_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = reader(file)
    if any(side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape}")
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    return math.prod(shape) * int(dtype.itemsize)


def _read_trial(data: object) -> Trial:
    """The trial that was recorded. Raises ValueError when this version cannot read it."""
    if not isinstance(data, dict):
        raise ValueError("trial: no settings")
    try:
        return Trial.from_json(data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"trial: {error!r}") from None


def _check_identity(folder: Path, record: TrialRecord, trial: Trial) -> Iterator[str]:
    if record.trial_id != folder.name:
        yield f"record.json: trial_id: it is of trial {record.trial_id!r:.40}"
    try:
        trial_id = trial.trial_id
    except (TypeError, ValueError) as error:
        yield f"record.json: trial: has no id: {error}"
        return
    if trial_id != folder.name:
        yield f"record.json: trial: these settings are those of trial {trial_id}"
    for name, views in record.protocols.items():
        if trial.protocols.get(name) != views:
            yield f"record.json: protocols.{name!r:.40}: other views than the settings say"


def _check_start(folder: Path) -> Iterator[str]:
    path = folder / "trial.json"
    if not path.exists():
        yield "trial.json: is missing"
        return
    try:
        start = read_json(path)
        trial = _read_trial(start.get("trial") if isinstance(start, dict) else None)
        if trial.trial_id != folder.name:
            yield f"trial.json: trial: these settings are those of trial {trial.trial_id}"
    except (StoreError, ValueError, TypeError, KeyError) as error:
        yield f"trial.json: {_tail(error, folder)}"


def _check_attempts(folder: Path) -> Iterator[str]:
    """What ``why`` prints of the attempts is what it expects."""
    try:
        found = json.dumps([vars(attempt) for attempt in read_attempts(folder)])
        TypeAdapter(list[Attempt]).validate_json(found, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        yield f"{ATTEMPTS_FILE}: attempt {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _check_status(record: TrialRecord, scores: ViewScores | None) -> Iterator[str]:
    if record.status == "completed" and scores is None:
        yield f"{SCORES_FILE}: is missing"
    if record.status == "completed" and record.failure is not None:
        yield "record.json: failure: the trial is said to be completed"
    if record.status == "failed" and record.failure is None:
        yield "record.json: failure: none is given"
    if set(record.metrics) != set(record.protocols):
        yield "record.json: metrics: of other protocols than were measured"


def _check_metrics(record: TrialRecord, trial: Trial, scores: ViewScores) -> Iterator[str]:
    missing = set(trial.protocols) - set(record.metrics)
    if missing:
        yield f"record.json: metrics: none of {', '.join(sorted(missing))}"
    for name, views in record.protocols.items():
        if not scores.covers(views):
            yield f"{SCORES_FILE}: lacks views of protocol {name!r:.40}"
        elif name in record.metrics:
            yield from _compare(name, record.metrics[name], measure(scores, views))
    if record.data is not None and record.data.val_videos < len(scores.labels):
        yield f"{SCORES_FILE}: of {len(scores.labels)} videos, the record says {record.data.val_videos}"


def measure(scores: ViewScores, views: tuple[str, ...]) -> ProtocolMetrics:
    """The metrics of a protocol from stored scores; imports torch when it is first needed."""
    from study.training.metrics import measure_protocol

    return measure_protocol(scores, views)


def _compare(protocol: str, said: ProtocolMetrics, found: ProtocolMetrics) -> Iterator[str]:
    for field in ProtocolMetrics.model_fields:
        before, now = getattr(said, field), getattr(found, field)
        unknown = field == "repeated" and before is None
        near = field == "loss" and (
            math.isclose(before, now, rel_tol=LOSS_TOLERANCE) or (math.isnan(before) and math.isnan(now))
        )
        if before != now and not unknown and not near:
            yield f"record.json: metrics.{protocol!r:.40}.{field}: says {before}, the stored scores give {now}"


def _check_epochs(folder: Path, record: TrialRecord, scores: ViewScores | None) -> Iterator[str]:
    """``metrics.jsonl`` has each epoch once, and ends with what the record says."""
    path = folder / METRICS_FILE
    lines = read_limited(path).splitlines() if path.exists() else []
    entries = [parse_json(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    if not all(isinstance(entry, dict) and isinstance(entry.get("metrics"), dict) for entry in entries):
        raise StoreError(f"{path}: expected an object with 'step' and 'metrics' in each line")
    steps = [entry.get("step") for entry in entries]
    if steps != list(range(1, len(steps) + 1)):
        yield f"{METRICS_FILE}: its epochs are not 1 to {len(steps)}, each once"
    if record.status != "completed":
        return
    if len(steps) != record.epochs_done:
        yield f"{METRICS_FILE}: {len(steps)} epochs, the record says {record.epochs_done}"
        return
    last = entries[-1]["metrics"] if entries else {}
    for name, value in record.train.items():
        if name in last and last[name] != value:
            yield f"{METRICS_FILE}: {name!r:.40}: ends with {last[name]!r:.40}, the record says {value}"
    yield from _check_last_accuracy(folder, last, scores)


def _check_last_accuracy(folder: Path, last: dict[str, object], scores: ViewScores | None) -> Iterator[str]:
    """The accuracy in the last line is that of the protocol that was the primary one when the trial began."""
    try:
        start = read_json(folder / "trial.json")
        trial = _read_trial(start["trial"])
        views = trial.protocols[trial.settings.evaluation.primary]
    except (StoreError, ValueError, TypeError, KeyError):
        return  # said already
    if scores is not None and scores.covers(views) and "val/top1" in last:
        found = measure(scores, views).top1
        if last["val/top1"] != found:
            yield f"{METRICS_FILE}: val/top1: ends with {last['val/top1']!r:.40}, the stored scores give {found}"


def _tail(error: Exception, folder: Path) -> str:
    """The first line of an error, without the path that the caller knows."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    if text.startswith(f"{folder}{os.sep}"):
        text = text.removeprefix(f"{folder}{os.sep}").partition(":")[2].strip()
    return text[:300]
