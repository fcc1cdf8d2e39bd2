"""Reading runs and metrics straight from a local SQLite database, in a few queries.

MLflow's own client reads run by run, with some five queries each, and metrics curve by curve: half a minute for
5,000 trials where this takes a second. What it gives is the same (``tests/tracking/test_read.py`` holds both against
each other). Where the tables are not as expected, the caller asks MLflow.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHUNK = 500
"""Runs that one query names; SQLite takes 999 values at least."""


@dataclass(frozen=True)
class StoredRun:
    """A run as MLflow holds it. Times count milliseconds since 1970; ``ended`` is None while it runs."""

    run_id: str
    experiment_id: str
    name: str
    status: str
    started: int
    ended: int | None
    artifact_uri: str
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


def read_runs(path: Path, experiment_id: str) -> list[StoredRun]:
    """Every active run of the experiment, oldest first.

    Raises:
        sqlite3.Error: when the database cannot be read or its tables are not as expected.
    """
    chosen = "run_uuid IN (SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active')"
    key = (int(experiment_id),)
    with closing(_connect(path)) as connection:
        runs = {
            row[0]: StoredRun(row[0], experiment_id, *row[1:])
            for row in connection.execute(
                "SELECT run_uuid, name, status, start_time, end_time, artifact_uri FROM runs "
                "WHERE experiment_id = ? AND lifecycle_stage = 'active' ORDER BY start_time ASC, run_uuid",
                key,
            )
        }
        for run_id, name, text in connection.execute(
            f"SELECT run_uuid, key, value FROM tags WHERE {chosen}", key
        ):
            runs[run_id].tags[name] = text
        for run_id, name, text in connection.execute(
            f"SELECT run_uuid, key, value FROM params WHERE {chosen}", key
        ):
            runs[run_id].params[name] = text
        for run_id, name, value, is_nan in connection.execute(
            f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE {chosen}", key
        ):
            runs[run_id].metrics[name] = float("nan") if is_nan else value
    return list(runs.values())


def read_histories(
    path: Path, run_ids: Sequence[str], names: Sequence[str]
) -> dict[tuple[str, str], list[tuple[int, float, int]]]:
    """Step, value and timestamp of each value of the metrics ``names``, by run and metric, oldest first.

    Raises:
        sqlite3.Error: as :func:`read_runs`.
    """
    found: dict[tuple[str, str], list[tuple[int, float, int]]] = defaultdict(list)
    with closing(_connect(path)) as connection:
        for row in _select_metrics(connection, run_ids, names):
            run_id, name, step, value, timestamp, is_nan = row
            found[run_id, name].append((step, float("nan") if is_nan else value, timestamp))
    return found


def _select_metrics(
    connection: sqlite3.Connection, run_ids: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    for begin in range(0, len(run_ids), CHUNK):
        chunk = run_ids[begin : begin + CHUNK]
        yield from connection.execute(
            "SELECT run_uuid, key, step, value, timestamp, is_nan FROM metrics "
            f"WHERE run_uuid IN ({_marks(chunk)}) AND key IN ({_marks(names)}) ORDER BY timestamp, step, value",
            (*chunk, *names),
        )


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _connect(path: Path) -> sqlite3.Connection:
    """The database, for reading only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
