"""Tables of experiments: means, spreads and deltas against hand arithmetic; what is not measured stays so."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import pytest

from study.analysis.frames import table_frame
from study.analysis.published import load_published
from study.analysis.repeats import TrialRef, measure_spread
from study.analysis.tables import ExperimentView, build_table
from tests import fabricated

Outcome = float | str | None


def view_and_runs(
    outcomes: Mapping[str, list[Outcome]], states: Mapping[tuple[str, int], tuple[str, str]] | None = None
) -> tuple[ExperimentView, pd.DataFrame]:
    """Table 7 with these results: a fraction, "failed" and the like, or None for a trial without a run."""
    repeats = max(map(len, outcomes.values()))
    experiment = fabricated.load(["table7"], repeats=repeats).experiments[0]
    trials, runs = {}, []
    for arm in experiment.arms:
        refs = []
        for repeat, outcome in enumerate(outcomes.get(arm.name, [None] * repeats)):
            trial_id = f"{arm.name}-{repeat}"
            state, reason = (states or {}).get(
                (arm.name, repeat), ("missing" if outcome is None else "done", "")
            )
            refs.append(TrialRef(repeat, trial_id, state, reason))  # type: ignore[arg-type]
            if outcome is not None:
                completed = isinstance(outcome, float)
                runs.append(
                    {
                        "trial_id": trial_id,
                        "status": "completed" if completed else outcome,
                        "reason": "" if completed else f"why it {outcome}",
                        "fragment": f"#/{trial_id}",
                        "metrics.final/1x1/top1": outcome if completed else math.nan,
                        "metrics.cost/params_m": 0.1,
                        "metrics.cost/gmacs_per_view": 0.2,
                    }
                )
        trials[arm.name] = refs
    frame = pd.DataFrame(runs, columns=["trial_id", "status", "reason", "fragment"] if not runs else None)
    return ExperimentView(experiment, trials, load_published("table7")), frame


def row_of(view: ExperimentView, runs: pd.DataFrame, name: str) -> object:
    return next(row for row in build_table(view, runs).rows if row.arm.name == name)


def test_delta_is_paired_by_repeat() -> None:
    view, runs = view_and_runs(
        {"(2+1)D sequential": [0.50, 0.60, 0.40], "STH hybrid": [0.58, 0.70, "failed"]}
    )
    row = row_of(view, runs, "STH hybrid")
    # Differences of the repeats that both have: 8 and 10 points. Unpaired it would be 64 - 50 = 14.
    assert row.accuracies[0].delta.mean == pytest.approx(9.0)
    assert row.accuracies[0].delta.n == 2
    assert row.accuracies[0].delta.std == pytest.approx(math.sqrt(((8 - 9) ** 2 + (10 - 9) ** 2) / (2 - 1)))
    assert row.accuracies[0].top1.mean == pytest.approx((0.58 + 0.70) / 2)
    assert row.accuracies[0].top1.std == pytest.approx(0.12 / math.sqrt(2))
    baseline = row_of(view, runs, "(2+1)D sequential")
    assert baseline.is_baseline
    assert baseline.accuracies[0].delta is None
    assert baseline.accuracies[0].top1.mean == pytest.approx(0.5)
    assert baseline.accuracies[0].top1.std == pytest.approx(0.1)


def test_one_repeat_has_no_spread_and_none_has_no_mean() -> None:
    assert measure_spread([0.4]) is not None
    assert measure_spread([0.4, None]).std is None  # type: ignore[union-attr]
    assert measure_spread([]) is None
    assert measure_spread([None, None]) is None


def test_without_a_common_repeat_there_is_no_delta() -> None:
    view, runs = view_and_runs({"(2+1)D sequential": [0.5, None], "STH hybrid": [None, 0.6]})
    assert row_of(view, runs, "STH hybrid").accuracies[0].delta is None


@pytest.mark.parametrize("status", ["failed", "stopped", "interrupted", "running"])
def test_a_trial_that_did_not_complete_is_no_number_and_keeps_its_reason(status: str) -> None:
    view, runs = view_and_runs({"(2+1)D sequential": [0.5], "STH merge": [status]})
    # Even a run that logged an accuracy on its way counts for nothing unless it completed.
    runs.loc[runs["status"] == status, "metrics.final/1x1/top1"] = 0.9
    row = row_of(view, runs, "STH merge")
    assert row.accuracies[0].top1 is None
    assert row.accuracies[0].delta is None
    assert (row.accuracies[0].repeats[0].state, row.accuracies[0].repeats[0].reason) == (
        status,
        f"why it {status}",
    )
    frame = table_frame(build_table(view, runs)).set_index("arm")
    assert frame.loc["STH merge", f"repeats_{status}"] == 1
    assert f"why it {status}" in frame.loc["STH merge", "problems"]


def test_missing_says_why() -> None:
    view, runs = view_and_runs(
        {"(2+1)D sequential": [0.5], "STH merge": [None], "STH hybrid": [None], "(2+1)D parallel": [None]},
        {("STH merge", 0): ("missing", "excluded by --only"), ("STH hybrid", 0): ("done", "")},
    )
    reasons = {
        row.arm.name: (row.accuracies[0].repeats[0].state, row.accuracies[0].repeats[0].reason)
        for row in build_table(view, runs).rows
    }
    assert reasons["STH merge"] == ("missing", "excluded by --only")
    assert reasons["STH hybrid"] == ("missing", "finished, but not in MLflow")
    assert reasons["(2+1)D parallel"] == ("missing", "not run yet")


def test_stale_results_count_and_are_marked() -> None:
    view, runs = view_and_runs(
        {"(2+1)D sequential": [0.5], "STH hybrid": [0.6]}, {("STH hybrid", 0): ("stale", "code changed")}
    )
    row = row_of(view, runs, "STH hybrid")
    assert row.accuracies[0].top1.mean == 0.6
    assert (row.accuracies[0].repeats[0].state, row.accuracies[0].repeats[0].reason) == (
        "stale",
        "code changed",
    )


def test_measured_and_published_stay_apart() -> None:
    view, runs = view_and_runs({"(2+1)D sequential": [0.5], "STH hybrid": [0.6]})
    frame = table_frame(build_table(view, runs)).set_index("arm")
    hybrid, merge = frame.loc["STH hybrid"], frame.loc["STH merge"]
    assert (hybrid["top1_percent_mean"], hybrid["published_top1_percent"]) == (60.0, 46.8)
    assert (hybrid["params_m"], hybrid["published_params_m"]) == (0.1, 22.0)
    assert math.isnan(merge["top1_percent_mean"])
    assert merge["published_top1_percent"] == 45.9
    # A laptop's cost is not held against the paper's.
    assert set(frame["cost_verdict"]) == {"not counted"}


def test_a_completed_trial_of_another_protocol_is_missing() -> None:
    view, runs = view_and_runs({"(2+1)D sequential": [0.5]})
    runs = runs.rename(columns={"metrics.final/1x1/top1": "metrics.final/2x3/top1"})
    row = row_of(view, runs, "(2+1)D sequential")
    assert row.accuracies[0].top1 is None
    assert row.accuracies[0].repeats[0].reason == "not evaluated with protocol 1x1"


def test_no_runs_at_all_give_a_table_of_missing_cells() -> None:
    view, runs = view_and_runs({"(2+1)D sequential": [None, None]})
    frame = table_frame(build_table(view, runs))
    assert len(frame) == 5
    assert frame["repeats_missing"].tolist() == [2] * 5
    assert frame["top1_percent_mean"].isna().all()
    # Files of a study without results have the types of one with results.
    assert {str(frame[name].dtype) for name in ("top1_percent_mean", "delta_p", "published_params_m")} == {
        "float64"
    }
    assert frame["delta_test"].dtype == "string"
