"""Reading the folder of a trial while it may still be written to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.errors import StoreError
from study.spec.json_file import read_json, read_limited
from study.spec.record import TrialRecord, load_record
from study.spec.trial import canonical_json


@dataclass(frozen=True)
class MetricLine:
    """The metrics of one epoch. ``timestamp`` counts milliseconds since 1970."""

    step: int
    timestamp: int
    metrics: dict[str, float]


def read_metrics(folder: Path) -> list[MetricLine]:
    """The lines of ``metrics.jsonl``, one a step, in order.

    A line that is not finished yet is left for the next time. Where a step was written twice, by a trial that
    was resumed before its last checkpoint, the later line counts.

    Raises:
        StoreError: for a finished line that is no metrics line.
    """
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    lines: dict[int, MetricLine] = {}
    finished, _, _ = read_limited(path).rpartition(b"\n")
    for number, text in enumerate(finished.splitlines(), start=1):
        if not text.strip():
            continue
        try:
            data = json.loads(text)
            values = {str(name): float(value) for name, value in data["metrics"].items()}
            line = MetricLine(int(data["step"]), int(data["timestamp"]), values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise StoreError(f"{path}:{number}: no line of metrics: {error!r}") from None
        lines[line.step] = line
    return [lines[step] for step in sorted(lines)]


def digest_metrics(lines: list[MetricLine]) -> str:
    """A digest of steps and values. Timestamps are left out: an epoch repeated with the same result after a
    crash is the same epoch.
    """
    values = [
        [line.step, sorted((name, repr(value)) for name, value in line.metrics.items())] for line in lines
    ]
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:16]


def read_start(folder: Path) -> dict[str, Any] | None:
    """``trial.json``: the resolved trial and when it started; None when the trial has not begun."""
    path = folder / "trial.json"
    if not path.exists():
        return None
    data = read_json(path)
    if not isinstance(data, dict):
        raise StoreError(f"{path}: expected an object with 'trial' and 'started_at'")
    return data


def read_record(folder: Path) -> TrialRecord | None:
    """The record, or None while the trial has not ended."""
    path = folder / "record.json"
    return load_record(path) if path.exists() else None


def stamp_record(folder: Path) -> str:
    """Changes whenever ``record.json`` is written anew; empty while there is none. Costs no reading."""
    try:
        status = (folder / "record.json").stat()
    except FileNotFoundError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"
