"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
NoTrackingOption = Annotated[
    bool,
    typer.Option(
        "--no-tracking",
        help="Leave MLflow, whatever its address, to a later `report` or `sync`, for a machine that has none.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
STORAGE = Path("runs")
