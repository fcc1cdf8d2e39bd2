"""What benchmarks found, kept: a line of JSON for each number in ``benchmarks/results/<benchmark>.jsonl``.

A number comes with its spread, the target of the day, the class of the device, versions and commit, and how many
processes wanted to run when it was taken. Where it was taken is nobody's business: no line has a host name or a path.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from tabulate import tabulate

from benchmarks.targets import Better, Target, find_targets
from study.errors import StoreError
from study.spec.record import write_atomically
from study.spec.runtime import Quartiles

RESULTS = Path(__file__).resolve().parent / "results"
PATH = re.compile(r"(?:^|[\s'\"=(])(?:~?/\w|[A-Za-z]:\\)")
"""What looks like a path; "STH / 2D" does not."""
ENOUGH = 3
"""Rounds from which quartiles say something."""


class Measurement(BaseModel):
    """One number as it was found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    name: str
    """The target's."""
    value: float = Field(gt=0, allow_inf_nan=False)
    """Median over the rounds."""
    q1: float
    q3: float
    rounds: int = Field(ge=1)
    """Values that median and quartiles are of."""
    unit: str = ""
    target: float | None
    """The limit when it was measured."""
    better: Better
    met: bool | None
    """None where there was no target."""
    device: str
    """"cpu: AMD EPYC 9R14"."""
    cores: int = Field(ge=1)
    """That the operating system shows."""
    load: float = Field(ge=0)
    """Processes that wanted to run in the minute before it began; above ``cores`` the machine was busy."""
    versions: dict[str, str]
    commit: str
    date: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    @field_validator("benchmark", "name", "device", "commit", "unit")
    @classmethod
    def _names_no_place(cls, text: str) -> str:
        host = platform.node()
        if PATH.search(text) or (host and re.search(rf"\b{re.escape(host)}\b", text)):
            raise ValueError(f"names a place: {text!r}; a history that is shared has neither hosts nor paths")
        return text

    @model_validator(mode="after")
    def _check(self) -> Measurement:
        if not self.q1 <= self.value <= self.q3:
            raise ValueError("the median does not lie between its quartiles")
        judged = Target(self.benchmark, self.name, self.target, self.better).is_met(self.value)
        if self.met is not judged:
            raise ValueError(f"met is {self.met}, but the value against the target says {judged}")
        return self

    @property
    def busy(self) -> bool:
        """Whether more processes wanted to run than there were cores."""
        return self.load > self.cores

    def is_worse_than(self, before: Measurement) -> bool:
        """Whether the quartiles lie apart, on the worse side. Fewer than three rounds have no quartiles to speak of."""
        if min(self.rounds, before.rounds) < ENOUGH:
            return False
        return self.q1 > before.q3 if self.better == "lower" else self.q3 < before.q1


@dataclass(frozen=True)
class Standing:
    """Where a target stands.

    Attributes:
        last: the newest measurement; None without any.
        before: the one before it on the same class of device.
    """

    target: Target
    last: Measurement | None = None
    before: Measurement | None = None

    @property
    def regressed(self) -> bool:
        """Whether the newest is worse than the one before by more than the spread."""
        return bool(self.last and self.before and self.last.is_worse_than(self.before))


def load_history(benchmark: str, folder: Path = RESULTS) -> list[Measurement]:
    """Every measurement of ``benchmark``, in the order in which they were kept.

    Raises:
        StoreError: naming file and line, when one is damaged or does not belong.
    """
    path = folder / f"{benchmark}.jsonl"
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            one = Measurement.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, first["loc"])) or "(line)"
            raise StoreError(f"{path}: line {number}: no measurement: {key}: {first['msg']}") from None
        if one.benchmark != benchmark:
            raise StoreError(f"{path}: line {number}: of '{one.benchmark}'; allowed here: {benchmark}")
        found.append(one)
    return found


