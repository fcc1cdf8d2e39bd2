"""What a video file really holds: every frame decoded in order by PyAV, a few of them kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from study.data.readers.base import Frames
from study.data.readers.pyav_reader import describe_error, open_container, pick_stream, to_rgb
from study.errors import DataError

SPANS = 6
"""Equal parts of the video, from each of which a frame is drawn."""
NEAR_KEYS = 6
"""Frames drawn around those that decoding can start from: where seeking goes wrong, it does so there."""
REACH = 3
"""How far from a key frame that is: the frames that are shown before it and decoded after it are few."""
ENDS_EARLY = 0.9
"""Part of the declared duration that frames have to cover; the last one may be shown for long."""


@dataclass
class Reference:
    """A video decoded in order.

    Attributes:
        frames: some frames by their number, (H, W, 3) each, the first and the last good one among them.
        good: frames before the first that is damaged or cannot be decoded.
        good_after: good frames that come after it.
        promised: frames that the header speaks of, where it does; at least ``good``.
        fault: what is wrong with the first that is not good; "" where all are.
        broken: whether decoding ended at it with an error.
        fps: frames a second on average; 0 where the file does not say.
        seconds: from the first good frame to the last; 0 where frames have no times.
    """

    frames: dict[int, Frames] = field(default_factory=dict)
    good: int = 0
    good_after: int = 0
    promised: int = 0
    fault: str = ""
    broken: bool = False
    fps: float = 0.0
    seconds: float = 0.0


def decode_reference(path: Path) -> Reference:
    """``path`` decoded in order, once.

    Raises:
        DataError: when it cannot be opened as a video, or nothing of it decodes.
    """
    try:
        with open_container(path) as container:
            packets, keys = _find_keys(container, pick_stream(path, container))
        with open_container(path) as container:
            stream = pick_stream(path, container)
            reference = _decode(container, stream, _draw_frames(packets, keys))
            reference.promised = max(
                reference.promised, _count_promised(container, stream, reference, packets)
            )
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be opened as a video: {describe_error(error)}") from None
    if not reference.good:
        raise DataError(f"{path}: no frame of it decodes{reference.fault and ': ' + reference.fault}")
    return reference


def _decode(container: av.container.InputContainer, stream: av.VideoStream, drawn: set[int]) -> Reference:
    reference = Reference(fps=float(stream.average_rate or 0))
    first = last = None
    count, previous = 0, None
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt and not reference.fault:
                reference.fault = f"frame {count} is damaged"
            if reference.fault:
                reference.good_after += not frame.is_corrupt
            else:
                reference.good, previous = count + 1, frame
                if count in drawn:
                    reference.frames[count] = to_rgb(frame)
                first, last = frame.time if first is None else first, frame.time
            count += 1
    except (av.FFmpegError, ValueError) as error:
        reference.broken = True
        reference.fault = reference.fault or f"frame {count} cannot be decoded: {describe_error(error)}"
    if previous is not None:
        reference.frames[reference.good - 1] = to_rgb(previous)
    reference.seconds = last - first if first is not None and last is not None else 0.0
    reference.promised = count
    return reference


def _count_promised(
    container: av.container.InputContainer, stream: av.VideoStream, found: Reference, packets: int
) -> int:
    """Frames that the header speaks of, 0 where that is not told.

    Args:
        container: the file.
        stream: its video.
        found: what decodes.
        packets: coded frames that are there.
    """
    if "mp4" in container.format.name:
        # An edit list may leave out frames that are there, so their number promises something only if they are not.
        return int(stream.frames) if stream.frames > packets else 0
    promised = int(stream.frames)
    if found.good > 1 and found.seconds > 0:
        covered = found.seconds * found.good / (found.good - 1)
        declared = _read_duration(container, stream)
        if covered < ENDS_EARLY * declared:
            promised = max(promised, round(found.good * declared / covered))
    return promised


def _read_duration(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Seconds that the video lasts by its header; 0 where only the file as a whole, with sound, has a length."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "").split(":")
    if len(tag) == 3 and all(part.replace(".", "", 1).isdecimal() for part in tag):
        return sum(float(part) * scale for part, scale in zip(tag, (3600, 60, 1), strict=True))
    if container.duration and len(container.streams) == 1:
        return float(container.duration / av.time_base)
    return 0.0


def _draw_frames(count: int, keys: Sequence[int]) -> set[int]:
    """Numbers of frames to compare, over all ``count`` of them; the same ones each time."""
    rng = np.random.default_rng(0)
    bounds = np.linspace(0, count, SPANS + 1).astype(int)
    # Neighbors tell a shift by one frame from colors that are converted otherwise.
    drawn = {0, 1, count // 2, count // 2 + 1}
    for low, high in pairwise(bounds):
        if low < high:
            drawn.add(int(rng.integers(low, high)))
    for key in rng.permutation([key for key in keys if key > 0])[:NEAR_KEYS]:
        drawn.add(int(key + rng.integers(-REACH, REACH + 1)))
    return {number for number in drawn if 0 <= number < count}


def _find_keys(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[int, list[int]]:
    """Number of packets, and where those that decoding can start from are shown; nothing is decoded."""
    shown: list[tuple[int, bool]] = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                time = packet.pts if packet.pts is not None else packet.dts
                shown.append((time if time is not None else len(shown), packet.is_keyframe))
    except av.FFmpegError:
        # What comes before the damage is enough to draw from.
        pass
    return len(shown), [number for number, (_, is_key) in enumerate(sorted(shown)) if is_key]
