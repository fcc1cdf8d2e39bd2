"""Verdicts on gains between data sets, attention coefficients and counted costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytest

from study.analysis.claims.material import Floats, group_coefficients
from study.analysis.claims.result import ClaimResult
from study.analysis.lint.rounding import Interval
from tests.analysis.claims_material import Hits, claim, fabricate, judge

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