def judge(targets: Sequence[Target], folder: Path = RESULTS) -> list[Standing]:
    """Where each of ``targets`` stands."""
    kept: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for benchmark in {target.benchmark for target in targets}:
        for one in load_history(benchmark, folder):
            kept[benchmark, one.name].append(one)
    standings = []
    for target in targets:
        *earlier, last = kept[target.benchmark, target.name] or [None]
        alike = [one for one in earlier if one and last and one.device == last.device]
        standings.append(Standing(target, last, alike[-1] if alike else None))
    return standings


def add_save_option(parser: argparse.ArgumentParser) -> None:
    """``--save``, the same for every benchmark."""
    parser.add_argument(
        "--save", action="store_true", help="keep the numbers in benchmarks/results, beside earlier ones"
    )


class Keeper:
    """Prints what a benchmark found against its targets, and keeps it where asked to.

    Made before anything is measured, as it notes the load of the machine.

    Args:
        benchmark: name of the module.
        save: whether to keep anything.
        device: "cpu" or "cuda".
        folder: where to.
    """

    def __init__(self, benchmark: str, save: bool, device: str = "cpu", folder: Path = RESULTS) -> None:
        self._targets = find_targets(benchmark)
        self._benchmark, self._save, self._device, self._folder = benchmark, save, device, folder
        self._load = os.getloadavg()[0]

    def conclude(self, found: Mapping[str, Sequence[float]]) -> str:
        """Keep ``found``, values of every round by name of the target, and say how they stand.

        What is no target's, as of another size than the target names, is printed and not kept.
        """
        others = {name: Target(self._benchmark, name, None) for name in found if name not in self._targets}
        rows = [_row(target, found.get(name)) for name, target in (self._targets | others).items()]
        text = tabulate(rows, headers=["", "median", "quartiles", "target", ""], disable_numparse=True)
        if self._save:
            self._append([self._describe(self._targets[n], found[n]) for n in found if n not in others])
            text += f"\nkept in benchmarks/results/{self._benchmark}.jsonl"
            text += "".join(f"\nnot kept, it has no target: {name}" for name in others)
        return text

    def _append(self, measured: Sequence[Measurement]) -> None:
        path = self._folder / f"{self._benchmark}.jsonl"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [json.dumps(one.model_dump(mode="json")) for one in measured]
        write_atomically(path, before + "".join(f"{line}\n" for line in lines))

    def _describe(self, target: Target, values: Sequence[float]) -> Measurement:
        from importlib import metadata

        from study.cost.runtime.device import name_device

        spread = Quartiles.of([float(value) for value in values])
        return Measurement(
            benchmark=target.benchmark,
            name=target.name,
            value=spread.median,
            q1=spread.q1,
            q3=spread.q3,
            rounds=len(values),
            unit=target.unit,
            target=target.limit,
            better=target.better,
            met=target.is_met(spread.median),
            device=name_device(self._device),
            cores=os.cpu_count() or 1,
            load=round(self._load, 2),
            versions={"python": platform.python_version()}
            | {library: metadata.version(library) for library in ("torch", "numpy", "ray", "mlflow")},
            commit=describe_commit(),
            date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def describe_commit() -> str:
    """The commit of this code, marked where files differ from it; numbers that were kept just now do not count."""
    from study.running.commit import find_commit

    commit = find_commit() or "unknown"
    command = ["git", "diff", "--quiet", "HEAD", "--", ".", ":(exclude)benchmarks/results"]
    if commit.endswith("-dirty") and subprocess.run(command, cwd=RESULTS.parents[1]).returncode == 0:
        return commit.removesuffix("-dirty")
    return commit


def _row(target: Target, values: Sequence[float] | None) -> list[str]:
    if values is None:
        return [target.name, "", "", target.bound, target.because or "not measured in this run"]
    spread = Quartiles.of([float(value) for value in values])
    return [target.name, *show_spread(spread), target.bound, describe_met(target.is_met(spread.median))]


def show_spread(spread: Quartiles) -> tuple[str, str]:
    """The median, and the quartiles, as they are printed."""
    return f"{spread.median:.3f}", f"{spread.q1:.3f} to {spread.q3:.3f}"


def describe_met(met: bool | None) -> str:
    """A verdict in words; none where there is no target."""
    return "" if met is None else "met" if met else "not met"
