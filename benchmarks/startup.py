"""How long the command line takes to answer.

    uv run python -m benchmarks.startup             --save keeps the figures

Each time is that of a process of its own; the median of some counts. The import is timed inside the process, without
the interpreter's own start.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.history import Keeper, add_save_option

ROOT = Path(__file__).resolve().parents[1]
IMPORT = "import time; began = time.perf_counter(); import study.cli; print(time.perf_counter() - began)"


def main() -> None:
    """Parse the arguments, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="processes of each kind")
    add_save_option(parser)
    arguments = parser.parse_args()
    rounds, keeper = arguments.rounds, Keeper("startup", arguments.save)
    imports = [float(run("-c", IMPORT)) for _ in range(rounds)]
    helps = []
    for _ in range(rounds):
        began = time.perf_counter()
        run("run_study.py", "--help")
        helps.append(time.perf_counter() - began)
    print(f"{rounds} processes of each kind, seconds on the clock")
    print(keeper.conclude({"import of study.cli": imports, "run_study.py --help": helps}))


def run(*arguments: str) -> str:
    """What a process of this interpreter prints."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()
