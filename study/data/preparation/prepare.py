"""Transcoding a data set, or extracting its frames, so that training reads it fast and rightly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from study.data.listing import FileListing
from study.data.preparation.batch import Batch, BatchSummary, Job, OnResult, completing
from study.data.preparation.extract import (
    JPEG_QUALITY,
    find_rate,
    fit_picture,
    fit_size,
    iter_pictures,
    strip_suffix,
    write_frames,
)
from study.data.preparation.transcode import OPTIONS, write_mp4
from study.data.preparation.verify import Samples, verify_frames, verify_mp4
from study.data.readers.base import Frames

Form = Literal["mp4", "frames"]


@dataclass(frozen=True)
class PrepareSettings:
    """What is made of every video.

    Attributes:
        form: ``mp4``: H.264 as :mod:`study.data.preparation.transcode` writes it; ``frames``: a folder of JPEGs.
        short_side: pixels of the shorter side; None leaves the size, up to one pixel for an even one.
        upscale: whether smaller videos grow to it.
        image_template: names of the frames, counted from 1.
    """

    form: Form
    short_side: int | None = None
    upscale: bool = False
    image_template: str = "img_{:05d}.jpg"


def prepare_files(
    listing: FileListing,
    out: Path,
    settings: PrepareSettings,
    *,
    workers: int,
    limit_s: float,
    on_result: OnResult,
) -> BatchSummary:
    """Make what ``settings`` ask for of every video of ``listing``, each verified after writing.

    A video keeps its path below ``out``: with the ending ``.mp4``, or as a folder without ending, which is where
    the official data sets look for them.

    Args:
        listing: the sources.
        out: folder; what lies there already is left as it is.
        settings: what is made.
        workers: processes at a time.
        limit_s: seconds that one video may take.
        on_result: called for every video in the order of the listing, those first that need not be made.

    Raises:
        DataError: when ``out`` cannot be written, is in use, or was made with other settings.
    """
    ending = ".mp4" if settings.form == "mp4" else ""
    jobs = [
        Job(
            video.path,
            listing.path(video),
            out / f"{target_name(video.path, folder=bool(listing.reading.image_template))}{ending}",
            listing.reading,
            settings,
        )
        for video in listing.videos
    ]
    made_with = asdict(settings) | (
        {"encoder": OPTIONS} if settings.form == "mp4" else {"jpeg_quality": JPEG_QUALITY}
    )
    batch = Batch(listing, out, "data prepare", made_with, workers, limit_s)
    return batch.run(prepare_video, jobs, on_result)


def target_name(path: str, *, folder: bool) -> str:
    """Path of what is made of the video at ``path``, without an ending; a folder's name has none."""
    return path if folder else strip_suffix(path)


def prepare_video(job: Job[PrepareSettings]) -> None:
    """Make and verify the file or folder of one video.

    Raises:
        DataError: naming the file and the fault; nothing is left behind then.
    """
    settings = job.settings
    pictures = iter_pictures(job.source, job.reading)
    first = next(pictures)
    size = fit_size(first.shape, settings.short_side, upscale=settings.upscale, even=settings.form == "mp4")
    samples = Samples()

    def fitted() -> Iterator[Frames]:
        yield fit_picture(first, size)
        yield from (fit_picture(picture, size) for picture in pictures)

    with completing(job.target) as partial:
        if settings.form == "mp4":
            write_mp4(partial, samples.watch(fitted()), find_rate(job.source, job.reading))
            verify_mp4(partial, samples)
        else:
            write_frames(partial, settings.image_template, samples.watch(fitted()))
            verify_frames(partial, settings.image_template, samples)
