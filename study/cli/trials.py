"""The commands about trials: what there is to run, running it, what it costs, why it is as it is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import (
    STORAGE,
    JsonOption,
    NoTrackingOption,
    ProfileOption,
    RepeatsOption,
    SetOption,
    Specs,
    StorageOption,
    TrackingOption,
)


class Retry(StrEnum):
    """States that run again only when asked."""

    failed = "failed"
    stale = "stale"


class Engine(StrEnum):
    """Who runs the trials."""

    ray = "ray"
    inline = "inline"


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
    gpus: Annotated[
        str | None,
        typer.Option(
            "--gpus",
            metavar="N,…",
            help="Instead: cost, time, storage and bottleneck of the rest on so many GPUs (1,8,64).",
            show_default=False,
        ),
    ] = None,
    step_times: Annotated[
        list[Path] | None,
        typer.Option(
            "--step-times",
            help="With --gpus: measurements of bench, a file or a folder. Repeatable. Default: none, assumed.",
            show_default=False,
        ),
    ] = None,
    assume: Annotated[
        str | None,
        typer.Option(
            "--assume",
            metavar="LOW,MIDDLE,HIGH",
            help="With --gpus: TMAC/s that a GPU sustains, where none was measured. Default: 10,30,90.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show every trial: what it serves, whether it is done, what it costs, how long the rest takes.

    States: done; missing (not run yet, or interrupted); protocol (trained, will be evaluated anew); failed and
    stale (the code it used has changed), which run again only with launch --retry.
    """
    from study.spec.loading import load_study

    if gpus is None and (step_times or assume):
        raise typer.BadParameter("is for --gpus", param_hint="--step-times" if step_times else "--assume")
    study = load_study(specs or (), profile=profile, overrides=overrides or (), repeats=repeats)
    if gpus is None:
        from study.commands.plan import show_plan

        show_plan(study, storage, count_missing=not no_cost, as_json=as_json)
    else:
        from study.commands.scaling import parse_counts, show_scaling
        from study.commands.step_times import ASSUMED, parse_band

        assumed = parse_band(assume) if assume else ASSUMED
        show_scaling(study, storage, parse_counts(gpus), step_times or (), assumed=assumed, as_json=as_json)


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
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait", help="Where another launch is at work on the store: exit code 2 instead of waiting."
        ),
    ] = False,
    engine: Annotated[
        Engine, typer.Option("--engine", help="ray, or inline: one trial after the other in this process.")
    ] = Engine.ray,
    no_tracking: NoTrackingOption = False,
) -> None:
    """Train what is missing, track it in MLflow, and write the report.

    Nothing is trained twice: a trial is known by what it depends on, and one that two tables want is run once.
    Interrupt with Ctrl+C at any time; the next launch goes on from where it stopped. Where another launch is at
    work on the store, this one waits for its end and does what is left. With --no-tracking there is
    neither MLflow nor a report.

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
        wait_for_store=not no_wait,
        tracked=not no_tracking,
    )
    raise typer.Exit(run(study, options))


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
