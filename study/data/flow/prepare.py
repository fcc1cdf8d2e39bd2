"""Computing the flow of many videos and keeping it as images."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from study.data.catalog import Progress
from study.data.flow.compute import build_flow, one_opencv_thread
from study.data.flow.layouts import LAYOUTS
from study.data.flow.reading import VERSION, find_flow
from study.data.flow.video import FlowSettings, list_jobs, make_flow
from study.data.listing import FileListing
from study.data.making import Counter, make_in_processes
from study.data.manifest import Manifest
from study.data.preparation.batch import Batch, BatchSummary, Job, OnResult
from study.data.preparation.extract import JPEG_QUALITY
from study.errors import DataError
from study.spec.clip import FlowModality
from study.spec.record import write_atomically

DONE = "complete"
"""Name of the file that says that the flow of all synthetic videos is there."""
VIDEOS_WORTH_A_PROCESS = 150
"""The flow of fewer synthetic videos is computed faster than a process starts."""


def prepare_flow(
    listing: FileListing,
    out: Path,
    settings: FlowSettings,
    *,
    workers: int,
    limit_s: float,
    on_result: OnResult,
) -> BatchSummary:
    """Compute the flow of every video of ``listing`` below ``out``, where ``clip.modality.root`` finds it.

    Args:
        listing: the videos.
        out: folder; flow that lies there already is left as it is.
        settings: how it is computed and kept.
        workers: processes at a time.
        limit_s: seconds that one video may take.
        on_result: called for every video in the order of the listing, those first that need not be made.

    Raises:
        DataError: when ``out`` cannot be written, is in use, or was made with other settings; when a video's
            name does not suit the layout, or ``raft`` has no weights that fit.
    """
    # What is wrong for every video is told at once, not once for each.
    build_flow(settings.method, settings.weights)
    jobs = [
        Job(
            video.path,
            listing.path(video),
            LAYOUTS[settings.layout](out, video.path).folder,
            listing.reading,
            settings,
        )
        for video in listing.videos
    ]
    digest = hashlib.sha256(settings.weights.read_bytes()).hexdigest() if settings.weights else ""
    made_with = asdict(settings) | {"weights": digest, "jpeg_quality": JPEG_QUALITY, "version": VERSION}
    batch = Batch(listing, out, "data flow", made_with, workers, limit_s)
    return batch.run(make_flow, jobs, on_result)


def prepare_synthetic_flow(
    manifest: Manifest, modality: FlowModality, progress: Progress | None = None
) -> None:
    """Compute the flow of a synthetic data set, whose videos are there, where :func:`find_flow` looks for it.

    Does nothing when it is there, or where ``modality`` names a folder. Safe to call from many processes: a lock
    lets one do the work, and the others wait for it.

    Raises:
        DataError: when a video cannot be read or the folder not be written; when the method is ``raft``, for
            which only ``data flow`` takes weights.
    """
    if modality.root is not None:
        return
    root = find_flow(manifest, modality)
    if (root / DONE).exists():
        return
    if modality.method == "raft":
        raise DataError(
            "clip.modality.method: 'raft' needs weights, which synthetic videos have none of; allowed: dis, tvl1, "
            "or clip.modality.root with flow that 'data flow --method raft' has computed"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{root}.lock"):
            if not (root / DONE).exists():
                # Reading everything again would take as long as computing it, and what is lost can be made again.
                settings = FlowSettings(modality.method, modality.bound, modality.layout, reread=False)
                paths = list(dict.fromkeys(entry.path for entry in (*manifest.train, *manifest.val)))
                _make_all(paths, manifest.root, root, settings, progress)
                write_atomically(root / DONE, f"{len(paths)} videos\n")
    except OSError as error:
        raise DataError(f"{root}: cannot write flow: {error.strerror or error}") from None


def _make_all(
    paths: list[str], videos: Path, root: Path, settings: FlowSettings, progress: Progress | None
) -> None:
    """Make what is missing, in as many processes as there are cores, or in this one where there is little."""
    missing = [job for job in list_jobs(paths, videos, root, settings) if not job.target.exists()]
    count = Counter(len(paths) - len(missing), len(paths), progress)
    workers = min(os.cpu_count() or 1, len(missing) // VIDEOS_WORTH_A_PROCESS)
    if workers > 1:
        whole = {"videos": str(videos), "flow": str(root), "settings": asdict(settings)}
        names = [job.path for job in missing]
        shares = [{**whole, "paths": names[start::workers]} for start in range(workers)]
        try:
            # Threads would not do: at 40 x 40 pixels most of the time is spent holding the interpreter's lock.
            make_in_processes("study.data.flow.worker", shares, count)
        except OSError as error:
            raise DataError(str(error)) from None
        return
    with one_opencv_thread():
        for job in missing:
            make_flow(job)
            count()
