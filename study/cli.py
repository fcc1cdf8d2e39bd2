"""The command line: arguments and help. What a command does is in :mod:`study.commands`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
    engine: Annotated[
        Engine, typer.Option("--engine", help="ray, or inline: one trial after the other in this process.")
    ] = Engine.ray,
) -> None:
    """Train what is missing, track it in MLflow, and write the report.

    Nothing is trained twice: a trial is known by what it depends on, and one that two tables want is run once.
    Interrupt with Ctrl+C at any time; the next launch goes on from where it stopped.

    Exit codes: 0 all trials are done, 1 a trial failed, 2 something in the request is wrong, 130 interrupted.
    """
    from study.commands.launch import LaunchOptions
    from study.commands.launch import launch as run
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    options = LaunchOptions(
        storage=storage,
        tracking_uri=tracking_uri,
        address=address,
        max_concurrent=max_concurrent,
        retry=frozenset(state.value for state in retry or ()),
        engine=engine.value,
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
) -> None:
    """Write tables and figures from what MLflow holds: HTML, Markdown, LaTeX, CSV, PNG, SVG.

    Differences have intervals, paired by video and repeat; one whose arms differ in more than they declare is marked.
    """
    from study.commands.report import write_report
    from study.spec.loading import load_study

    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    path = write_report(study, storage, tracking_uri=tracking_uri, output=output, strict=strict)
    typer.echo(f"Report: {path}")


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
