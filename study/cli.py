"""The command line: arguments and help. What a command does is in :mod:`study.commands`."""

from __future__ import annotations

import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from study import __version__, cli_data
from study.errors import StudyError

app = typer.Typer(
    name="run_study.py",
    help=(
        "Ablation and benchmarking studies for video action recognition.\n\n"
        "A study asks questions: each experiment under experiments/ is one question, one table, a handful of "
        "arms. [bold]launch[/bold] trains whatever is missing, [bold]report[/bold] writes the tables with the "
        "paper's numbers beside ours, [bold]ui[/bold] opens MLflow on every trial.\n\n"
        "Start with: [bold]run_study.py launch[/bold]  (a few minutes on two CPU cores, no GPU, no downloads)"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_data.app, name="data")

Specs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SPEC]...",
        help="Experiments or studies: names (table6) or paths of YAML files. Default: experiments/study.yaml.",
        show_default=False,
    ),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="Scale: laptop, gpu, paper, or a path. Default: the study's own.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="PATH=VALUE",
        help="Override any setting, e.g. training.epochs=3. Repeatable.",
        show_default=False,
    ),
]
RepeatsOption = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        "-r",
        min=1,
        max=100,
        help="Train each arm N times with different seeds.",
        show_default=False,
    ),
]
StorageOption = Annotated[
    Path,
    typer.Option("--storage", help="Directory of the study: trials, videos, MLflow database, report."),
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        # Arguments can be read by everybody on the machine: an address with a password belongs in the environment.
        envvar="STUDY_TRACKING_URI",
        help="MLflow server or database. Default: SQLite in the storage directory.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
STORAGE = Path("runs")


class Retry(StrEnum):
    """States that run again only when asked."""

    failed = "failed"
    stale = "stale"


class Engine(StrEnum):
    """Who runs the trials."""

    ray = "ray"
    inline = "inline"


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def plan(
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
    no_cost: Annotated[
        bool, typer.Option("--no-cost", help="Leave out costs that are not counted yet.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every trial: what it serves, whether it is done, what it costs, how long the rest takes.

    States: done; missing (not run yet, or interrupted); protocol (trained, will be evaluated anew); failed and
    stale (the code it used has changed), which run again only with launch --retry.
    """
    from study.commands.plan import show_plan
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    show_plan(study, storage, count_missing=not no_cost, as_json=as_json)


@app.command()
def launch(
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
    tracking_uri: TrackingOption = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Join a running Ray cluster ('auto' or host:port). Default: Ray on this machine only.",
            show_default=False,
        ),
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option("--max-concurrent", min=1, help="Most trials at a time.", show_default=False)
    ] = None,
    retry: Annotated[
        list[Retry] | None,
        typer.Option("--retry", help="Also run trials in this state. Repeatable.", show_default=False),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="DURATION",
            help="Begin no repeat that would not end in time (90m, 8h, 1d): all arms keep equally many repeats.",
            show_default=False,
        ),
    ] = None,
    wait_for_nodes: Annotated[
        str | None,
        typer.Option(
            "--wait-for-nodes",
            metavar="DURATION",
            help="With --address: wait so long (10m) for a cluster that grows when asked to hold the trials.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Engine, typer.Option("--engine", help="ray, or inline: one trial after the other in this process.")
    ] = Engine.ray,
) -> None:
    """Train what is missing, track it in MLflow, and write the report.

    Nothing is trained twice: a trial is known by what it depends on, and one that two tables want is run once.
    Interrupt with Ctrl+C at any time; the next launch goes on from where it stopped.

    Exit codes: 0 all trials are done, 1 a trial failed or died, 2 something in the request is wrong, 130 interrupted.
    """
    from study.commands.launch import LaunchOptions
    from study.commands.launch import launch as run
    from study.commands.progress import parse_duration
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    options = LaunchOptions(
        storage=storage,
        tracking_uri=tracking_uri,
        address=address,
        max_concurrent=max_concurrent,
        retry=frozenset(state.value for state in retry or ()),
        engine=engine.value,
        budget=parse_duration(budget) if budget else None,
        wait_seconds=parse_duration(wait_for_nodes) if wait_for_nodes else 0.0,
    )
    raise typer.Exit(run(study, options))


@app.command()
def cost(
    specs: Specs = None,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="Scale: laptop, gpu, paper, or a path.")
    ] = "paper",
    overrides: SetOption = None,
    storage: StorageOption = STORAGE,
    as_json: JsonOption = False,
) -> None:
    """Count parameters and multiply-accumulates of every arm, beside the published figures.

    Nothing is trained and no data are needed. GMACs are multiply-accumulates of convolutions and matrix products
    for one view: what the field prints as GFLOPs.
    """
    from study.commands.cost import show_cost
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or ())
    show_cost(study, storage, as_json=as_json)


@app.command()
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
    from study.commands.report import write_report
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    path = write_report(study, storage, tracking_uri=tracking_uri, output=output, strict=strict)
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


@app.command()
def why(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="An id or its beginning, EXPERIMENT/ARM, or EXPERIMENT/ARM/REPEAT."
        ),
    ],
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
) -> None:
    """Explain a trial's state: what made it missing, stale or failed, and what happened at each attempt."""
    from study.commands.why import explain
    from study.running.store import Store
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    typer.echo(explain(study, Store.at(storage), trial))


@app.command()
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


@app.command()
def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, e.g. study.zip.")],
    specs: Specs = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    repeats: RepeatsOption = None,
    storage: StorageOption = STORAGE,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also take the final weights along.")
    ] = False,
) -> None:
    """Write a study into one file: specs, records, scores, report, and the digest of each.

    The same study gives the same bytes. Nothing is trained and MLflow is not asked.
    """
    from study.commands.archive import export_study
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    export_study(study, storage, target, profile=profile, checkpoints=checkpoints)


@app.command("import")
def import_(
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="An archive that export wrote.")],
    storage: StorageOption = STORAGE,
    no_videos: Annotated[
        bool, typer.Option("--no-videos", help="Do not make the synthetic videos that a report shows.")
    ] = False,
) -> None:
    """Take an archive into the store. Nothing is overwritten, and nothing is added before all of it is checked."""
    from study.commands.archive import import_archive

    import_archive(archive, storage, videos=not no_videos)


