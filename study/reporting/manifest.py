"""``report.json``: what a report was made from and what it consists of, so that it can be checked later.

It names no time of writing and no machine: the same report gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from study.errors import StoreError
from study.spec.record import write_atomically

MANIFEST_FILE = "report.json"
FOLDERS = ("tables", "figures")
"""Folders that hold nothing but what a report wrote."""


class ManifestPart(BaseModel):
    """Base of the parts of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(ManifestPart):
    """What the report was asked for."""

    study: str
    """Name of the study."""
    specs: tuple[str, ...]
    """Names of experiments; paths of those that are not below ``experiments/``."""
    profile: str
    """Name of the profile."""
    overrides: tuple[str, ...] = ()
    """The ``path=value`` settings that were laid over everything."""
    repeats: int | None = None
    """Repeats of every experiment; null for each one's own."""


class TrialMark(ManifestPart):
    """A trial of the report as it was then."""

    id: str
    """Its id."""
    cells: tuple[tuple[str, str, int], ...]
    """Experiment, arm and repeat of each place where it stands."""
    status: str
    """Of its record ("completed", "failed", "stopped"); empty where it had none."""
    ended_at: float | None = None
    """When its record ended, seconds since 1970; null where it had none."""
    trained_with: str = ""
    """Fingerprint of the code that trained it; empty where it had no record."""
    code: str
    """Fingerprint of the code that would have trained it when the report was written."""
    data_digest: str
    """Digest of its videos' manifest."""
    weights_digest: str = ""
    """Digest of the file of initial weights; empty without one."""


class Origin(ManifestPart):
    """What a report is made from."""

    request: Request
    inputs: dict[str, str]
    """Digest of everything that enters a report besides its trials, by a name for people."""
    trials: tuple[TrialMark, ...]
    runtimes: dict[str, str] = {}
    """By id of each measurement of runtime that the report shows, a digest of what it shows of it."""


class ReportManifest(Origin):
    """A report's account of itself."""

    version: Literal[1] = 1
    files: dict[str, str]
    """SHA-256 of every file of the report by its path in the folder, this one excepted."""


def write_manifest(folder: Path, files: Iterable[Path], origin: Origin) -> Path:
    """Write the manifest of the report in ``folder``, atomically; returns its path.

    Args:
        folder: the report's folder.
        files: what was written, below ``folder``.
        origin: what it was made from.
    """
    digests = {path.relative_to(folder).as_posix(): digest_file(path) for path in files}
    manifest = ReportManifest(**dict(origin), files=digests)
    path = folder / MANIFEST_FILE
    content = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False, sort_keys=True)
    write_atomically(path, content + "\n")
    return path


def read_manifest(folder: Path) -> ReportManifest:
    """The manifest of the report in ``folder``.

    Raises:
        StoreError: when there is none, or it is none of this version.
    """
    path = folder / MANIFEST_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(
            f"{path}: no such file, so there is no report here that could be checked; write one with: "
            "run_study.py report"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return ReportManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "(file)"
        raise StoreError(f"{path}: no manifest of a report: {key}: {first['msg']}") from None


def remove_former(folder: Path, keep: Iterable[Path]) -> list[Path]:
    """Remove the files of the report that lay in ``folder`` before, except those in ``keep``; returns them.

    Only what its manifest lists is touched, and only below ``folder``. Without a readable manifest nothing is.
    """
    try:
        former = read_manifest(folder).files
    except StoreError:
        return []
    kept = {path.resolve() for path in keep}
    home = folder.resolve()
    removed = []
    for name in former:
        path = (folder / name).resolve()
        if path not in kept and path.is_relative_to(home) and path.is_file():
            path.unlink()
            removed.append(path)
    return removed


def compare_files(folder: Path, manifest: ReportManifest) -> list[str]:
    """A line for every file that is not as it was written, is missing, or was added."""
    problems = []
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name}: is missing")
        elif digest_file(path) != digest:
            problems.append(f"{name}: was changed after it was written")
    present = (
        path.relative_to(folder).as_posix()
        for part in FOLDERS
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    )
    problems += [f"{name}: the report wrote no such file" for name in present if name not in manifest.files]
    return problems


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
