"""Opening the videos of a manifest, as color frames or as optical flow."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from study.data.catalog import Progress, VideoSource
from study.data.manifest import Manifest, VideoEntry
from study.data.readers import VideoReader, open_video
from study.data.readers.base import ShortenedReader
from study.errors import DataError
from study.spec.clip import FlowModality, Modality

Opener = Callable[[VideoEntry], VideoReader]
"""Opens a video of a data set. Raises DataError when it cannot."""


def build_opener(manifest: Manifest, modality: Modality) -> Opener:
    """What opens the videos of ``manifest``: color frames (T, H, W, 3), or flow images (T, H, W, 2).

    Raises:
        DataError: when flow is asked for videos that are shown in reverse.
    """
    if isinstance(modality, FlowModality):
        reading = import_module(modality.modules[0])
        if any(entry.reverse for entry in (*manifest.train, *manifest.val)):
            raise DataError("clip.modality: flow of videos shown in reverse is not the reverse of their flow")
        flow = modality
        root = reading.find_flow(manifest, modality)
        return lambda entry: cast(VideoReader, reading.FlowReader(root, entry, flow))

    def open_frames(entry: VideoEntry) -> VideoReader:
        reader = open_video(manifest.path(entry), manifest.reading, in_order=entry.in_order)
        return ShortenedReader(reader, entry.frames) if entry.frames else reader

    return open_frames


def prepare_videos(
    source: VideoSource, manifest: Manifest, modality: Modality, progress: Progress | None = None
) -> None:
    """Make what can be made: the videos of a synthetic data set, and their flow where it is asked for.

    Does nothing when it is there; safe to call from many processes.

    Raises:
        DataError: when something cannot be written.
    """
    source.prepare(progress)
    if isinstance(modality, FlowModality) and manifest.content:
        import_module(modality.modules[1]).prepare_synthetic_flow(manifest, modality, progress)
