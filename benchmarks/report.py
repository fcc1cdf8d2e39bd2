"""How long ``run_study.py report`` takes on studies of 500 and 5,000 finished trials, from start to exit.

    uv run python -m benchmarks.report                      both sizes, three rounds each
    uv run python -m benchmarks.report --sizes 500 --rounds 5
    uv run python -m benchmarks.report --root stores        keeps the stores, and takes those that are there
    uv run python -m benchmarks.report --save               keeps the figures

The stores are fabricated (:mod:`benchmarks.fabricated_store`): scores of 480 videos and 12 classes, five repeats,
half of the arms with attention, every experiment with a figure. Half a minute is spent on making the larger one.

Printed are medians over rounds of the time on the clock and of the processor's, and whether the target is met:
500 trials in 10 s and 5,000 in 60 s on two cores. Then each part's share under a profiler, which slows down Python
code but not what it calls, so that shares are rough.
"""

from __future__ import annotations

import argparse
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from benchmarks.fabricated_store import Shape, fabricate_study
from benchmarks.history import Keeper, add_save_option

PROGRAM = Path(__file__).resolve().parents[1] / "run_study.py"
SHAPES = {500: Shape(5, 20, 5), 5000: Shape(25, 40, 5)}
CORES = 2
PARTS = (
    ("loading.py", "load_study", "read the experiments"),
    ("plan.py", "make_plan", "plan: ids, records, fingerprints"),
    ("mirror.py", "sync", "hold MLflow against the records"),
    ("read.py", "load_runs", "read runs"),
    ("read.py", "load_attention", "read attention"),
    ("read.py", "load_curves", "read curves"),
    ("stored_scores.py", "load", "read scores"),
    ("hits.py", "find_hits", "which videos were right"),
    ("evidence.py", "weigh", "intervals and tests"),
    ("claims.py", "collect_claims", "claims"),
    ("figures.py", "collect_material", "material of figures"),
    ("tables.py", "build_table", "tables"),
    ("report.py", "render_report", "draw and write everything"),
    ("report_manifest.py", "describe_origin", "digests of code and trials"),
)
"""File, function and what it does; ``draw and write everything`` holds the tables."""


@dataclass(frozen=True)
class Round:
    """Seconds of one whole process: on the clock, and of the processor over all its threads and children."""

    wall: float
    processor: float


def main() -> None:
    """Parse the arguments, make the stores, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(SHAPES), choices=sorted(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path, help="folder that keeps the stores")
    add_save_option(parser)
    arguments = parser.parse_args()
    keeper, found = Keeper("report", arguments.save), {}
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            root = ((arguments.root or Path(scratch)) / f"trials-{size}").absolute()
            if not (root / "runs").is_dir():
                fabricate_study(root, SHAPES[size])
            rounds = [time_report(root) for _ in range(arguments.rounds)]
            print(describe(size, rounds))
            print(profile_report(root))
            found[f"report of {size} trials"] = [one.wall for one in rounds]
    print(keeper.conclude(found))


def time_report(root: Path) -> Round:
    """One report of the store below ``root``, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(_command(root), cwd=root, env=_environment(), check=True, capture_output=True)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Round(wall, processor)


def _command(root: Path, *python: str) -> list[str]:
    return [sys.executable, *python, str(PROGRAM), "report", "--storage", str(root / "runs")]


def _environment() -> dict[str, str]:
    """The environment with as many threads as there are cores to be had."""
    return os.environ | {"OMP_NUM_THREADS": str(CORES), "OPENBLAS_NUM_THREADS": str(CORES)}


def describe(size: int, rounds: list[Round]) -> str:
    """The medians."""
    wall = statistics.median(one.wall for one in rounds)
    processor = statistics.median(one.processor for one in rounds)
    return f"{size} trials: {wall:.1f} s ({processor:.1f} s of processor time), medians of {len(rounds)}"


def profile_report(root: Path) -> str:
    """Seconds of each part under cProfile."""
    with tempfile.NamedTemporaryFile(suffix=".prof") as file:
        command = _command(root, "-m", "cProfile", "-o", file.name)
        subprocess.run(command, cwd=root, env=_environment(), check=True, capture_output=True)
        stats = pstats.Stats(file.name)
    entries = stats.stats  # type: ignore[attr-defined]
    rows = []
    for filename, function, label in PARTS:
        spent = [
            entry[3]
            for (path, _, name), entry in entries.items()
            if name == function and Path(path).name == filename and "study" in Path(path).parts
        ]
        rows.append([label, f"{max(spent, default=0.0):.2f}"])
    rows.append(["the whole, imports and profiler included", f"{stats.total_tt:.2f}"])  # type: ignore[attr-defined]
    return tabulate(rows, headers=["part", "s"], disable_numparse=True, colalign=("left", "right"))


if __name__ == "__main__":
    main()
