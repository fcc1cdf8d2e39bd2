"""Making one file or folder for every video of a listing: in parallel, resumable, whatever fails written down."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, Literal, TypeVar

from filelock import FileLock, Timeout

from study.data.jobs import run_jobs
from study.data.listing import FAILURES_SUFFIX, FileListing
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.record import write_atomically

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class Job(Generic[SettingsT]):
    """What is to be made of one video.

    Attributes:
        path: the video's path in the listing.
        source: where it lies.
        target: what is made; it appears under this name when it is complete and verified.
        reading: how the source is read.
        settings: how the target is made.
    """

    path: str
    source: Path
    target: Path
    reading: Reading
    settings: SettingsT


@dataclass(frozen=True)
class VideoResult:
    """What became of one video.

    Attributes:
        path: its path in the listing.
        state: ``there``: it had been made before.
        detail: why it failed.
    """

    path: str
    state: Literal["made", "there", "failed"]
    detail: str = ""


OnResult = Callable[[VideoResult], None]


@dataclass
class BatchSummary:
    """What became of a whole listing.

    Attributes:
        made: videos made now.
        there: videos that had been made before.
        failures: reasons by path.
        failures_file: CSV with the failures; None where there are none.
    """

    made: int = 0
    there: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    failures_file: Path | None = None


@dataclass(frozen=True)
class Batch:
    """A folder of videos made from a listing.

    Attributes:
        listing: the sources.
        out: the folder.
        command: what makes them, "data prepare"; the files that this keeps in ``out`` are named after it.
        settings: what every video in ``out`` is made with, as JSON has it.
        workers: processes at a time.
        limit_s: seconds that one video may take.
    """

    listing: FileListing
    out: Path
    command: str
    settings: Mapping[str, object]
    workers: int
    limit_s: float

    def run(
        self, function: Callable[[Job[SettingsT]], None], jobs: list[Job[SettingsT]], on_result: OnResult
    ) -> BatchSummary:
        """Have ``function`` make the targets of ``jobs`` that are not there.

        A video that cannot be made is recorded and the others go on. An interrupted run goes on where it stopped.

        Raises:
            DataError: when ``out`` cannot be written, is in use by another process, or holds videos made with
                other settings or by something else.
        """
        try:
            with self._claim(jobs):
                summary = BatchSummary()

                def note(result: VideoResult) -> None:
                    self._count(summary, result)
                    on_result(result)

                self._make(function, jobs, note)
                summary.failures_file = self._write_failures(summary.failures)
                return summary
        except OSError as error:
            raise DataError(f"{self.out}: cannot be written: {error.strerror or error}") from None

    def _file(self, ending: str, *, hidden: bool = True) -> Path:
        return self.out / f"{'.' * hidden}{self.command.replace(' ', '_')}{ending}"

    @contextmanager
    def _claim(self, jobs: list[Job[SettingsT]]) -> Iterator[None]:
        """Keep other processes out of ``out`` and make sure that what lies there was made in the same way."""
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._file(".lock"), timeout=0):
                self._check_settings(jobs)
                yield
        except Timeout:
            raise DataError(
                f"{self.out}: another '{self.command}' is at work in this folder (--out)"
            ) from None

    def _check_settings(self, jobs: list[Job[SettingsT]]) -> None:
        path = self._file(".json")
        if not path.exists():
            foreign = next((job.target for job in jobs if job.target.exists()), None)
            if foreign is not None:
                raise DataError(
                    f"{foreign}: is there already, not made by '{self.command}'; give another --out"
                )
            write_atomically(path, json.dumps(self.settings, indent=1))
            return
        try:
            before = json.loads(path.read_text())
        except ValueError:
            raise DataError(f"{path}: is damaged; give another --out") from None
        wanted = json.loads(json.dumps(self.settings))
        if before != wanted:
            keys = [key for key in before.keys() | wanted.keys() if before.get(key) != wanted.get(key)]
            told = "; ".join(f"{key} was {before.get(key)}, now {wanted.get(key)}" for key in sorted(keys))
            raise DataError(f"{self.out}: holds videos made with other settings: {told}; give another --out")

    def _make(
        self, function: Callable[[Job[SettingsT]], None], jobs: list[Job[SettingsT]], note: OnResult
    ) -> None:
        problems = find_problems(jobs, self.listing.root, self.out)
        missing = []
        for job in jobs:
            if job.path in problems:
                note(VideoResult(job.path, "failed", problems[job.path]))
            elif job.target.exists():
                note(VideoResult(job.path, "there"))
            else:
                missing.append(job)
        for outcome in run_jobs(function, missing, workers=self.workers, limit_s=self.limit_s):
            if outcome.failure is None:
                note(VideoResult(outcome.item.path, "made"))
                continue
            # What a killed process left behind; one that raised has cleaned up.
            discard(partial_path(outcome.item.target))
            note(VideoResult(outcome.item.path, "failed", outcome.failure.message))

    @staticmethod
    def _count(summary: BatchSummary, result: VideoResult) -> None:
        if result.state == "failed":
            summary.failures[result.path] = result.detail
        elif result.state == "made":
            summary.made += 1
        else:
            summary.there += 1

    def _write_failures(self, failures: Mapping[str, str]) -> Path | None:
        path = self._file(FAILURES_SUFFIX, hidden=False)
        if not failures:
            path.unlink(missing_ok=True)
            return None
        text = io.StringIO(newline="")
        csv.writer(text).writerows([("path", "reason"), *failures.items()])
        write_atomically(path, text.getvalue())
        return path


def find_problems(jobs: list[Job[SettingsT]], root: Path, out: Path) -> dict[str, str]:
    """Why videos cannot be made whatever they hold, by path: their target lies outside ``out``, is their source,
    or belongs to another video as well.
    """
    problems: dict[str, str] = {}
    first: dict[Path, str] = {}
    for job in jobs:
        pure = PurePosixPath(job.path)
        if pure.is_absolute() or ".." in pure.parts:
            problems[job.path] = f"'{job.path}' lies outside {root}, so it has no place in {out}"
        elif _is_source(job):
            problems[job.path] = f"{job.source}: would be replaced by what is made of it; give another --out"
        elif job.target in first:
            other = first[job.target]
            problems[job.path] = problems[other] = (
                f"'{other}' and '{job.path}' would both become {job.target}"
            )
        else:
            first[job.target] = job.path
    return problems


def _is_source(job: Job[SettingsT]) -> bool:
    if job.target == job.source:
        return True
    return job.target.exists() and job.source.exists() and job.target.samefile(job.source)


def partial_path(target: Path) -> Path:
    """Where ``target`` is made before it gets its name. It has the same ending, which decides how it is read."""
    return target.with_name(f".partial.{target.name}")


@contextmanager
def completing(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to, which becomes ``target`` when the block ends and is gone when it fails.

    Raises:
        DataError: when the disk does not take it. What the block raises names ``target`` afterwards, since the
            partial file is gone.
    """
    partial = partial_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        discard(partial)
        yield partial
        partial.replace(target)
    except DataError as error:
        raise DataError(str(error).replace(str(partial), str(target))) from None
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        discard(partial)


def discard(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, where there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
