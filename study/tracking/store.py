"""Opening an MLflow store: the address, the database, the experiment of a study."""

from __future__ import annotations

import logging
import sqlite3
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment

from study.errors import StoreError

SQLITE = "sqlite:///"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")


def check_uri(uri: str) -> None:
    """Raise StoreError unless ``uri`` is an address that MLflow can track to."""
    scheme = urlsplit(uri).scheme.split("+")[0]
    if scheme not in SCHEMES or (scheme == "sqlite" and not uri.startswith(SQLITE)):
        raise StoreError(
            f"tracking address '{uri}': allowed are sqlite:///PATH/mlflow.db, http://HOST:PORT of an MLflow "
            "server and postgresql://… (MLflow no longer supports folders of plain files)"
        )


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address; None for any other."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def is_server(uri: str) -> bool:
    """Whether ``uri`` is an MLflow server rather than a database."""
    return urlsplit(uri).scheme in ("http", "https")


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; a SQLite database is created when there is none.

    Two processes that open a new database at once can break it for good, so creating one takes a lock, and
    write-ahead logging is switched on once (it stays on).
    """
    check_uri(uri)
    _quieten()
    path = sqlite_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        fresh = not path.exists()
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)  # opens the database, which migrates it
        if fresh:
            connection = sqlite3.connect(path)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()
    return client


def ensure_experiment(client: MlflowClient, uri: str, study: str, artifact_root: Path) -> str:
    """The id of the MLflow experiment of ``study``, created when there is none.

    Without a server the artifacts lie below ``artifact_root``, by absolute path: by default MLflow would put
    them below the working directory of whoever comes first. A server decides by itself.
    """
    found = client.get_experiment_by_name(study)
    if found is None:
        location = None if is_server(uri) else (artifact_root.absolute() / study).as_uri()
        return str(client.create_experiment(study, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_experiment(client: MlflowClient, study: str) -> Experiment | None:
    """The MLflow experiment of ``study``, or None."""
    found = client.get_experiment_by_name(study)
    return found if found is not None and found.lifecycle_stage == "active" else None


def _quieten() -> None:
    # Creating a database logs some sixty lines of migrations.
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*noload.*")
