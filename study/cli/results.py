"""The commands about results: reports, the lint of the paper, MLflow."""

from __future__ import annotations

import gc
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from study.cli.options import (
    STORAGE,
    JsonOption,
    ProfileOption,
    RepeatsOption,
    SetOption,
    Specs,
    StorageOption,
    TrackingOption,
)

COLLECT_RARELY = (50_000, 20, 100)
"""Thresholds of the garbage collector for a command that imports much and ends soon: nearly all that it looks
through are modules, which stay. The usual ones take a sixth of the time of the imports."""


def report(
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
    tracking_uri: TrackingOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the report. Default: report/ in the storage directory.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse to report a difference that is confounded.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing: say whether the report that is there is out of date or was edited by hand.",
        ),
    ] = False,
) -> None:
    """Write tables and figures from what MLflow holds: HTML, Markdown, LaTeX, CSV, PNG, SVG.

    Differences have intervals, paired by video and repeat; one whose arms differ in more than they declare is marked.

    With --check nothing is written: the report in the folder is held against its own manifest, the present files and,
    where there is one, the store. Exit codes: 0 all is well, 1 it is out of date or was edited, 2 there is none.
    """
    if check:
        _check_report(specs, overrides, repeats, profile, storage, output)
    gc.set_threshold(*COLLECT_RARELY)
    from study.reporting.processes import drawing_processes
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    with drawing_processes() as executor:
        from study.commands.report import write_report

        path = write_report(
            study, storage, tracking_uri=tracking_uri, output=output, strict=strict, executor=executor
        )
    typer.echo(f"Report: {path}")


def _check_report(
    specs: list[str] | None,
    overrides: list[str] | None,
    repeats: int | None,
    profile: str | None,
    storage: Path,
    output: Path | None,
) -> NoReturn:
    from study.commands.report_check import show_check
    from study.running.store import Store

    if specs or overrides or repeats:
        raise typer.BadParameter(
            "--check takes what the report was asked for from its own report.json; leave out experiments, --set and "
            "--repeats"
        )
    folder = output or Store.at(storage).report
    raise typer.Exit(show_check(folder, storage, own=output is None, profile=profile))


class Lintable(StrEnum):
    """What can be linted."""

    paper = "paper"


def lint(
    what: Annotated[Lintable, typer.Argument(help="The published numbers themselves.")] = Lintable.paper,
    as_json: JsonOption = False,
) -> None:
    """Check the paper's own numbers: arithmetic, costs, quoted rows, duplicates, sizes. Nothing is trained.

    Exit codes: 0 nothing was found, 1 something was.
    """
    from study.commands.lint import lint_paper

    raise typer.Exit(lint_paper(as_json=as_json))


def sync(
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
    tracking_uri: TrackingOption = None,
) -> None:
    """Bring MLflow up to date with the store: after an outage, or into another server.

    Trials never wait for MLflow; what it lacks is written here, and by the next launch. Doing it twice changes nothing.

    Exit codes: 0 MLflow holds everything, 1 something could not be written, 2 something in the request is wrong.
    """
    from study.commands.sync import sync as run
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    raise typer.Exit(run(study, storage, tracking_uri=tracking_uri))


def ui(
    specs: Specs = None,
    storage: StorageOption = STORAGE,
    tracking_uri: TrackingOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65535, help="Default: 5000, or the next free one.", show_default=False
        ),
    ] = None,
) -> None:
    """Open MLflow's own interface over the study, on this machine only (127.0.0.1)."""
    from study.commands.ui import run_ui
    from study.spec.loading import load_study

    run_ui(storage, study=load_study(specs or ()).name, tracking_uri=tracking_uri, port=port)
