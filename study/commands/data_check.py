"""``data check``: looks at the videos of a data set and writes the manifest that training reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from study.commands.data_arguments import FOLDER, open_listing, open_source
from study.data.health import Health
from study.data.health.check import CheckSummary, check_files
from study.data.health.manifest_file import CheckedVideo
from study.data.listing import MANIFEST_SUFFIX, FileListing

MAX_SHOWN = 20
"""Videos with something to tell that are printed; all of them are in the manifest."""


@dataclass(frozen=True)
class CheckOptions:
    """What the command was asked for.

    Attributes:
        root: folder with the videos.
        settings: ``key=value`` for further options of ``data``.
        sample: how many videos to look at; None for all.
        workers: processes at a time.
        limit_s: seconds that one video may take.
        manifest: where to write the manifest; None for where training looks for it.
    """

    root: Path
    settings: tuple[str, ...] = ()
    sample: int | None = None
    workers: int = 2
    limit_s: float = 60.0
    manifest: Path | None = None


def check_dataset(name: str, options: CheckOptions) -> int:
    """Check the data set ``name``, or every file below the root where it is ``folder``, and print what was found.

    Returns:
        The exit code: 0 when all videos are fit for training, 1 when some are not.

    Raises:
        SpecError: when a setting is wrong.
        DataError: when the lists cannot be read or the manifest cannot be written.
    """
    console = Console()
    listing = open_listing(name, options.root, options.settings)
    manifest = options.manifest or _place_manifest(name, options)
    _print_listing(console, listing)
    try:
        summary = _check(console, listing, manifest, options)
    except KeyboardInterrupt:
        if options.sample is None:
            _print(console, "Interrupted. The same command goes on from here.")
        raise
    _print_summary(console, summary)
    return 1 if summary.unfit else 0


def _place_manifest(name: str, options: CheckOptions) -> Path:
    if name == FOLDER:
        return options.root / f"{FOLDER}{MANIFEST_SUFFIX}"
    return open_source(name, options.root, options.settings).manifest_path


def _check(console: Console, listing: FileListing, manifest: Path, options: CheckOptions) -> CheckSummary:
    columns = (
        TextColumn("videos"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    unfit = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None, note="")

        def on_result(done: int, total: int, row: CheckedVideo) -> None:
            nonlocal unfit
            unfit += not row.health.fit
            progress.update(task, completed=done, total=total, note=f"{unfit} unfit" if unfit else "")

        return check_files(
            listing,
            manifest=manifest,
            sample=options.sample,
            workers=options.workers,
            limit_s=options.limit_s,
            on_result=on_result,
        )


def _print_listing(console: Console, listing: FileListing) -> None:
    _print(console, f"{listing.name}: {len(listing.videos)} videos below {listing.root}")
    for problem in listing.problems:
        _print(console, f"  {problem}")
    if listing.excluded:
        _print(console, f"  {len(listing.excluded)} videos of the lists are left out beforehand:")
        _print_some(console, (f"{video}: {reason}" for video, reason in listing.excluded.items()))


def _print_summary(console: Console, summary: CheckSummary) -> None:
    table = Table(box=None, padding=(0, 2))
    for name in ("health", "videos", "what it means"):
        table.add_column(name, justify="right" if name == "videos" else "left")
    for health, count in summary.counts.items():
        table.add_row(health, str(count), health.sentence)
    console.print(table)
    told = [row for row in summary.rows if row.health is not Health.OK]
    # Those that are left out first: there may be thousands that are merely read in order.
    told.sort(key=lambda row: row.health.fit)
    _print_some(console, (f"{row.path}: {row.health}{row.reason and ': ' + row.reason}" for row in told))
    if summary.resumed:
        _print(console, f"{summary.resumed} of them were looked at by the check that was interrupted.")
    if summary.manifest is not None:
        _print(console, f"Manifest: {summary.manifest}")
        return
    verdict = (
        f"{len(summary.unfit)} of {len(summary.rows)} videos are unfit" if summary.unfit else "all are fit"
    )
    _print(
        console,
        f"Sample of {len(summary.rows)}: {verdict}. No manifest was written, because training must not mix videos "
        "that were checked with others; leave out --sample to check all.",
    )


def _print_some(console: Console, lines: Iterable[str]) -> None:
    every = list(lines)
    for line in every[:MAX_SHOWN]:
        _print(console, f"  {line}")
    if len(every) > MAX_SHOWN:
        _print(console, f"  and {len(every) - MAX_SHOWN} more")


def _print(console: Console, text: str) -> None:
    """Print a line as it is; a path may hold what no terminal can show."""
    console.print(escape(text.encode("utf-8", "replace").decode()), highlight=False, soft_wrap=True)
