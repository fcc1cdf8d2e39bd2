"""What must hold on every node of a cluster before trials run there, looked at on each before any of them starts.

The driver opens a meeting point in the store: a folder with a marker and a lock that it holds until the run ends. Each
node looks for the marker, leaves a sign of its own, tries the lock (which must fail), compares its code with the
driver's, and reads a frame of every data set. Nothing here knows Ray.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

import study
from study.errors import SchedulingError, StudyError
from study.running.executor import Job
from study.spec.trial import Trial

PREFIX = ".preflight-"
MARKER = "marker"
LOCK = "lock"
VISIBLE_SECONDS = 10.0
"""How long a file may take to be seen from another machine: file servers' clients remember folders for a while."""


@dataclass(frozen=True)
class Survey:
    """What every node is asked to look at.

    Attributes:
        meeting: the meeting point's folder.
        token: what its marker holds.
        directory: the driver's working directory; relative paths of an experiment start there.
        code: digest of the driver's code.
        samples: one trial of each data set and file of weights, as JSON, with the folder of synthetic videos.
    """

    meeting: Path
    token: str
    directory: str
    code: str
    samples: tuple[tuple[dict[str, Any], Path], ...]


@contextmanager
def meeting_point(jobs: Sequence[Job]) -> Iterator[Survey]:
    """Open the meeting point of a run; it is there until the block ends.

    Raises:
        SchedulingError: when the trials' folder cannot be written from here.
    """
    trials = jobs[0].place.folder.parent
    token = secrets.token_hex(8)
    folder = trials / f"{PREFIX}{token}"
    try:
        for old in trials.glob(f"{PREFIX}*"):
            shutil.rmtree(
                old, ignore_errors=True
            )  # left by a driver that was killed; the store has one at a time
        folder.mkdir(parents=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
        (folder / MARKER).write_text(token)
    except OSError as error:
        raise SchedulingError(f"{trials}: cannot be written: {error.strerror or error}") from None
    try:
        yield Survey(folder, token, os.getcwd(), digest_package(), _choose_samples(jobs))
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def examine(survey: Survey, node: str) -> list[str]:
    """Look at everything from this machine, which the cluster knows as ``node``; returns what is wrong."""
    store = survey.meeting.parent
    if not wait_for_marker(survey.meeting, survey.token, VISIBLE_SECONDS):
        return [
            f"does not see the store {store}; mount one shared file system (NFS, Lustre, a ReadWriteMany volume) at "
            "the same path on every node, and put --storage there"
        ]
    problems = [*_examine_writing(survey, node), *_examine_lock(survey.meeting)]
    if digest_package() != survey.code:
        problems.append(
            f"runs other code than the driver ({Path(study.__file__).parent}); the driver ships its own: what comes "
            "first on that node's PYTHONPATH?"
        )
        return problems  # what other code says of the data means nothing
    return problems + _examine_data(survey)


def wait_for_marker(meeting: Path, token: str, seconds: float) -> bool:
    """Whether the marker can be read from this machine within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if (meeting / MARKER).read_text() == token:
                return True
        except OSError:
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)


def list_unanswered(survey: Survey, nodes: Mapping[str, str]) -> list[str]:
    """Problems of nodes that wrote their sign where the driver does not see it. ``nodes``: names by id."""
    problems, deadline = [], time.monotonic() + VISIBLE_SECONDS
    for node, name in nodes.items():
        while not (survey.meeting / node).exists() and time.monotonic() < deadline:
            time.sleep(0.5)
        if not (survey.meeting / node).exists():
            problems.append(f"node {name}: what it writes below {survey.meeting.parent} does not arrive here")
    return problems


@cache
def digest_package() -> str:
    """SHA-256 of this package's source files, names and bytes."""
    root = Path(study.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _choose_samples(jobs: Sequence[Job]) -> tuple[tuple[dict[str, Any], Path], ...]:
    """One job for each thing on disk that jobs read."""
    chosen: dict[str, tuple[dict[str, Any], Path]] = {}
    for job in jobs:
        settings = job.trial.settings
        read = (settings.data, settings.clip.modality, settings.model.init)
        key = json.dumps([part.model_dump(mode="json") for part in read], sort_keys=True)
        if key not in chosen:
            chosen[key] = (job.trial.to_json(), job.place.data_dir)
    return tuple(chosen.values())


def _examine_writing(survey: Survey, node: str) -> list[str]:
    try:
        (survey.meeting / node).write_text(survey.token)
    except OSError as error:
        return [f"cannot write to the store {survey.meeting.parent}: {error.strerror or error}"]
    return []


def _examine_lock(meeting: Path) -> list[str]:
    """The driver holds this lock: whoever else gets it is on a file system that does not tell machines of locks."""
    lock = FileLock(meeting / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return []
    except OSError as error:
        return [f"cannot lock files in the store {meeting.parent}: {error.strerror or error}"]
    lock.release()
    return [
        f"does not see locks of other machines in the store {meeting.parent}: two workers could write one trial; mount "
        "it with locks that are shared (Lustre: -o flock, NFS: without nolock and local_lock)"
    ]


def _examine_data(survey: Survey) -> list[str]:
    here = Path(survey.directory).is_dir()
    problems: list[str] = []
    with chdir(survey.directory) if here else nullcontext():
        for content, data_dir in survey.samples:
            trial = Trial.from_json(content)
            relative = [path for path in iter_paths(trial.settings) if not path.is_absolute()]
            if relative and not here:
                problems.append(
                    f"has no folder {survey.directory}, in which the launch looks for {relative[0]}; launch from "
                    "shared storage, or give absolute paths"
                )
                continue
            problems += _examine_trial(trial, data_dir)
    return list(dict.fromkeys(problems))


def _examine_trial(trial: Trial, data_dir: Path) -> list[str]:
    """Whether the data and weights of ``trial`` are here and are those that the driver saw."""
    from study.data.catalog import open_dataset
    from study.data.opening import build_opener

    settings = trial.settings
    try:
        manifest = open_dataset(settings.data, data_dir).manifest()
        if manifest.digest != trial.data_digest:
            return [
                f"has other videos of '{settings.data.type}' than the driver: lists, labels or decoder differ "
                f"({manifest.digest[:12]}, not {trial.data_digest[:12]})"
            ]
        if not manifest.content:  # videos that are made appear in the store
            build_opener(manifest, settings.clip.modality)(manifest.train[0]).read([0])
    except StudyError as error:
        return [f"cannot read the data: {error}"]
    weights = settings.model.init.weights
    if isinstance(weights, Path) and not weights.is_file():
        return [f"has no file {weights}, from which model.init.weights starts"]
    return []


def iter_paths(value: object) -> Iterator[Path]:
    """Every path that stands in ``value``, a specification."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from iter_paths(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from (path for item in value.values() for path in iter_paths(item))
    elif isinstance(value, tuple | list):
        yield from (path for item in value for path in iter_paths(item))
