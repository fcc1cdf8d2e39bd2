"""Files of runs: read where they lie when that is a local folder, else fetched once, several at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.errors import StoreError
from study.tracking.redaction import first_line

THREADS = 8
"""Files that are fetched at a time."""


class Artifacts:
    """The files of some runs.

    Args:
        client: asked for files that do not lie in a local folder.
        locations: address of the artifacts of each run, by its id.
    """

    def __init__(self, client: MlflowClient, locations: Mapping[str, str]) -> None:
        self._client = client
        self._folders = {run: local_folder(location) for run, location in locations.items()}
        self._fetched: dict[tuple[str, str], Future[Path]] = {}
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def prefetch(self, run_ids: Iterable[str], name: str) -> None:
        """Begin to fetch the files called ``name``; local ones need none of it."""
        for run_id in run_ids:
            if self._folders.get(run_id) is None:
                self._begin(run_id, name)

    def find(self, run_id: str, name: str) -> Path:
        """The file ``name`` of a run, to be read only.

        Raises:
            StoreError: when there is none or it cannot be fetched.
        """
        folder = self._folders.get(run_id)
        if folder is not None:
            if not (folder / name).is_file():
                raise StoreError(f"run {run_id}: no file {folder / name}")
            return folder / name
        try:
            return self._begin(run_id, name).result()
        except (OSError, MlflowException) as error:
            problem = first_line(error, self._client.tracking_uri)
            raise StoreError(f"run {run_id}: {name} cannot be fetched: {problem}") from None

    def _begin(self, run_id: str, name: str) -> Future[Path]:
        if (run_id, name) not in self._fetched:
            self._pool = self._pool or ThreadPoolExecutor(THREADS, thread_name_prefix="artifacts")
            # Removed with this object: MLflow would leave a folder behind for every file.
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="study-artifacts-")
            target = Path(self._scratch.name) / run_id
            self._fetched[run_id, name] = self._pool.submit(self._fetch, run_id, name, target)
        return self._fetched[run_id, name]

    def _fetch(self, run_id: str, name: str, target: Path) -> Path:
        target.mkdir(parents=True, exist_ok=True)
        return Path(self._client.download_artifacts(run_id, name, str(target)))


def local_folder(location: str) -> Path | None:
    """The folder that an artifact address names; None where it is not on this machine's disk.

    >>> local_folder("file:///runs/with%20space"), local_folder("s3://bucket/1")
    (PosixPath('/runs/with space'), None)
    """
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(location) if location.startswith("/") else None
