"""How long the command line takes to answer.

    uv run python -m benchmarks.startup

Each time is that of a process of its own; the median of some counts. The import is timed inside the process, without
the interpreter's own start.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORT = "import time; began = time.perf_counter(); import study.cli; print(time.perf_counter() - began)"


def main() -> None:
    """Parse the arguments, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="processes of each kind")
    rounds = parser.parse_args().rounds
    imports = [float(run("-c", IMPORT)) for _ in range(rounds)]
    helps = []
    for _ in range(rounds):
        began = time.perf_counter()
        run("run_study.py", "--help")
        helps.append(time.perf_counter() - began)
    for name, seconds in (("import of study.cli", imports), ("run_study.py --help", helps)):
        print(
            f"{name}: median {statistics.median(seconds):.3f} s "
            f"({min(seconds):.3f} to {max(seconds):.3f}, {rounds} processes)"
        )


def run(*arguments: str) -> str:
    """What a process of this interpreter prints."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()
