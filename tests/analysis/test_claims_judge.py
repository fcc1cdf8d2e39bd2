"""Verdicts on fabricated studies: what it takes for each of them, and what every reason has to say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from study.analysis.claims.loading import Claim
from study.analysis.evidence import Cell
from study.analysis.factors import Factor
from study.analysis.lint.rounding import Interval
from study.analysis.repeats import PlannedState
from study.spec.loading import load_study
from tests import fabricated
from tests.analysis.claims_material import TABLE7, above, claim, fabricate, judge


def test_supported_contradicted_and_inconclusive() -> None:
    material = fabricate(["table7"], TABLE7)
    clear, wrong, open_, order = judge(
        [
            above("STH hybrid", "(2+1)D sequential", "(2+1)D parallel"),
            above("STH merge", "(2+1)D sequential", "STH hybrid"),
            above("STH hybrid", "STH merge", "STH hybrid+attention"),
            claim({"type": "accuracy", "experiment": "table7", "ascending": [row for _, row, _ in TABLE7]}),
        ],
        material,
    )
    assert [one.verdict for one in (clear, wrong, open_, order)] == [
        "supported",
        "contradicted",
        "inconclusive",
        "inconclusive",
    ]
    # (330 - 200 + 334 - 204 + 329 - 196) / 3 of 400: 131 videos, 32.75 points.
    assert clear.estimates[0].value == pytest.approx(32.75)
    assert clear.estimates[0].label == "STH hybrid minus (2+1)D sequential, top-1"
    assert clear.reason.startswith("STH hybrid minus (2+1)D sequential, top-1: p = ")
    assert "corrected for 9 comparisons" in clear.reason
    assert (
        "repeats would find a difference of this size" in open_.reason
        or "no number of repeats" in open_.reason
    )
    assert "not the paper's" not in clear.reason
    assert clear.scope.startswith(
        "A verdict on the laptop study, not on the paper's: Two CPU cores; a small ResNet"
    )
    assert "Videos: motion." in clear.scope
    assert len(order.estimates) == 4


def test_one_correction_covers_a_table_and_a_shared_comparison_counts_once() -> None:
    material = fabricate(["table7"], TABLE7)
    alone = judge([above("STH merge", "(2+1)D parallel")], material)[0].estimates[0]
    assert alone.p_holm == alone.p_value
    # The same comparison in two claims, and one more that is open: two tests in all, so the smaller p-value doubles.
    claims = [above("STH merge", "(2+1)D parallel")] * 2 + [
        above("STH hybrid+attention", "STH hybrid", name="d")
    ]
    results = judge(claims, material)
    assert alone.p_value is not None
    assert [result.estimates[0].p_holm for result in results[:2]] == [pytest.approx(2 * alone.p_value)] * 2
    # A difference that is clear by itself is not, as one of several.
    border = dict(TABLE7) | {("table7", "STH merge", ""): (215, 217, 213)}
    first = judge([above("STH merge", "(2+1)D sequential")], fabricate(["table7"], border))[0]
    assert first.verdict == "supported"
    assert first.estimates[0].p_value is not None
    assert first.estimates[0].p_value > 0.0005
    alike = [("STH hybrid", "STH hybrid+attention"), ("(2+1)D sequential", "(2+1)D parallel")]
    many = [
        above("STH merge", "(2+1)D sequential"),
        *(above(*pair, name=f"n{number}") for number, pair in enumerate(alike)),
        *(above(*reversed(pair), name=f"m{number}") for number, pair in enumerate(alike)),
    ]
    corrected = judge(many, fabricate(["table7"], border))[0].estimates[0]
    assert corrected.p_holm is not None
    assert corrected.p_holm > first.estimates[0].p_value
    # Repeats that scatter: p lies between 0.05 / 5 and 0.05, so it is clear by itself only.
    near = dict(TABLE7) | {("table7", "STH merge", ""): (214, 216, 216)}
    single = judge(many[:1], fabricate(["table7"], near))[0]
    assert single.verdict == "supported"
    assert single.estimates[0].p_value is not None
    assert 0.01 < single.estimates[0].p_value < 0.05
    result = judge(many, fabricate(["table7"], near))[0]
    assert result.verdict == "inconclusive"
    assert "clear by itself, but not as one of the 5 comparisons" in result.reason


def test_comparisons_of_another_table_are_another_family() -> None:
    both = dict(TABLE7) | {
        ("table8", "Fixed", ""): (200, 204, 202),
        ("table8", "Dilated", ""): (203, 205, 204),
    }
    other = claim(
        {"type": "accuracy", "experiment": "table8", "arm": "Dilated", "above": ["Fixed"]}, name="other"
    )
    here = above("STH merge", "(2+1)D parallel")
    first, second = judge([here, other], fabricate(["table7", "table8"], both))
    for result in (first, second):
        assert result.estimates[0].p_holm == result.estimates[0].p_value


def test_fewer_than_three_repeats_are_values_and_no_verdict() -> None:
    one, two = ({cell: counts[:n] for cell, counts in TABLE7.items()} for n in (1, 2))
    waiting: dict[tuple[str, int], tuple[PlannedState, str]] = {
        ("STH hybrid", n): ("missing", "not run yet") for n in (1, 2)
    }
    result = judge([above("STH hybrid", "STH merge")], fabricate(["table7"], one, states=waiting))[0]
    assert result.verdict == "inconclusive"
    assert result.estimates[0].value == pytest.approx(17.5)
    assert result.reason.startswith("+17.5 in repeat 0; not judged")
    assert "one repeat says nothing about other seeds" in result.reason
    assert "Not there: STH hybrid: repeats 1, 2 have no result: not run yet" in result.reason
    estimate = result.estimates[0]
    assert (estimate.low, estimate.high, estimate.p_value, estimate.p_holm) == (None, None, None, None)
    result = judge([above("STH hybrid", "STH merge")], fabricate(["table7"], two))[0]
    assert result.verdict == "inconclusive"
    assert "two repeats say too little about other seeds" in result.reason


def test_confounded_and_stale_trials_are_named_and_not_judged() -> None:
    def differ(experiment: str, first: Cell, second: Cell) -> tuple[Factor, ...]:
        return (
            (Factor("device", "device", "Some GPU", "cpu"),) if "STH merge" in (first[0], second[0]) else ()
        )

    confounded = fabricate(["table7"], TABLE7, find_factors=differ)
    first, second = judge(
        [above("STH hybrid", "STH merge"), above("STH hybrid", "(2+1)D parallel")], confounded
    )
    assert (first.verdict, second.verdict) == ("inconclusive", "supported")
    assert "confounded: the trials also differ in device: Some GPU against cpu" in first.reason
    # What is not judged takes no part in the correction.
    assert first.estimates[0].p_value is None
    assert second.estimates[0].p_holm == second.estimates[0].p_value

    changed: dict[tuple[str, int], tuple[PlannedState, str]] = {
        ("STH merge", 1): ("stale", "study.x: changed")
    }
    result = judge([above("STH hybrid", "STH merge")], fabricate(["table7"], TABLE7, states=changed))[0]
    assert result.verdict == "inconclusive"
    assert "stale trials (STH merge, repeats 1: study.x: changed)" in result.reason


def test_what_has_no_trials_is_untestable_and_says_why() -> None:
    failed: dict[tuple[str, int], tuple[PlannedState, str]] = {
        ("STH merge", n): ("failed", "OutOfMemoryError: 12 GiB wanted") for n in range(3)
    }
    gone = {cell: counts for cell, counts in TABLE7.items() if cell[1] != "STH merge"}
    material = fabricate(["table7"], gone, states=failed)
    claims = [
        above("STH hybrid", "STH merge"),
        above("STH 8f", "TSM 8f", experiment="table2"),
        above("A", "B", experiment="table7"),
        claim(
            {"type": "speed", "experiment": "table9", "arm": "STH 8f", "over": "I3D"},
            matter="value",
            cells=[["t", "r", "c"]] * 2,
        ),
        above("STH 8f", "GCN", experiment="table2", unbuilt={"GCN": "No code"}),
    ]
    results = judge(claims, material)
    assert {result.verdict for result in results} == {"untestable"}
    reasons = [result.reason for result in results]
    assert "STH merge: repeats 0, 1, 2 failed: OutOfMemoryError: 12 GiB wanted" in reasons[0]
    assert reasons[1] == (
        "'table2' is not part of this report: `uv run run_study.py launch table2` trains what it needs."
    )
    assert reasons[2] == "'table7' has no row 'A' in this report."
    assert reasons[3].startswith("No speed is measured")
    assert reasons[4] == "'GCN' is not built: No code."
    assert not any(result.estimates or result.scope for result in results)
    # Where one of two comparisons cannot be made, the other one is not enough.
    half = judge([above("STH hybrid", "(2+1)D parallel", "STH merge")], material)[0]
    assert half.verdict == "inconclusive"
    assert "OutOfMemoryError" in half.reason


PAPER = {("table6", "p=1/8", ""): (340, 342, 341), ("table6", "p=0", ""): (232, 234, 233)}
"""108 of 400 videos: 27 points."""


def test_values_are_judged_at_the_papers_scale_alone() -> None:
    def value(low: float, high: float) -> Claim:
        cells = [["table6", "1/8", "top1"], ["table6", "0", "top1"]]
        wide = {
            "type": "accuracy",
            "experiment": "table6",
            "arm": "p=1/8",
            "above": ["p=0"],
            "tolerance_points": 8.0,
        }
        return claim(wide, matter="value", cells=cells, printed=Interval(low, high))

    laptop = judge([value(26.8, 27.0)], fabricate(["table6"], PAPER))[0]
    assert laptop.verdict == "untestable"
    assert "this is the laptop study. `uv run run_study.py launch table6 --profile paper`" in laptop.reason
    at_paper = fabricate(["table6"], PAPER, profile="paper")
    same, other = judge([value(26.8, 27.0), value(46.8, 47.0)], at_paper)
    # 27 points, give or take 4.4: within 18.8 to 35.0, and clearly below 38.8 to 55.0.
    assert same.verdict == "supported"
    assert other.verdict == "contradicted"
    assert "claimed: 18.80 to 35.00" in same.reason
    assert same.scope.startswith("Profile paper: ResNet-50")
    changed = replace(at_paper, overrides=("data.root=/somewhere", "training.epochs=3"))
    refused = judge([value(26.8, 27.0)], changed)[0]
    assert refused.verdict == "untestable"
    assert "settings were changed: training.epochs=3" in refused.reason
    study = load_study(
        ["table6"],
        profile="paper",
        repeats=3,
        folder=fabricated.EXPERIMENTS,
        overrides=["data.type=something_v2", "data.root=videos"],
    )
    foreign = replace(at_paper.views["table6"], experiment=study.experiments[0])
    refused = judge([value(26.8, 27.0)], replace(at_paper, views={"table6": foreign}))[0]
    assert "the videos are of the type 'something_v2'" in refused.reason
