"""A study as MLflow holds it, built from frames: reports read nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from study.analysis.claims.result import ClaimResult, Estimate
from study.analysis.published import load_published
from study.analysis.repeats import TrialRef
from study.analysis.tables import ExperimentView
from study.reporting.report import ReportSource
from study.spec.resolved import Experiment, Row
from tests import fabricated

NASTY = '<script>alert("x")</script> & $x_1$ | 100% \\ #{y}~^\''
CLAIMS = (
    ClaimResult(
        name="hybrid-above-merge",
        says="Hybrid is more accurate than merge.",
        place="section 4.5",
        published="46.8 %; 45.9 %",
        verdict="supported",
        reason="The interval is above zero.",
        scope="laptop study: synthetic motion",
        experiments=("table7",),
        estimates=(
            Estimate(
                "STH hybrid minus STH merge, top-1", 2.25, "points", 0.5, 4.0, p_value=0.012, p_holm=0.024,
                repeats=(0, 1), by_repeat=(2.0, 2.5),
            ),
        ),
    ),
    ClaimResult(
        name="smaller",
        says="It has fewer parameters than the 2D network.",
        place="abstract",
        published="22.0 M; 24.4 M",
        verdict="contradicted",
        reason="Counted at the paper's scale.",
        scope="",
        experiments=("table6",),
        estimates=(Estimate("p=1/4 over p=0, parameters", 1.25, "ratio"),),
    ),
    ClaimResult(
        name="faster",
        says="It is 10.7 times as fast as I3D.",
        place="section 4.3",
        published="10.7",
        verdict="untestable",
        reason="No trial measures speed: needs a GPU.",
        scope="",
        experiments=("table9",),
    ),
)  # fmt: skip
TOP1 = {
    "p=0": 0.5,
    "p=1/4": 0.8,
    "(2+1)D sequential": 0.7,
    "STH hybrid": 0.8,
    "STH hybrid+attention": 0.82,
    "Fixed": 0.82,
}


def rename(experiment: Experiment, old: str, new: str) -> Experiment:
    """``experiment`` with an arm of another name."""
    rows = tuple(
        Row(row.spec.model_copy(update={"name": new}), tuple(replace(arm, name=new) for arm in row.arms))
        if row.name == old
        else row
        for row in experiment.rows
    )
    return replace(experiment, rows=rows)


def fabricate(experiments: Sequence[Experiment], outcomes: dict[tuple[str, int], str]) -> ReportSource:
    """A report's source; ``outcomes`` says of (arm, repeat) that it failed, was stopped, or is missing."""
    views, runs, attention = [], {}, []
    for experiment in experiments:
        trials = {}
        for arm in experiment.arms:
            refs = []
            for repeat in range(experiment.repeats):
                trial = fabricated.trial_of(arm, repeat)
                outcome = outcomes.get((arm.name, repeat), "completed")
                missing = outcome == "missing"
                refs.append(TrialRef(repeat, trial.trial_id, "missing" if missing else "done"))
                if not missing and trial.trial_id not in runs:
                    runs[trial.trial_id] = run_row(trial, outcome, TOP1.get(arm.name, 0.75) + 0.01 * repeat)
                    attention += attention_rows(trial) if outcome == "completed" else []
            trials[arm.name] = refs
        published = load_published(experiment.spec.published) if experiment.spec.published else None
        views.append(ExperimentView(experiment, trials, published))
    frame = pd.DataFrame(list(runs.values())) if runs else pd.DataFrame(columns=["trial_id", "status"])
    columns = ["trial_id", "index", "site", "stage", "alpha_s", "alpha_t"]
    return ReportSource("study", views, frame, pd.DataFrame(attention, columns=columns))


def run_row(trial: Any, outcome: str, top1: float) -> dict[str, Any]:
    row = {
        "trial_id": trial.trial_id,
        "status": outcome,
        "reason": "" if outcome == "completed" else f"the reason it {outcome}",
        "fragment": f"#/experiments/1/runs/run-{trial.trial_id}",
        "started_at": fabricated.BEGAN,
        "ended_at": fabricated.BEGAN + 60,
        "tags.git_commit": "0123abcd",
        "tags.device": "cpu",
        "tags.data_digest": fabricated.DIGEST,
        "tags.versions": '{"torch":"2.15.0"}',
    }
    if outcome == "completed":
        cost = fabricated.cost(trial)
        row |= {"metrics.final/1x1/top1": top1, "metrics.final/1x1/top5": 0.99}
        row |= {"metrics.cost/params_m": cost.params_m, "metrics.cost/gmacs_per_view": cost.gmacs_per_view}
    return row


def attention_rows(trial: Any) -> list[dict[str, Any]]:
    if getattr(trial.settings.model.block, "attention", "none") == "none":
        return []
    return [{"trial_id": trial.trial_id} | block.model_dump() for block in fabricated.attention(trial)]


@pytest.fixture
def source() -> ReportSource:
    """Tables 6, 7, 8 and Figure 6 with two repeats: one trial failed, one was stopped, one is missing."""
    outcomes = {
        ("STH merge", 1): "failed",
        ("(2+1)D parallel", 0): "stopped",
        ("(2+1)D parallel", 1): "stopped",
        ("Dilated", 1): "missing",
    }
    study = fabricated.load(["table6", "table7", "table8", "figure6"], repeats=2)
    return fabricate(study.experiments, outcomes)
