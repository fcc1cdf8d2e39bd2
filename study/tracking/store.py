"""Opening an MLflow store: the address, the database, the experiment of a study."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mlflow.store.db.utils as mlflow_database
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from study.errors import StoreError
from study.tracking.redaction import first_line, redact_uri

SQLITE = "sqlite:///"
SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")


class TrackingError(StoreError):
    """MLflow cannot be reached or does not answer; nothing is lost, trials lie in the study's directory."""


def check_uri(uri: str) -> None:
    """Raise StoreError unless ``uri`` is an address that MLflow can track to."""
    try:
        scheme = urlsplit(uri).scheme.split("+")[0]
    except ValueError:  # its message would quote the address
        scheme = ""
    if scheme not in SCHEMES or (scheme == "sqlite" and not uri.startswith(SQLITE)):
        raise StoreError(
            f"tracking address '{redact_uri(uri)}': allowed are sqlite:///PATH/mlflow.db, http://HOST:PORT of an "
            "MLflow server and postgresql://… (MLflow no longer supports folders of plain files)"
        )


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address; None for any other."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def is_server(uri: str) -> bool:
    """Whether ``uri`` is an MLflow server rather than a database."""
    return urlsplit(uri).scheme in ("http", "https")


def connect(uri: str) -> MlflowClient:
    """A client of the store at ``uri``; a SQLite database is created when there is none.

    Two processes that open a new database at once can break it for good, so opening one takes a lock.

    Raises:
        TrackingError: when a server or database is none that MLflow can open, or its folder cannot be written.
    """
    check_uri(uri)
    _quieten()
    path = sqlite_path(uri)
    if path is None:
        try:
            return MlflowClient(tracking_uri=uri)
        except Exception as error:  # no such driver, no number where the port should be, ...
            raise TrackingError(
                f"MLflow at {redact_uri(uri)} cannot be opened: {first_line(error, uri)}"
            ) from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                _create_database(path)
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)  # opens the database, which migrates it
    except OSError as error:
        raise TrackingError(f"{path}: cannot be opened: {error.strerror or error}") from None
    return client


def _create_database(path: Path) -> None:
    """A new SQLite database at ``path``, whole or not at all.

    MLflow creates one in some sixty steps, and a process that dies amid them, or a full disk, leaves what no later
    process can open. So it is made aside and renamed. Write-ahead logging is switched on once and stays on.
    """
    for stray in path.parent.glob(f".{path.name}-*"):
        shutil.rmtree(stray, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft, whole = Path(folder) / "draft.db", Path(folder) / "whole.db"
        MlflowClient(tracking_uri=f"{SQLITE}{draft}").search_experiments(max_results=1)
        # A copy, because MLflow holds on to the draft.
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("VACUUM INTO ?", (str(whole),))
        with closing(sqlite3.connect(whole)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(whole, path)


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turn what MLflow raises in this block into one clear error.

    Raises:
        TrackingError: when the store at ``uri`` cannot be reached, answers with an error or not in time.
    """
    try:
        yield
    except (MlflowException, sqlite3.Error) as error:
        raise TrackingError(
            f"MLflow at {redact_uri(uri)} does not answer: {first_line(error, uri)}"
        ) from None


def ensure_experiment(client: MlflowClient, uri: str, study: str, artifact_root: Path) -> str:
    """The id of the MLflow experiment of ``study``, created when there is none.

    Without a server the artifacts lie below ``artifact_root``, by absolute path: by default MLflow would put
    them below the working directory of whoever comes first. A server decides by itself.
    """
    found = client.get_experiment_by_name(study)
    if found is None:
        location = None if is_server(uri) else (artifact_root.absolute() / study).as_uri()
        try:
            return str(client.create_experiment(study, artifact_location=location))
        except MlflowException:
            # Another process was faster, or the server had carried out a request that we gave up on.
            found = client.get_experiment_by_name(study)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def find_experiment(client: MlflowClient, study: str) -> Experiment | None:
    """The MLflow experiment of ``study``, or None.

    Raises:
        TrackingError: when the store does not answer.
    """
    with answering(client.tracking_uri):
        found = client.get_experiment_by_name(study)
    return found if found is not None and found.lifecycle_stage == "active" else None


def _quieten() -> None:
    # Creating a database logs some sixty lines of migrations, one that does not answer a warning for each attempt.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)
    # MLflow would try a database that does not answer ten times, over 100 seconds, and that in every pass.
    mlflow_database.MAX_RETRY_COUNT = 2
    warnings.filterwarnings("ignore", message=".*noload.*")
