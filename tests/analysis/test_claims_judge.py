"""Verdicts on fabricated studies: what it takes for each of them, and what every reason has to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from study.analysis.claims.judge import judge_claims
from study.analysis.claims.loading import Claim
from study.analysis.claims.material import Floats, Material, PaperCosts, Untestable, group_coefficients
from study.analysis.claims.result import ClaimResult
from study.analysis.claims.spec import ClaimSpec
from study.analysis.costs import CountedCost
from study.analysis.evidence import Cell, Evidence
from study.analysis.factors import Factor
from study.analysis.lint.rounding import Interval
from study.analysis.published import load_published
from study.analysis.repeats import PlannedState, TrialRef
from study.analysis.statistics.hits import VideoHits
from study.analysis.tables import ExperimentView
from study.spec.loading import load_study
from tests import fabricated

Hits = Mapping[tuple[str, str, str], Sequence[int]]
"""Of experiment, row and data set: how many of 400 videos each repeat has right."""
VIDEOS = 400
COSTS = {"p=0": 23.865, "p=1/4": 21.978}


def claim(test: Mapping[str, Any], **fields: Any) -> Claim:
    extra = {name: fields.pop(name) for name in ("printed", "unbuilt") if name in fields}
    spec = ClaimSpec.model_validate({"name": "c", "says": "S.", "place": "P", "test": test} | fields)
    return Claim(spec, "P", "", "46.6 %", **extra)


def above(arm: str, *others: str, experiment: str = "table7", **fields: Any) -> Claim:
    return claim({"type": "accuracy", "experiment": experiment, "arm": arm, "above": others}, **fields)


def video_hits(right: int, name: str) -> VideoHits:
    videos = np.array([f"{name}{number:03}" for number in range(VIDEOS)])
    return VideoHits(videos, np.zeros(VIDEOS, np.int64), np.arange(VIDEOS) < right)


def fabricate(
    names: Sequence[str],
    hits: Hits,
    *,
    profile: str = "laptop",
    states: Mapping[tuple[str, int], tuple[PlannedState, str]] | None = None,
    **fields: Any,
) -> Material:
    """Three repeats; ``states`` says of (arm, repeat) that its trial is not done."""
    study = load_study(names, profile=profile, repeats=3, folder=fabricated.EXPERIMENTS)
    views = {}
    for experiment in study.experiments:
        trials = {
            arm.name: [
                TrialRef(n, f"{arm.name} {n}", *(states or {}).get((arm.name, n), ("done", "")))
                for n in range(3)
            ]
            for arm in experiment.arms
        }
        mine: dict[Cell, dict[int, VideoHits]] = {
            (row, data): {n: video_hits(right, data) for n, right in enumerate(counts)}
            for (name, row, data), counts in hits.items()
            if name == experiment.name
        }
        published = load_published(experiment.spec.published) if experiment.spec.published else None
        views[experiment.name] = ExperimentView(experiment, trials, published, evidence=Evidence(hits=mine))
    return Material(study.profile, views, **({"find_factors": no_factors, "find_costs": find_costs} | fields))


def no_factors(experiment: str, first: Cell, second: Cell) -> tuple[Factor, ...]:
    return ()


def find_costs(experiment: str, rows: Sequence[str]) -> PaperCosts:
    if missing := [row for row in rows if row not in COSTS]:
        raise Untestable(f"'{missing[0]}': not counted yet: run `uv run run_study.py cost {experiment}`.")
    return PaperCosts(174, {row: CountedCost(COSTS[row], 1.4 * COSTS[row]) for row in rows})


TABLE7: Hits = {
    ("table7", "(2+1)D sequential", ""): (200, 204, 196),
    ("table7", "(2+1)D parallel", ""): (202, 203, 198),
    ("table7", "STH merge", ""): (260, 263, 259),
    ("table7", "STH hybrid", ""): (330, 334, 329),
    ("table7", "STH hybrid+attention", ""): (332, 331, 333),
}


def judge(claims: Sequence[Claim], material: Material) -> list[ClaimResult]:
    return list(judge_claims(claims, material))


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


FIGURE7: Hits = {
    ("figure7", "TSN", "something_v1"): (100, 104, 96),
    ("figure7", "STH hybrid+attention", "something_v1"): (300, 302, 298),
    ("figure7", "TSN", "kinetics400"): (330, 334, 332),
    ("figure7", "STH hybrid+attention", "kinetics400"): (340, 338, 336),
}
GAIN = {"type": "gain", "experiment": "figure7", "arm": "STH hybrid+attention", "over": "TSN"}


def test_a_gain_is_larger_on_one_data_set() -> None:
    material = fabricate(["figure7"], FIGURE7)
    larger, smaller = judge(
        [
            claim(GAIN | {"larger_on": "something_v1", "than_on": "kinetics400"}),
            claim(GAIN | {"larger_on": "kinetics400", "than_on": "something_v1"}),
        ],
        material,
    )
    assert (larger.verdict, smaller.verdict) == ("supported", "contradicted")
    # Gains of 200 and 6 videos (10, 4 and 4) of 400: 50 and 1.5 points.
    assert larger.estimates[0].value == pytest.approx(48.5)
    assert (
        "The gains are +50.0 points on stand-in for Something-Something V1 and +1.5 points on stand-in for "
        "Kinetics-400." in larger.reason
    )
    assert "Kinetics-400: Synthetic appearance stands for it" in larger.scope


def coefficients(values: Mapping[str, Sequence[float]]) -> dict[str, Floats]:
    frame = pd.DataFrame(
        [
            {"trial_id": trial, "index": index, "alpha_t": value}
            for trial, blocks in values.items()
            for index, value in reversed(list(enumerate(blocks)))
        ]
    )
    return group_coefficients(frame)


def test_attention_grows_with_depth_and_small_differences_are_called_small() -> None:
    trend = claim({"type": "attention_trend", "experiment": "table7", "arm": "STH hybrid+attention"})

    def deeper_by(step: float) -> ClaimResult:
        blocks = {
            f"STH hybrid+attention {n}": (0.50, 0.50, 0.9, 0.5 + step * (20 + n), 0.5 + step * (20 + n))
            for n in range(3)
        }
        return judge([trend], fabricate(["table7"], {}, coefficients=coefficients(blocks)))[0]

    result = deeper_by(1e-4)
    assert result.verdict == "supported"
    # The middle block belongs to neither half; 0.0020 to 0.0022 by repeat.
    assert result.estimates[0].value == pytest.approx(0.0021)
    assert "On average deeper and shallower blocks have 0.5021 and 0.5000." in result.reason
    assert "That is a small difference" in result.reason
    # A tenth of it is as regular, and nothing that a verdict should rest on.
    result = deeper_by(1e-5)
    assert result.estimates[0].p_value is not None
    assert result.estimates[0].p_value < 0.01
    assert result.verdict == "inconclusive"
    assert "the coefficients have hardly left where they began" in result.reason
    none = judge([trend], fabricate(["table7"], {}))[0]
    assert none.verdict == "untestable"
    assert "recorded no attention coefficients" in none.reason


def test_attention_of_two_arms_is_compared_repeat_by_repeat() -> None:
    test = {"type": "attention_difference", "experiment": "figure6"}
    sides = {"p=1/4": 0.60, "p=1/2": 0.50, "p=1/8": 0.605}
    # Seeds move all arms of a repeat alike by much more than arms differ.
    blocks = {
        f"{arm} {n}": (level + 0.1 * n + wobble * n,) * 4
        for (arm, level), wobble in zip(sides.items(), (0.0, 0.001, -0.005), strict=True)
        for n in range(3)
    }
    material = fabricate(["figure6"], {}, coefficients=coefficients(blocks))
    results = judge(
        [
            claim(test | {"higher": {"arm": "p=1/4"}, "lower": {"arm": "p=1/2"}}),
            claim(test | {"higher": {"arm": "p=1/2"}, "lower": {"arm": "p=1/4"}}),
            claim(test | {"higher": {"arm": "p=1/8"}, "lower": {"arm": "p=1/4"}}),
        ],
        material,
    )
    assert [result.verdict for result in results] == ["supported", "contradicted", "inconclusive"]
    assert results[0].estimates[0].value == pytest.approx(0.099)
    assert "p=1/4 and p=1/2 have 0.700 and 0.601" in results[0].reason
    fused = claim(
        {
            "type": "attention_difference",
            "experiment": "figure8",
            "higher": {"arm": "RGB+Flow"},
            "lower": {"arm": "RGB"},
        }
    )
    result = judge([fused], fabricate(["figure8"], {}))[0]
    assert "'RGB+Flow' fuses scores, so it has no coefficients of its own." in result.reason


def test_costs_are_counted_and_right_or_wrong() -> None:
    def cost(**fields: Any) -> dict[str, Any]:
        return {"type": "cost", "experiment": "table6", "metric": "params_m"} | fields

    material = fabricate(["table7"], {})
    ratio = {"matter": "value", "cells": [["a", "b", "c"]] * 2}
    claims = [
        claim(cost(arm="p=1/4", below=["p=0"])),
        claim(cost(descending=["p=1/4", "p=0"])),
        # 21.978 / 23.865 = 0.92093
        claim(cost(arm="p=1/4", ratio_to="p=0"), printed=Interval(0.92, 0.921), **ratio),
        claim(cost(arm="p=1/4", ratio_to="p=0"), printed=Interval(0.93, 0.94), **ratio),
        claim(cost(arm="p=1/2", below=["p=0"])),
    ]
    results = judge(claims, material)
    assert [result.verdict for result in results] == [
        "supported",
        "contradicted",
        "supported",
        "contradicted",
        "untestable",
    ]
    assert results[0].estimates[0].value == pytest.approx(0.92093, abs=1e-5)
    assert "21.978 against 23.865 M, with 174 classes." in results[0].reason
    assert "Counted at the paper's scale, not measured." in results[0].reason
    assert results[0].estimates[0].p_value is None
    assert "not counted yet: run `uv run run_study.py cost table6`" in results[4].reason
    assert not results[0].scope
