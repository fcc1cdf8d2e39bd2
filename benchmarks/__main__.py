"""Every target of the project with its last stored number, and whether that is worse than the one before.

    uv run python -m benchmarks                        what is stored
    uv run python -m benchmarks --check                the same; exit status 1 where something has become worse
    uv run python -m benchmarks --run startup report   measure these anew first, and keep what they find

Stored numbers are those of ``--save`` (:mod:`benchmarks.history`). "Worse" compares the last two on one class of
device: their quartiles lie apart, on the worse side, over at least three rounds each. A load above the number of cores
means that the machine was busy: ratios of neighbors in time bear that, seconds on the clock do not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from benchmarks.history import Standing, describe_met, judge, show_spread
from benchmarks.targets import TARGETS, list_benchmarks, list_commands
from study.spec.runtime import Quartiles

ROOT = Path(__file__).resolve().parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, measure what is asked for, print; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where something has become worse")
    parser.add_argument(
        "--run",
        nargs="+",
        default=[],
        choices=list_benchmarks(),
        metavar="BENCHMARK",
        help=f"measure these first: {', '.join(list_benchmarks())}",
    )
    arguments = parser.parse_args(argv)
    failed = [command for command in list_commands(arguments.run) if not _run(*command)]
    standings = judge(TARGETS)
    print(render(standings))
    for benchmark, options in failed:
        print(f"failed: python -m benchmarks.{benchmark} {options}".rstrip())
    return 1 if failed or (arguments.check and any(one.regressed for one in standings)) else 0


def _run(benchmark: str, options: str) -> bool:
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *options.split(), "--save"]
    print("$", " ".join(["python", *command[1:]]), flush=True)
    return subprocess.run(command, cwd=ROOT).returncode == 0


def render(standings: Sequence[Standing]) -> str:
    """A row for each target, and a sentence that counts."""
    rows = [_row(one) for one in standings]
    headers = ["benchmark", "what", "last", "quartiles", "target", "", "against the one before", "taken"]
    with_limit = [one for one in standings if one.target.limit is not None]
    verdicts = [one.target.is_met(one.last.value) for one in with_limit if one.last]
    met, missed = verdicts.count(True), verdicts.count(False)
    worse = sum(one.regressed for one in standings)
    return (
        tabulate(rows, headers=headers, disable_numparse=True)
        + f"\n\n{len(with_limit)} targets: {met} met, {missed} not met, {len(with_limit) - met - missed} never "
        f"measured; {worse} worse than the one before."
    )


def _row(one: Standing) -> list[str]:
    target, last = one.target, one.last
    if last is None:
        reason = target.because or "never measured"
        return [target.benchmark, target.name, "", "", target.bound, reason, "", ""]
    middle, quartiles = show_spread(Quartiles(q1=last.q1, median=last.value, q3=last.q3))
    # Against the limit of today: one that was moved does not make an old number met.
    verdict = describe_met(target.is_met(last.value))
    taken = f"{last.date[:10]}, {last.commit}, {last.device}, {last.rounds} rounds, load {last.load:g}"
    taken += f" on {last.cores} cores" + (" (busy)" if last.busy else "")
    middle += f" {target.unit}".rstrip()
    return [target.benchmark, target.name, middle, quartiles, target.bound, verdict, _compare(one), taken]


def _compare(one: Standing) -> str:
    if one.last is None or one.before is None:
        return ""
    change = f"{one.last.value / one.before.value:.3f}x"
    return f"WORSE: {change}" if one.regressed else change


if __name__ == "__main__":
    sys.exit(main())
