"""An MLflow database for each test, copied: creating one takes longer than most tests."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from study.tracking.store import connect


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow")
    connect(f"sqlite:///{folder}/first.db")
    with closing(sqlite3.connect(folder / "first.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(folder / "empty.db"),))
    return folder / "empty.db"


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    path = tmp_path / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    return f"sqlite:///{path}"
