"""How long ``run_study.py launch`` takes on the default study, from start to exit.

    uv run python -m benchmarks.default_study               about ten minutes a round on two cores
    uv run python -m benchmarks.default_study --save        keeps the figures
    uv run python -m benchmarks.default_study table8        another study; such a figure is not kept

Its synthetic videos are made before, once; each round has a store of its own. Within the time are the start of Ray, the
training of all trials, tracking and the report.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.history import Keeper, add_save_option
from study.data.catalog import open_dataset
from study.running.plan import make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study

ROOT = Path(__file__).resolve().parents[1]
TARGET = "launch of the default study on 2 cores"


def main() -> None:
    """Parse the arguments, make the videos, launch, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("specs", nargs="*", help="experiments instead of the default study")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="as for launch")
    parser.add_argument("--rounds", type=int, default=1)
    add_save_option(parser)
    arguments = parser.parse_args()
    if arguments.save and (arguments.specs or arguments.set):
        parser.error("--save: only the default study has a target")
    study = load_study(arguments.specs, overrides=tuple(arguments.set))
    options = [*arguments.specs, *(part for override in arguments.set for part in ("--set", override))]
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        make_videos(study, data)
        seconds = [time_launch(Path(scratch) / str(turn), data, options) for turn in range(arguments.rounds)]
    print(Keeper("default_study", arguments.save).conclude({} if options else {TARGET: seconds}))


def make_videos(study: Study, data: Path) -> None:
    """The videos of all trials of ``study``, below ``data``."""
    for planned in make_plan(study, Store.at(data.parent / "none")).trials:
        open_dataset(planned.trial.settings.data, data).prepare()


def time_launch(root: Path, data: Path, options: list[str]) -> float:
    """Seconds of one launch into an empty store whose videos are in ``data``."""
    root.mkdir()
    (root / "data").symlink_to(data)
    began = time.perf_counter()
    command = [sys.executable, "run_study.py", "launch", "--storage", str(root), *options]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    print(f"{len(list(root.glob('trials/*/record.json')))} trials: {seconds:.0f} s", flush=True)
    return seconds


if __name__ == "__main__":
    main()
