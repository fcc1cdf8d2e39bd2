"""One video looked at: does it open, how many frames decode, and does training read the right ones?"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from study.data.health import Health
from study.data.health.reference import Reference, decode_reference
from study.data.readers import find_decoder, open_video
from study.data.readers.base import Frames, Reading, VideoReader, check_file
from study.errors import DataError

SAME = 0.1
"""Mean difference of two frames, of 255, below which they are one. Where decord and PyAV convert colors alike, as
of all usual 8-bit videos, they differ by 0.000; neighboring frames of a slow video differ by 0.5."""
COLOR_BOUND = 6.0
"""The most that one frame may differ by where they convert colors otherwise: up to 4.9 was measured, for 10 and
12 bits and odd heights. Where frames differ by more than SAME, seeking is judged by one decoder alone."""
SHORTEST = 0.5
"""Part of the promised frames that must decode: less may not show what the label says."""


@dataclass(frozen=True)
class ProbeJob:
    """A video to look at: where it lies, and how training will read it."""

    path: Path
    reading: Reading


@dataclass(frozen=True)
class Probe:
    """What was found of a video.

    Attributes:
        health: the verdict.
        reason: what is wrong, in a line; "" where nothing is.
        frames: frames that decode, and that training can read.
        fps: frames a second; 0 where that is not told.
        height: pixels, as training sees it.
        width: pixels, as training sees it.
        digest: SHA-256 of the file; of a folder of frames: of their names and contents.
    """

    health: Health
    reason: str = ""
    frames: int = 0
    fps: float = 0.0
    height: int = 0
    width: int = 0
    digest: str = ""


def probe_video(job: ProbeJob) -> Probe:
    """Look at one video; call it in a process that can be killed. Whatever is wrong is in the result."""
    digest = ""
    try:
        digest = hash_content(job.path)
        if find_decoder(job.reading) == "frames":
            found = _probe_frames(open_video(job.path, job.reading))
        else:
            with _silence():
                found = _probe_file(job)
        return replace(found, digest=digest)
    except DataError as error:
        return Probe(Health.UNREADABLE, _shorten(error, job.path), digest=digest)
    except Exception as error:
        # Nothing that a decoder comes up with may end the check of 200,000 videos.
        return Probe(Health.UNREADABLE, f"{type(error).__name__}: {_shorten(error, job.path)}", digest=digest)


def hash_content(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files in a folder.

    Raises:
        DataError: when something of it cannot be read.
    """
    total = hashlib.sha256()
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        for name in sorted(os.listdir(path)):
            if (path / name).is_file():
                with (path / name).open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").digest()
                total.update(os.fsencode(name) + b"\0" + content)
    except FileNotFoundError:
        fault = "is a symbolic link that leads nowhere" if path.is_symlink() else "no such file"
        raise DataError(f"{path}: {fault}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return total.hexdigest()


def _probe_frames(reader: VideoReader) -> Probe:
    """A folder of frames: each of them is decoded. What is damaged within a JPEG does not show."""
    first = reader.read([0])
    for number in range(1, reader.num_frames):
        # With the first, so that it is told when sizes differ.
        reader.read([0, number])
    return Probe(Health.OK, frames=reader.num_frames, height=first.shape[1], width=first.shape[2])


def _probe_file(job: ProbeJob) -> Probe:
    reader = _open(job)
    reference = decode_reference(job.path)
    promised = max(reference.promised, _count_header(reader))
    if reference.fault and reference.good_after:
        return Probe(Health.WRONG, f"{reference.fault}, and {reference.good_after} frames after it decode")
    lost = f"{reference.good} of {promised} frames decode{reference.fault and ', ' + reference.fault}"
    if reference.broken:
        # decord decodes ahead: whether it gets to the frames before an error is a matter of chance.
        return Probe(Health.UNREADABLE, lost)
    if reference.good < SHORTEST * promised:
        return Probe(Health.UNREADABLE, f"only {lost}")
    found = _compare(job, reader, reference)
    if found.health.fit and reference.good < promised:
        health = Health.SHORT if found.health is Health.OK else found.health
        found = replace(found, health=health, reason="; ".join(filter(None, (found.reason, lost))))
    return found


def _open(job: ProbeJob) -> VideoReader:
    """As training opens it; when decord cannot, what PyAV says of the file is clearer."""
    check_file(job.path)
    try:
        return open_video(job.path, job.reading)
    except DataError as error:
        if find_decoder(job.reading) != "decord":
            raise
        decode_reference(job.path)
        raise DataError(f"{error}; PyAV can decode it (data.decoder=pyav)") from None


def _count_header(reader: VideoReader) -> int:
    """What decord takes from the header; PyAV would decode everything once more."""
    from study.data.readers.pyav_reader import PyavReader

    return 0 if isinstance(reader, PyavReader) else reader.num_frames


def _compare(job: ProbeJob, reader: VideoReader, reference: Reference) -> Probe:
    """What training reads against the reference: by seeking if its decoder ever does, then in order."""
    frames = min(reference.good, _count_header(reader) or reference.good)
    numbers = sorted(number for number in reference.frames if number < frames)
    expected = {number: reference.frames[number] for number in numbers}
    sought = _read_seeking(job, numbers)
    if sought and all(_differ(sought.get(number), expected[number]) <= SAME for number in numbers):
        health, reason, shape = Health.OK, "", sought[numbers[0]].shape
    else:
        ordered = _read_in_order(job, numbers)
        shape = ordered[numbers[0]].shape
        wrong = [number for number in numbers if not _is_shown(ordered[number], number, expected)]
        if wrong:
            return Probe(
                Health.WRONG, f"even in order, frames {_name(wrong)} are not those that PyAV decodes"
            )
        moved = [n for n in numbers if sought is not None and not _equal(sought.get(n), ordered[n])]
        health = Health.IN_ORDER if moved else Health.OK
        reason = f"seeking to frames {_name(moved)} gives others" if moved else ""
    return Probe(health, reason, frames, round(reference.fps, 3), shape[0], shape[1])


def _read_seeking(job: ProbeJob, numbers: Sequence[int]) -> dict[int, Frames] | None:
    """Each frame by itself, in a random order; those that cannot be had are missing. None for PyAV."""
    if find_decoder(job.reading) != "decord":
        return None
    from study.data.readers.decord_reader import DecordReader

    reader = DecordReader(job.path, in_order=False)
    found = {}
    for number in np.random.default_rng(1).permutation(np.asarray(numbers)):
        try:
            found[int(number)] = reader.read([int(number)])[0]
        except DataError:
            return found
    return found


def _read_in_order(job: ProbeJob, numbers: Sequence[int]) -> dict[int, Frames]:
    frames = open_video(job.path, job.reading, in_order=True).read(numbers)
    return dict(zip(numbers, frames, strict=True))


def _is_shown(frame: Frames, number: int, expected: Mapping[int, Frames]) -> bool:
    """Whether ``frame`` is the one called ``number``: like it, and no more like another one."""
    own = _differ(frame, expected[number])
    others = [_differ(frame, other) for key, other in expected.items() if key != number]
    return own <= COLOR_BOUND and own <= min(others, default=math.inf) + SAME


def _differ(frame: Frames | None, other: Frames) -> float:
    """Mean absolute difference of two frames; infinite where sizes differ or one is missing."""
    if frame is None or frame.shape != other.shape:
        return math.inf
    return float(np.abs(frame.astype(np.int16) - other).mean())


def _equal(frame: Frames | None, other: Frames) -> bool:
    return frame is not None and np.array_equal(frame, other)


def _name(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    return f"{shown} and {len(numbers) - 5} more" if len(numbers) > 5 else shown


def _shorten(error: Exception, path: Path) -> str:
    """The message in a line, without the path that stands in the same row already."""
    text = str(error).removeprefix(f"{path}: ").replace(f"[{path}] ", "").replace(".; ", "; ")
    return " ".join(text.split()) or "no reason given"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what decoders print off the terminal: it is in the verdict, and would tear the progress bar apart."""
    import av

    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    level = av.logging.get_level()
    # PyAV's errors then say what FFmpeg logged, such as "moov atom not found".
    av.logging.set_level(av.logging.ERROR)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        av.logging.set_level(level)
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
