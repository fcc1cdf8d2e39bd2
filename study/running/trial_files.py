"""The files in a trial's folder that grow or are read back while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from study.errors import StoreError
from study.scores import ViewScores, dump_scores, load_scores
from study.spec.record import write_atomically

SCORES_FILE = "scores.npz"
METRICS_FILE = "metrics.jsonl"


def has_metrics(folder: Path, epoch: int) -> bool:
    """Whether the line of ``epoch`` is written."""
    return any(json.loads(line)["step"] == epoch for line in _read_lines(folder))


def append_metrics(folder: Path, epoch: int, metrics: Mapping[str, float]) -> None:
    """Add the line of ``epoch``. It follows the checkpoint of its epoch, so no resumed trial writes it twice."""
    entry = {"step": epoch, "timestamp": int(time.time() * 1000), "metrics": dict(metrics)}
    lines = [*_read_lines(folder), json.dumps(entry, sort_keys=True)]
    write_atomically(folder / METRICS_FILE, "\n".join(lines) + "\n")


def _read_lines(folder: Path) -> list[str]:
    path = folder / METRICS_FILE
    return path.read_text().splitlines() if path.exists() else []


def write_scores(folder: Path, scores: ViewScores | None) -> None:
    """Write the scores of a trial, atomically."""
    if scores is not None:
        write_atomically(folder / SCORES_FILE, dump_scores(scores))


def read_scores(folder: Path, protocols: Mapping[str, Sequence[str]]) -> ViewScores | None:
    """The scores of a trial; None when it has none. ``protocols`` are those of its record.

    Raises:
        StoreError: when the file is damaged.
    """
    path = folder / SCORES_FILE
    if not path.exists():
        return None
    try:
        return load_scores(path, protocols)
    except StoreError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types on damaged files
        raise StoreError(f"{path}: no readable scores: {type(error).__name__}: {error}") from None