@app.command()
def verify(
    archive: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="An archive. Default: the store.", show_default=False),
    ] = None,
    storage: StorageOption = STORAGE,
    sample: Annotated[
        int, typer.Option("--sample", metavar="K", min=0, help="Train K trials again and compare.")
    ] = 0,
) -> None:
    """Check that an archive or a store is as it was written, and name every file that is not.

    Every file is readable, every id follows from its settings, every metric from the stored scores; in an archive
    every digest is the manifest's. With --sample some trials are trained again, in a scratch folder.

    Exit codes: 0 all holds together, 1 something does not, 2 it is no archive or store.
    """
    from study.commands.archive import verify as run

    raise typer.Exit(run(archive, storage, sample=sample))


@app.command()
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


class Lintable(StrEnum):
    """What can be linted."""

    paper = "paper"


@app.command()
def lint(
    what: Annotated[Lintable, typer.Argument(help="The published numbers themselves.")] = Lintable.paper,
    as_json: JsonOption = False,
) -> None:
    """Check the paper's own numbers: arithmetic, costs, quoted rows, duplicates, sizes. Nothing is trained.

    Exit codes: 0 nothing was found, 1 something was.
    """
    from study.commands.lint import lint_paper

    raise typer.Exit(lint_paper(as_json=as_json))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the experiment; letters, digits, '.', '_' and '-'.")],
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Where to write it. Default: experiments/.", show_default=False),
    ] = None,
) -> None:
    """Write a commented experiment of your own to start from."""
    from study.commands.new import write_experiment

    path = write_experiment(name, folder)
    typer.echo(f"Wrote {path}. Look at it, then: run_study.py plan {name}")


def main() -> None:
    """Run the command line; errors that the user can mend are printed plainly and end with exit code 2."""
    try:
        app()
    except StudyError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        for line in lines:
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone ("plan | head"): not an error.
        sys.stderr.close()
        sys.exit(141)
    except Exception:
        # A defect keeps its traceback, but not the password that a library may have quoted in its message.
        print(_redact(traceback.format_exc()), file=sys.stderr, end="")
        sys.exit(1)


def _redact(text: str) -> str:
    from study.tracking.redaction import redact_text

    words = [word.partition("--tracking-uri=")[2] or word for word in sys.argv[1:]]
    for address in (*words, os.environ.get("STUDY_TRACKING_URI", "")):
        if "://" in address:
            text = redact_text(text, address)
    return text
