"""The command line of ``data``: checking, preparing, and computing the flow of data sets on disk."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help=(
        "Look at a data set on disk, and make it fit for training.\n\n"
        "DATASET is its type: something_v1, something_v2, jester, kinetics400, ucf101, hmdb51, video_list, "
        "arrow_of_time; or [bold]folder[/bold], for every video below --root without any lists."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Type of the data set, or folder.")]
RootOption = Annotated[Path, typer.Option("--root", help="Folder with the videos.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Further options of data, e.g. annotations=lists. Repeatable.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes at a time.", show_default="one for each core")
]
CORES = os.cpu_count() or 1


class Form(StrEnum):
    """What videos are made into."""

    mp4 = "mp4"
    frames = "frames"


class Method(StrEnum):
    """How flow is computed."""

    dis = "dis"
    tvl1 = "tvl1"
    raft = "raft"


class Layout(StrEnum):
    """How flow images are named."""

    tsn = "tsn"
    tsm = "tsm"
    trn = "trn"


@app.command()
def check(
    dataset: Dataset,
    root: RootOption,
    settings: SetOption = None,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", min=1, help="Look at N videos only; writes no manifest.", show_default=False
        ),
    ] = None,
    workers: WorkersOption = CORES,
    limit_s: Annotated[float, typer.Option("--limit", min=0.1, help="Seconds one video may take.")] = 60.0,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            help="Where to write it. Default: in --root, where training finds it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Open and decode every video in a process that can be killed; write the manifest that training reads.

    Lists are held against the official sizes. Random access is held against decoding everything in order: decord
    returns wrong frames, silently, for some files. What fails is left out of training by name, for all arms alike.
    Interrupted, the same command goes on.

    Exit codes: 0 all videos are fit, 1 some are not, 2 something in the request is wrong.
    """
    from study.commands.data_check import CheckOptions, check_dataset

    options = CheckOptions(root, tuple(settings or ()), sample, workers, limit_s, manifest)
    raise typer.Exit(check_dataset(dataset, options))


@app.command()
def prepare(
    dataset: Dataset,
    root: RootOption,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.", show_default=False)],
    settings: SetOption = None,
    form: Annotated[Form, typer.Option("--form", help="Closed-GOP H.264 in mp4, or JPEG frames.")] = Form.mp4,
    short_side: Annotated[
        int,
        typer.Option(
            "--short-side", min=0, help="Pixels of the shorter side; larger videos shrink. 0: as is."
        ),
    ] = 256,
    upscale: Annotated[bool, typer.Option("--upscale", help="Let smaller videos grow to it.")] = False,
    image_template: Annotated[
        str | None,
        typer.Option(
            "--image-template", help="Names of frames. Default: the data set's.", show_default=False
        ),
    ] = None,
    workers: WorkersOption = CORES,
    limit_s: Annotated[float, typer.Option("--limit", min=0.1, help="Seconds one video may take.")] = 600.0,
) -> None:
    """Transcode videos, or extract their frames, once; needed for UCF-101 and HMDB-51, optional for others.

    Each video is verified after writing: as many frames as its source, and the same ones in random access.
    Interrupted, the same command goes on. Failures are listed in a file in the output folder.
    """
    from study.commands.data_prepare import PrepareOptions, prepare_dataset

    options = PrepareOptions(
        root=root,
        out=out,
        settings=tuple(settings or ()),
        form=form.value,
        short_side=short_side or None,
        upscale=upscale,
        image_template=image_template,
        workers=workers,
        limit_s=limit_s,
    )
    raise typer.Exit(prepare_dataset(dataset, options))


@app.command()
def flow(
    dataset: Dataset,
    root: RootOption,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder to write to. Default: beside --root, named after it.", show_default=False
        ),
    ] = None,
    settings: SetOption = None,
    method: Annotated[
        Method, typer.Option("--method", help="dis and tvl1 are OpenCV's; raft is torchvision's.")
    ] = Method.dis,
    bound: Annotated[
        float, typer.Option("--bound", min=0.1, help="Displacements are clipped to this.")
    ] = 20.0,
    layout: Annotated[Layout, typer.Option("--layout", help="How the images are named.")] = Layout.tsn,
    short_side: Annotated[
        int, typer.Option("--short-side", min=0, help="Larger frames shrink to it first. 0: as they are.")
    ] = 256,
    weights: Annotated[Path | None, typer.Option("--weights", help="For raft.", show_default=False)] = None,
    workers: WorkersOption = CORES,
    limit_s: Annotated[float, typer.Option("--limit", min=0.1, help="Seconds one video may take.")] = 3600.0,
) -> None:
    """Compute optical flow and store it as the field does: JPEGs of x and y, clipped to +-20 pixels.

    Synthetic data sets need no such step. Interrupted, the same command goes on.
    """
    from study.commands.data_flow import FlowOptions, compute_dataset_flow

    options = FlowOptions(
        root=root,
        out=out,
        settings=tuple(settings or ()),
        method=method.value,
        bound=bound,
        layout=layout.value,
        short_side=short_side or None,
        weights=weights,
        workers=workers,
        limit_s=limit_s,
    )
    raise typer.Exit(compute_dataset_flow(dataset, options))
