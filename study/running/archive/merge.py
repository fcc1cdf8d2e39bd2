"""Taking an archive into a store: everything is checked before anything is put there, and nothing is overwritten."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from study.errors import StoreError
from study.running.archive.check import check_trial
from study.running.archive.layout import ArchiveManifest
from study.running.archive.read import Archive, open_archive
from study.running.archive.write import dump_manifest
from study.running.store import Store
from study.spec.runtime import load_runtime

STAGING = ".import-"
RUNTIME = "runtime"
"""Folder of the measurements of runtime, in the store and in an archive."""
KEPT_APART = ("specs", "report")
MAX_SHOWN = 20
Checked = Callable[[int, int], None]
"""Called with (done, total) while trials are checked."""


@dataclass
class Merged:
    """What an import did.

    Attributes:
        manifest: the archive's account of itself.
        digest: SHA-256 of the manifest.
        folder: where specs, report and manifest of the archive lie.
        added: ids of trials that the store has now.
        kept: ids of trials that it had, with the same record.
        notes: what else the user may want to know.
    """

    manifest: ArchiveManifest
    digest: str
    folder: Path
    added: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def merge_archive(path: Path, store: Store, progress: Checked = lambda done, total: None) -> Merged:
    """Take the archive at ``path`` into ``store``.

    A trial that the store has with the same record is left as it is. An import that is interrupted leaves whole
    trials only, and doing it again goes on.

    Raises:
        StoreError: when the archive is none, could do harm, was tampered with or holds a trial of which the store has
            another record; when a launch is at work on the store, or it lacks the room. Nothing has been added then.
    """
    with open_archive(path) as archive, store.locked():
        for stray in store.root.glob(f"{STAGING}*"):
            shutil.rmtree(stray, ignore_errors=True)
        free = shutil.disk_usage(store.root).free
        if archive.size > free:
            raise StoreError(f"{store.root}: {free} bytes are free, the archive takes {archive.size}")
        staging = Path(tempfile.mkdtemp(dir=store.root, prefix=STAGING))
        try:
            _refuse(path, archive.extract(staging))
            trials = archive.manifest.trials
            _refuse(path, list(_check_trials(staging, trials, progress)))
            _refuse(path, check_runtimes(staging))
            _refuse(path, [text for trial_id in trials if (text := _find_conflict(trial_id, staging, store))])
            return _move(archive, staging, store)
        except OSError as error:
            raise StoreError(f"{store.root}: cannot be written: {error.strerror or error}") from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def check_trials(folder: Path, trials: tuple[str, ...], progress: Checked) -> list[str]:
    """A line for each thing that is wrong with ``trials`` below ``folder``/trials."""
    return list(_check_trials(folder, trials, progress))


def _check_trials(folder: Path, trials: tuple[str, ...], progress: Checked) -> list[str]:
    problems = []
    for number, trial_id in enumerate(trials, 1):
        problems += [f"trials/{trial_id}/{text}" for text in check_trial(folder / "trials" / trial_id)]
        progress(number, len(trials))
    return problems


def check_runtimes(folder: Path) -> list[str]:
    """A line for each measurement of runtime below ``folder``/runtime that is not as it was written: its name is the
    digest of its content.
    """
    problems = []
    for path in sorted((folder / RUNTIME).glob("*.json")):
        try:
            known = load_runtime(path).runtime_id
        except StoreError as error:
            problems.append(str(error).replace(f"{folder}{os.sep}", ""))
            continue
        if known != path.stem:
            problems.append(f"{RUNTIME}/{path.name}: holds the measurement {known}")
    return problems


def _refuse(path: Path, problems: list[str]) -> None:
    """Raise StoreError with ``problems``, the first ones if there are many; nothing if there are none."""
    if len(problems) > MAX_SHOWN:
        problems = [*problems[:MAX_SHOWN], f"and {len(problems) - MAX_SHOWN} more"]
    if problems:
        raise StoreError("\n".join(f"{path}: {text}" for text in problems))


def _find_conflict(trial_id: str, staging: Path, store: Store) -> str:
    """Why a trial cannot be added; empty when it can, or is there already with the same record."""
    present, offered = store.folder(trial_id), staging / "trials" / trial_id
    if not present.exists() or not any(present.iterdir()):
        return ""
    record = present / "record.json"
    if not record.exists():
        return f"trials/{trial_id}: {present} has begun and has no record; launch it to its end, or remove that folder"
    if record.read_bytes() == (offered / "record.json").read_bytes():
        return ""
    return (
        f"trials/{trial_id}/record.json: differs from {record}: the trial ran twice; nothing is overwritten. "
        "Import into another --storage, or remove that folder"
    )


def _move(archive: Archive, staging: Path, store: Store) -> Merged:
    """Rename what was checked into the store, trial by trial."""
    folder = store.root / "imports" / archive.digest[:12]
    merged = Merged(archive.manifest, archive.digest, folder)
    if hasattr(os, "sync"):
        os.sync()  # so that not even a power failure leaves a record without its scores
    store.trials.mkdir(exist_ok=True)
    for trial_id in archive.manifest.trials:
        present = store.folder(trial_id)
        if (present / "record.json").exists():
            merged.kept.append(trial_id)
            continue
        os.replace(staging / "trials" / trial_id, present)
        merged.added.append(trial_id)
    for measured in sorted((staging / RUNTIME).glob("*.json")):
        # Named by its content: one that is there already is the same.
        store.runtime.mkdir(exist_ok=True)
        os.replace(measured, store.runtime / measured.name)
    facts = staging / store.facts.name
    if facts.exists() and not store.facts.exists():
        os.replace(facts, store.facts)
    elif facts.exists() and facts.read_bytes() != store.facts.read_bytes():
        merged.notes.append(f"{store.facts} is kept: a report says of the last launch what it says there")
    if not folder.exists():
        aside = staging / "aside"
        aside.mkdir()
        (aside / "manifest.json").write_bytes(dump_manifest(archive.manifest))
        for name in KEPT_APART:
            if (staging / name).exists():
                os.replace(staging / name, aside / name)
        folder.parent.mkdir(exist_ok=True)
        os.replace(aside, folder)
    return merged
