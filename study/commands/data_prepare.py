"""``data prepare``: transcode a data set, or extract its frames, once and for all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from study.commands.data_arguments import FOLDER, open_listing, open_source
from study.data.datasets.official import OfficialSource
from study.data.listing import FileListing
from study.data.preparation.batch import BatchSummary, OnResult, VideoResult
from study.data.preparation.prepare import Form, PrepareSettings, prepare_files
from study.errors import DataError

MAX_SHOWN = 10
"""Failures that are printed; the file has them all."""
PREPARE_LIMIT_S = 600.0
"""Seconds that one video may take unless told otherwise: twenty times what ten minutes of UCF-101 take."""
DEFAULT_TEMPLATE = "img_{:05d}.jpg"
"""Names of frames where neither the user nor the data set says: those of UCF-101, HMDB-51 and Kinetics."""


@dataclass(frozen=True)
class PrepareOptions:
    """Options of ``data prepare``.

    Attributes:
        root: folder with the videos.
        out: folder to write to.
        settings: ``key=value`` for further options of the data set.
        form: ``mp4`` or ``frames``.
        short_side: pixels of the shorter side; None leaves the size.
        upscale: whether smaller videos grow to it.
        image_template: names of the frames; the data set's own when None.
        workers: processes at a time; one for each core when None.
        limit_s: seconds that one video may take.
    """

    root: Path
    out: Path
    settings: tuple[str, ...] = ()
    form: Form = "mp4"
    short_side: int | None = 256
    upscale: bool = False
    image_template: str | None = None
    workers: int | None = None
    limit_s: float = PREPARE_LIMIT_S


def prepare_dataset(name: str, options: PrepareOptions) -> int:
    """Prepare the data set of type ``name``; 1 when a video failed, else 0.

    Raises:
        SpecError: when a setting is wrong.
        DataError: when the lists cannot be read or the folder not be written.
    """
    listing = open_listing(name, options.root, options.settings)
    template = choose_template(name, options, listing)
    settings = PrepareSettings(options.form, options.short_side, options.upscale, template)

    def work(on_result: OnResult) -> BatchSummary:
        workers = options.workers or os.cpu_count() or 1
        return prepare_files(
            listing, options.out, settings, workers=workers, limit_s=options.limit_s, on_result=on_result
        )

    summary = run_with_bar("prepare", listing, work)
    console = Console()
    tell_summary(console, summary, listing, "transcoded" if options.form == "mp4" else "extracted")
    console.print(
        f"Train on them with: data.root={options.out} "
        + ("" if name == FOLDER else f"data.files={options.form} ")
        + "(and data.annotations, or the lists, where they were)",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 1 if summary.failures else 0


def choose_template(name: str, options: PrepareOptions, listing: FileListing) -> str:
    """How frames are to be named: as asked, as they are named now, or as the data set has them.

    Raises:
        DataError: when the name asked for has no number in it.
    """
    template = options.image_template or listing.reading.image_template
    if not template and name != FOLDER:
        source = open_source(name, options.root, options.settings)
        template = source.image_template if isinstance(source, OfficialSource) else ""
    template = template or DEFAULT_TEMPLATE
    try:
        distinct = template.format(1) != template.format(2)
    except (IndexError, KeyError, ValueError):
        distinct = False
    if not distinct or "/" in template or not template.endswith(".jpg"):
        raise DataError(
            f"--image-template '{template}': expected one number and .jpg, as in img_{{:05d}}.jpg"
        )
    return template


def run_with_bar(title: str, listing: FileListing, work: Callable[[OnResult], BatchSummary]) -> BatchSummary:
    """Call ``work`` with what draws a bar of its videos on standard error; failures are told as they come."""
    failed = 0
    bar = Progress(
        TextColumn(title),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=len(listing.videos), failed=0)

        def on_result(result: VideoResult) -> None:
            nonlocal failed
            if result.state == "failed":
                failed += 1
                if failed <= MAX_SHOWN:
                    bar.console.print(
                        f"{result.path}: {result.detail}", markup=False, highlight=False, soft_wrap=True
                    )
            bar.update(task, advance=1, failed=failed)

        return work(on_result)


def tell_summary(console: Console, summary: BatchSummary, listing: FileListing, verb: str) -> None:
    """Print what became of the videos."""
    lines = [f"{summary.made} videos {verb} and verified, {summary.there} were there before."]
    if summary.failures:
        lines.append(f"{len(summary.failures)} failed; why: {summary.failures_file}")
    if listing.excluded:
        lines.append(f"{len(listing.excluded)} listed videos were left out from the start: they are missing.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
