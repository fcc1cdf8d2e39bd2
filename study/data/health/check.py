"""Checking the files of a data set: in parallel, each in a process that can be killed, resumable."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from study.data.health import Health
from study.data.health.manifest_file import (
    COLUMNS,
    CheckedVideo,
    describe_reading,
    format_first_line,
    parse_row,
    read_table,
    write_manifest,
)
from study.data.health.probe import Probe, ProbeJob, probe_video
from study.data.jobs import JobFailure, run_jobs
from study.data.listing import FileListing, ListedVideo
from study.errors import DataError

PARTIAL = ".partial"
"""What is appended to the name of a manifest while a check is under way."""
PARTIAL_COLUMNS = (*COLUMNS, "stamp")
FAILED = {"timeout": Health.TIMEOUT, "crash": Health.CRASH, "error": Health.UNREADABLE}
OnResult = Callable[[int, int, CheckedVideo], None]
"""Called with (videos done, videos in all, the last one)."""


@dataclass(frozen=True)
class CheckSummary:
    """What a check has found.

    Attributes:
        rows: the videos that were looked at, in the order of the listing.
        resumed: how many of them an interrupted check had looked at already.
        manifest: what was written; None after a sample.
    """

    rows: tuple[CheckedVideo, ...]
    resumed: int
    manifest: Path | None

    @property
    def counts(self) -> dict[Health, int]:
        """Videos of each health that occurs."""
        found = Counter(row.health for row in self.rows)
        return {health: found[health] for health in Health if found[health]}

    @property
    def unfit(self) -> tuple[CheckedVideo, ...]:
        """Videos that training leaves out."""
        return tuple(row for row in self.rows if not row.health.fit)


@dataclass(frozen=True)
class _Known:
    """A row, and what the file was like when it was made."""

    row: CheckedVideo
    stamp: str


def check_files(
    listing: FileListing,
    *,
    manifest: Path,
    sample: int | None = None,
    workers: int = 1,
    limit_s: float = 60.0,
    on_result: OnResult | None = None,
) -> CheckSummary:
    """Look at every video of ``listing``, or at some, and write the manifest.

    A check that was interrupted goes on: its rows lie beside the manifest and hold for files whose size and time
    of change are what they were.

    Args:
        listing: the videos.
        manifest: the file to write, unless ``sample`` is given: training must not mix videos that were checked
            with others.
        sample: how many videos to look at, evenly drawn, the same ones each time; None for all.
        workers: processes at a time.
        limit_s: seconds that one video may take.
        on_result: told of every video.

    Raises:
        DataError: when the manifest cannot be written.
    """
    if sample is not None:
        videos = draw_sample(listing.videos, sample)
        rows = _look_at(listing, videos, workers, limit_s)
        return CheckSummary(tuple(_tell(rows, 0, len(videos), on_result)), 0, None)
    partial = manifest.with_name(manifest.name + PARTIAL)
    known = _read_partial(partial, listing)
    left = [video for video in listing.videos if video.path not in known]
    with _writing(partial, listing, known) as write:
        rows = _look_at(listing, left, workers, limit_s)
        for row in _tell(rows, len(known), len(listing.videos), on_result):
            known[row.path] = _Known(row, stamp_file(listing.root / row.path))
            write(known[row.path])
    found = tuple(known[video.path].row for video in listing.videos)
    write_manifest(manifest, listing.reading, found)
    partial.unlink(missing_ok=True)
    return CheckSummary(found, len(found) - len(left), manifest)


def draw_sample(videos: Sequence[ListedVideo], count: int) -> tuple[ListedVideo, ...]:
    """One video of each of ``count`` equal parts of the list, the same ones each time; all if there are fewer."""
    if count >= len(videos):
        return tuple(videos)
    rng = np.random.default_rng(0)
    bounds = [len(videos) * part // count for part in range(count + 1)]
    return tuple(videos[int(rng.integers(bounds[i], bounds[i + 1]))] for i in range(count))


def stamp_file(path: Path) -> str:
    """Changes when the file, or one of a folder, does: sizes and times of change. "" where nothing is there."""
    try:
        status = path.stat()
        if not path.is_dir():
            return f"{status.st_size}-{status.st_mtime_ns}"
        with os.scandir(path) as entries:
            parts = sorted(f"{e.name}/{e.stat().st_size}-{e.stat().st_mtime_ns}" for e in entries)
    except OSError:
        return ""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _look_at(
    listing: FileListing, videos: Sequence[ListedVideo], workers: int, limit_s: float
) -> Iterator[CheckedVideo]:
    jobs = [ProbeJob(listing.path(video), listing.reading) for video in videos]
    outcomes = run_jobs(probe_video, jobs, workers=workers, limit_s=limit_s)
    for video, outcome in zip(videos, outcomes, strict=True):
        yield _describe(video, outcome.result or _judge_failure(outcome.failure))


def _judge_failure(failure: JobFailure | None) -> Probe:
    assert failure is not None
    return Probe(FAILED[failure.kind], failure.message)


def _describe(video: ListedVideo, found: Probe) -> CheckedVideo:
    return CheckedVideo(
        path=video.path,
        label=video.label,
        splits=video.splits,
        frames=found.frames,
        fps=found.fps,
        height=found.height,
        width=found.width,
        health=found.health,
        reason=found.reason,
        digest=found.digest,
    )


def _tell(
    rows: Iterator[CheckedVideo], done: int, total: int, on_result: OnResult | None
) -> Iterator[CheckedVideo]:
    for number, row in enumerate(rows, done + 1):
        yield row
        if on_result is not None:
            on_result(number, total, row)


def _read_partial(path: Path, listing: FileListing) -> dict[str, _Known]:
    """Rows of a check that was interrupted, for the files that have not changed since."""
    try:
        head, lines = read_table(path, PARTIAL_COLUMNS, torn=True)
    except DataError:
        # There is none, or it was cut off in its first lines: nothing of worth is in it.
        return {}
    if head != describe_reading(listing.reading):
        return {}
    listed = {video.path: video for video in listing.videos}
    known = {}
    for _, (*values, stamp) in lines:
        try:
            row = parse_row(values)
        except ValueError:
            continue
        video = listed.get(row.path)
        if video is not None and stamp and stamp == stamp_file(listing.path(video)):
            # The lists may have changed since.
            known[row.path] = _Known(replace(row, label=video.label, splits=video.splits), stamp)
    return known


@contextmanager
def _writing(
    path: Path, listing: FileListing, known: dict[str, _Known]
) -> Iterator[Callable[[_Known], None]]:
    """What writes a row to the file of the check under way, which is begun anew with the rows that hold."""
    beginning = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = beginning.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        beginning.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; --manifest gives the check another place, "
            "data.manifest tells training of it"
        ) from None
    writer = csv.writer(file, lineterminator="\n")

    def write(entry: _Known) -> None:
        writer.writerow((*astuple(entry.row), entry.stamp))
        file.flush()

    with file:
        file.write(format_first_line(describe_reading(listing.reading)))
        writer.writerow(PARTIAL_COLUMNS)
        for entry in known.values():
            write(entry)
        yield write
