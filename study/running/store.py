"""The directory of a study: trials, data, costs, the MLflow database and the report.

<store>/lock              held by the one launch that writes
<store>/store.json        its id, by which MLflow's runs are known as those of this store
<store>/trials/<id>/      see study.spec.record
<store>/data/             synthetic videos
<store>/costs/            counted costs
<store>/runtime/          measurements of speed and memory, one file each (study.spec.runtime)
<store>/mlflow.db         MLflow's SQLite database, with artifacts in mlflow-artifacts/
<store>/report/           the last report
<store>/imports/<digest>/ manifest, specs and report of an archive that was imported
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from study.errors import StoreError
from study.spec.json_file import read_json
from study.spec.record import TrialRecord, load_record, write_json

POLL_SECONDS = 0.5
"""Between two looks at a lock that is waited for."""
DEBRIS_SECONDS = 3600.0


@dataclass(frozen=True)
class Store:
    """Paths of a study's directory, always absolute."""

    root: Path

    @classmethod
    def at(cls, root: Path | str) -> Store:
        """The store at ``root``, which need not exist yet."""
        return cls(Path(root).expanduser().absolute())

    @property
    def trials(self) -> Path:
        """Folder of the trials' folders."""
        return self.root / "trials"

    @property
    def data(self) -> Path:
        """Folder of synthetic videos."""
        return self.root / "data"

    @property
    def costs(self) -> Path:
        """Folder of counted costs."""
        return self.root / "costs"

    @property
    def runtime(self) -> Path:
        """Folder of the measurements of speed and memory."""
        return self.root / "runtime"

    @property
    def report(self) -> Path:
        """Folder of the last report."""
        return self.root / "report"

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts."""
        return self.root / "mlflow-artifacts"

    @property
    def facts(self) -> Path:
        """What the last launch says of itself in every later report: how long it took."""
        return self.root / "launch.json"

    @property
    def database(self) -> Path:
        """MLflow's database, unless ``--tracking-uri`` names another store."""
        return self.root / "mlflow.db"

    @property
    def tracking_uri(self) -> str:
        """Address of :attr:`database`."""
        return f"sqlite:///{self.database}"

    def list_trials(self) -> set[str]:
        """Ids of the trials that have a folder.

        Raises:
            StoreError: when they cannot be listed.
        """
        try:
            return set(os.listdir(self.trials))
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise StoreError(f"{self.trials}: cannot be read: {error.strerror or error}") from None

    def folder(self, trial_id: str) -> Path:
        """Folder of one trial."""
        return self.trials / trial_id

    def record(self, trial_id: str) -> TrialRecord | None:
        """The record of a trial, None while it has none.

        Raises:
            StoreError: when the record cannot be read.
        """
        path = self.folder(trial_id) / "record.json"
        return load_record(path) if path.exists() else None

    def find_id(self) -> str:
        """The id of this store; empty while it has none.

        Raises:
            StoreError: when its file cannot be read.
        """
        path = self.root / "store.json"
        if not path.exists():
            return ""
        content = read_json(path)
        found = content.get("id") if isinstance(content, dict) else None
        if not isinstance(found, str) or not found.isalnum():
            raise StoreError(f"{path}: expected an id of letters and digits; delete it to get a new one")
        return found

    def claim_id(self) -> str:
        """The id of this store, made when there is none; call it while the store is locked.

        It is drawn at random, so that a store may be moved, and none made elsewhere has the same. A copy of the folder
        is the same store to MLflow, until its ``store.json`` is deleted.
        """
        found = self.find_id()
        if not found:
            found = uuid.uuid4().hex
            write_json(self.root / "store.json", {"id": found})
        return found

    @contextmanager
    def locked(self, wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the store for writing.

        Args:
            wait: called once where another launch holds it, which is then waited for; without, that is an error.

        Raises:
            StoreError: when another launch holds it, or it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / "lock")
            if wait is None:
                lock.acquire(timeout=0)
            else:
                with suppress(Timeout):
                    lock.acquire(timeout=0)
                if not lock.is_locked:
                    wait()
                    lock.acquire(poll_interval=POLL_SECONDS)
        except Timeout:
            raise StoreError(
                f"{self.root}: another launch is running on this store; wait for it, or name another with --storage"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be written: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()


def discard_attempt(folder: Path) -> None:
    """Take away what an attempt left in a trial's folder, so that the trial begins anew.

    The record goes last: without it, the weights of an attempt that is to be forgotten would be gone on from by
    whoever comes after this process was killed in between.
    """
    for name in ("checkpoint.pt", "metrics.jsonl", "scores.npz", "trial.json", "record.json"):
        (folder / name).unlink(missing_ok=True)


def clear_debris(folder: Path) -> None:
    """Take away unfinished files of processes that were killed while they wrote; a checkpoint's may be large.

    Only what is older than an hour: a process that is still at it would lose its file.
    """
    for path in folder.glob(".*"):
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > DEBRIS_SECONDS:
                path.unlink()
