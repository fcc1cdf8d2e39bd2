"""The flow of one video: computed, written, verified."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from study.data.flow.compute import FlowMethod, build_flow, quantize_flow
from study.data.flow.layouts import LAYOUTS, FlowImages
from study.data.preparation.batch import Job, completing
from study.data.preparation.extract import fit_picture, fit_size, iter_pictures
from study.data.readers.base import Frames, Reading
from study.errors import DataError

WORST_MEAN_ERROR = 4.0
"""Mean difference, in levels of 255, between an image as it was to be written and as it is read again. JPEG at
quality 95 stays below 2 on noise."""


@dataclass(frozen=True)
class FlowSettings:
    """How flow is computed and kept.

    Attributes:
        method: see :mod:`study.data.flow.compute`.
        bound: displacement in pixels that the ends of the 8-bit range stand for.
        layout: how the images are named.
        short_side: pixels of the shorter side that larger frames are scaled to first; None leaves the size.
        weights: for ``raft``.
        reread: whether every image is read again after writing; otherwise they are counted.
    """

    method: FlowMethod = "dis"
    bound: float = 20.0
    layout: Literal["tsn", "tsm", "trn"] = "tsn"
    short_side: int | None = None
    weights: Path | None = None
    reread: bool = True


def list_jobs(
    paths: Iterable[str], videos: Path, root: Path, settings: FlowSettings
) -> list[Job[FlowSettings]]:
    """What is to be made of the video files at ``paths`` below ``videos``: their flow below ``root``."""
    locate = LAYOUTS[settings.layout]
    return [Job(path, videos / path, locate(root, path).folder, Reading(), settings) for path in paths]


def make_flow(job: Job[FlowSettings]) -> None:
    """Compute, write and verify the flow of one video; its folder appears when it is complete.

    Raises:
        DataError: naming the file and the fault; nothing is left behind then.
    """
    settings = job.settings
    flow = build_flow(settings.method, settings.weights)
    with completing(job.target) as partial:
        partial.mkdir()
        images = LAYOUTS[settings.layout](Path(), job.path).at(partial)
        count = 0
        for count, (first, second) in enumerate(_iter_pairs(job), 1):
            try:
                image = quantize_flow(flow(first, second), settings.bound)
            except DataError as error:
                raise DataError(f"{job.source}: frames {count} and {count + 1}: {error}") from None
            images.write(count, image)
            if settings.reread:
                _check_written(images, count, image)
        if not count:
            raise DataError(f"{job.source}: has one frame; flow needs two")
        if images.count() != count:
            raise DataError(f"{partial}: {images.count()} flow images were written, not {count}")


def _iter_pairs(job: Job[FlowSettings]) -> Iterator[tuple[Frames, Frames]]:
    """Each frame but the last with the one after it."""
    before: Frames | None = None
    for picture in iter_pictures(job.source, job.reading):
        fitted = fit_picture(picture, fit_size(picture.shape, job.settings.short_side))
        if before is not None:
            yield before, fitted
        before = fitted


def _check_written(images: FlowImages, number: int, image: Frames) -> None:
    written = images.read(number)
    if written.shape != image.shape:
        raise DataError(f"{images.folder}: flow image {number} is {written.shape}, not {image.shape}")
    error = float(np.abs(written.astype(np.int16) - image).mean())
    if error > WORST_MEAN_ERROR:
        raise DataError(
            f"{images.folder}: flow image {number} differs by {error:.1f} levels from what was written, "
            f"allowed: {WORST_MEAN_ERROR:g}"
        )
