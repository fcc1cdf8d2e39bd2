"""Writing an archive: the same study gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from study.errors import StoreError
from study.running.archive.layout import (
    CHECKPOINT,
    MANIFEST,
    TRIAL_FILES,
    ArchiveManifest,
    Exporter,
    FileMark,
    StudyRequest,
    find_limit,
)
from study.running.store import Store

CHUNK = 2**20
TIME = (1980, 1, 1, 0, 0, 0)
"""The time of every entry, the earliest that a zip knows."""
Source = Path | bytes
"""Where the content of an entry is: a file, or the content itself."""


def list_trial_files(store: Store, trial_id: str, *, checkpoint: bool) -> dict[str, Source]:
    """The files of a finished trial by the names of their entries."""
    names = (*TRIAL_FILES, CHECKPOINT) if checkpoint else TRIAL_FILES
    folder = store.folder(trial_id)
    return {f"trials/{trial_id}/{name}": folder / name for name in names if (folder / name).is_file()}


def write_archive(
    target: Path,
    sources: Mapping[str, Source],
    *,
    request: StudyRequest,
    exporter: Exporter,
    left_out: Mapping[str, str] | None = None,
) -> ArchiveManifest:
    """Write an archive to ``target``, at once or not at all.

    Args:
        target: the file, which must not exist.
        sources: content of every entry but the manifest.
        request: what was asked for.
        exporter: where this is.
        left_out: ids of trials of the request that had not finished, and where they stood.

    Raises:
        StoreError: when ``target`` exists or cannot be written, or a file cannot be read, changes while it is being
            copied, is too large or has a name that no archive may have.
    """
    if target.exists():
        raise StoreError(f"{target}: exists already; name another file, or remove it first")
    files = {name: _mark(name, sources[name]) for name in sorted(sources)}
    manifest = ArchiveManifest(
        request=request,
        exporter=exporter,
        trials=tuple(sorted({name.split("/")[1] for name in files if name.startswith("trials/")})),
        left_out=dict(left_out or {}),
        files=files,
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {error.strerror or error}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            _write_entries(file, manifest, sources)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    return manifest


def dump_manifest(manifest: ArchiveManifest) -> bytes:
    """The bytes of ``manifest.json``; their SHA-256 is the archive's digest."""
    content = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    return f"{content}\n".encode()


def _write_entries(file: IO[bytes], manifest: ArchiveManifest, sources: Mapping[str, Source]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_describe_entry(MANIFEST), dump_manifest(manifest))
        for name, mark in manifest.files.items():
            info = _describe_entry(name)
            info.file_size = mark.size
            with _open(name, sources[name]) as source, archive.open(info, "w") as entry:
                if _copy(source, entry, mark.size) != mark.sha256:
                    raise StoreError(f"{name}: changed while it was being written; is a launch at work?")


def _describe_entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, TIME)
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


def _mark(name: str, source: Source) -> FileMark:
    limit = find_limit(name)
    if limit is None:
        raise StoreError(f"{name!r}: an archive holds no entry of this name")
    digest, size = hashlib.sha256(), 0
    with _open(name, source) as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    if size > limit:
        raise StoreError(f"{name}: {size} bytes; an archive takes at most {limit}")
    return FileMark(size=size, sha256=digest.hexdigest())


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> str:
    """Copy at most ``size`` bytes and one more; returns their SHA-256."""
    digest, left = hashlib.sha256(), size + 1
    while left and (chunk := source.read(min(CHUNK, left))):
        digest.update(chunk)
        target.write(chunk)
        left -= len(chunk)
    return digest.hexdigest()


@contextmanager
def _open(name: str, source: Source) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise StoreError(f"{name}: {source}: cannot be read: {error.strerror or error}") from None
    with file:
        yield file
