"""What claims are judged on: the trials of a report, rows and data sets by name, and why some cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from study.analysis.costs import CountedCost
from study.analysis.evidence import Cell
from study.analysis.factors import Factor
from study.analysis.repeats import RepeatResult, TrialRef, describe_problems
from study.analysis.tables import ExperimentView
from study.spec.experiment import ProfileSpec
from study.spec.resolved import Arm, Row, UsedDataset
from study.spec.runtime import Quartiles

Floats = npt.NDArray[np.float64]


class Untestable(Exception):  # noqa: N818 - a finding about a claim, caught where claims are judged; never an error
    """A comparison cannot be made at all; the text says why, in sentences."""


@dataclass(frozen=True)
class MeasuredSpeed:
    """The speed of one row over that of another.

    Attributes:
        ratio: quartiles of the ratio over the rounds.
        labels: of both rows.
        remark: the two speeds, in a sentence.
        scope: device and conditions, and that they are not the paper's where they are not.
        unjudged: why no verdict can rest on it; "" where one can.
    """

    ratio: Quartiles
    labels: tuple[str, str]
    remark: str
    scope: str
    unjudged: str = ""


@dataclass(frozen=True)
class PaperCosts:
    """Costs of one view of some rows at the paper's scale, all with the same number of classes."""

    classes: int
    rows: Mapping[str, CountedCost]


@dataclass(frozen=True)
class Material:
    """Everything that claims are judged on.

    Attributes:
        profile: of the study.
        views: the experiments of the report by name.
        overrides: the ``path=value`` settings of the study.
        coefficients: the temporal attention coefficients of each trial, by block in the network's order.
        find_factors: from an experiment and two cells to what else differs between their trials than is declared.
        find_costs: from an experiment and rows to what they cost at the paper's scale; raises Untestable.
        find_speed: from an experiment and two rows to the speed of the first over the second; raises Untestable.
    """

    profile: ProfileSpec
    views: Mapping[str, ExperimentView]
    find_factors: Callable[[str, Cell, Cell], tuple[Factor, ...]]
    find_costs: Callable[[str, Sequence[str]], PaperCosts]
    find_speed: Callable[[str, str, str], MeasuredSpeed]
    overrides: Sequence[str] = ()
    coefficients: Mapping[str, Floats] = field(default_factory=dict)

    def view(self, experiment: str) -> ExperimentView:
        """The experiment; raises Untestable with the command that trains it where it is not part of the report."""
        view = self.views.get(experiment)
        if view is None:
            raise Untestable(
                f"'{experiment}' is not part of this report: `{self.command(experiment)}` trains what it needs."
            )
        return view

    def command(self, experiment: str, profile: str = "") -> str:
        """The command that would train ``experiment``, with the profile of this study or another."""
        name = profile or self.profile.name
        return f"uv run run_study.py launch {experiment}" + ("" if name == "laptop" else f" --profile {name}")

    def side(self, experiment: str, row: str, dataset: str | None) -> Side:
        """The trials of ``row`` on ``dataset``, the first where it is None. Raises Untestable."""
        view = self.view(experiment)
        used = [one for one in view.experiment.datasets if dataset is None or one.name == dataset]
        found = [one for one in view.experiment.rows if one.name == row]
        if not found or not used:
            missing = f"row '{row}'" if not found else f"data set '{dataset}'"
            raise Untestable(f"'{experiment}' has no {missing} in this report.")
        if found[0].spec.published_only:
            raise Untestable(f"'{row}' is not built: {found[0].spec.published_only.strip().rstrip('.')}.")
        return Side(view, found[0], used[0])


@dataclass(frozen=True)
class Side:
    """The trials of a row on one data set."""

    view: ExperimentView
    row: Row
    dataset: UsedDataset

    @property
    def cell(self) -> Cell:
        """Names of row and data set."""
        return self.row.name, self.dataset.name

    @property
    def label(self) -> str:
        """What tables print for the row."""
        return self.row.label

    @property
    def full_label(self) -> str:
        """The same with the data set, where the experiment has several."""
        return (
            f"{self.label} on {self.dataset.shown}" if len(self.view.experiment.datasets) > 1 else self.label
        )

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What is trained for it: folds, and the parts of a fusion."""
        experiment = self.view.experiment
        rows = [experiment.row(name) for name in self.row.spec.fuse] or [self.row]
        return tuple(arm for row in rows for arm in row.on(self.dataset.name))

    def refs(self, repeat: int) -> tuple[TrialRef, ...]:
        """Its trials in one repeat."""
        return tuple(ref for arm in self.arms for ref in self.view.trials[arm.name] if ref.repeat == repeat)

    def describe_absent(self, used: Iterable[int]) -> str:
        """Why repeats that are not ``used`` are not: "STH merge: repeat 1 failed: out of memory"; "" for none."""
        kept = set(used)
        absent = [n for n in range(self.view.experiment.repeats) if n not in kept]
        results = [_worst(self.refs(repeat), repeat) for repeat in absent]
        return f"{self.full_label}: {'; '.join(describe_problems(results))}" if results else ""

    def describe_stale(self, used: Iterable[int]) -> str:
        """Which of the ``used`` repeats are stale, and why; "" for none."""
        refs = [ref for repeat in used for ref in self.refs(repeat) if ref.state == "stale"]
        if not refs:
            return ""
        repeats = ", ".join(map(str, sorted({ref.repeat for ref in refs})))
        why = next((ref.reason for ref in refs if ref.reason), "its code has changed")
        return f"{self.full_label}, repeats {repeats}: {why.rstrip('.')}"


def _worst(refs: Sequence[TrialRef], repeat: int) -> RepeatResult:
    """What is said of a repeat that cannot be used."""
    for ref in refs:
        if ref.state not in ("done", "stale"):
            return RepeatResult(repeat, ref.trial_id, ref.state, ref.reason)
    return RepeatResult(repeat, "", "missing", "finished, but what is needed of it is not in MLflow")


def group_coefficients(attention: pd.DataFrame) -> dict[str, Floats]:
    """The temporal coefficients (blocks,) of each trial from the frame of
    :func:`study.tracking.read.load_attention`, in the order of the network.
    """
    if attention.empty:
        return {}
    ordered = attention.sort_values(["trial_id", "index"], kind="stable")
    return {str(trial): group.to_numpy(np.float64) for trial, group in ordered.groupby("trial_id")["alpha_t"]}
