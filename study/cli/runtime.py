"""The command that measures: bench."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from study.cli.options import STORAGE, JsonOption, NoTrackingOption, SetOption, StorageOption, TrackingOption


class Device(StrEnum):
    """Where networks run."""

    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """What they compute in."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Mode(StrEnum):
    """What one pass is."""

    inference = "inference"
    training = "training"
    both = "both"


MODES: dict[Mode, tuple[Literal["inference", "training"], ...]] = {
    Mode.inference: ("inference",),
    Mode.training: ("training",),
    Mode.both: ("inference", "training"),
}


def bench(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SPEC]...",
            help="Experiments or studies: names (table9) or paths of YAML files. Default: table9.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="Scale: laptop, gpu, paper, or a path.")
    ] = "paper",
    overrides: SetOption = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", "-a", help="Measure this row only. Repeatable.", show_default=False),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Where networks run.")] = Device.cpu,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, help="Clips of one pass. Default: 1 on a CPU, 16 on a GPU.", show_default=False
        ),
    ] = None,
    dtype: Annotated[Precision, typer.Option("--dtype", help="fp16 needs a GPU.")] = Precision.fp32,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile networks with torch.compile.")] = False,
    mode: Annotated[
        Mode, typer.Option("--mode", help="A forward pass, or one with backward and optimizer step.")
    ] = Mode.inference,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", min=1, help="Rounds that count. Default: 21, on a GPU 31.", show_default=False
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="With one, process CPU time is compared, else wall time.")
    ] = 1,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="ARM", help="Ratios are to it. Default: the baseline.", show_default=False
        ),
    ] = None,
    storage: StorageOption = STORAGE,
    tracking_uri: TrackingOption = None,
    no_tracking: NoTrackingOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure speed and memory of every arm, interleaved in one process; medians with quartiles.

    Ratios are paired round by round; arms that differ by less than the spread are not ranked. Each call adds a
    measurement to the store and to MLflow, and report shows the newest beside the paper's.

    Exit codes: 0 every network has times, 1 some could not be run, 2 something in the request is wrong.
    """
    from study.commands.bench import BenchOptions
    from study.commands.bench import bench as run
    from study.spec.loading import load_study

    study = load_study(specs or ["table9"], profile=profile, overrides=overrides or ())
    options = BenchOptions(
        storage=storage,
        tracking_uri=tracking_uri,
        arms=tuple(arms or ()),
        device=device.value,
        batch=batch,
        dtype=dtype.value,
        compile=compile_,
        modes=MODES[mode],
        rounds=rounds,
        threads=threads,
        against=against,
        as_json=as_json,
        tracked=not no_tracking,
    )
    raise typer.Exit(run(study, options))
