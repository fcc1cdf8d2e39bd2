"""Verdicts on speeds: from quartiles of paired ratios, and with the machine that they are a verdict on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from study.analysis.claims.material import Untestable
from study.analysis.claims.result import ClaimResult
from study.analysis.claims.speeds import describe_speed
from study.analysis.lint.rounding import Interval
from study.analysis.runtime import build_runtime_table
from study.reporting.claims import show_estimate
from tests.analysis.claims_material import claim, fabricate, judge
from tests.fabricated_runtime import WOBBLE, fabricate_record, load, steady

SLOWER_THAN_TSM = {"type": "speed", "experiment": "table9", "arm": "TSM 8f", "over": "STH 8f"}
CELLS = [["table9", "STH 8f", "videos_per_s"], ["table9", "TSM 8f", "videos_per_s"]]
NEAR = [0.5 * one * (1.03 if number % 2 else 0.97) for number, one in enumerate(WOBBLE)]


def decide(
    test: dict[str, Any],
    times: dict[str, Sequence[float] | str],
    *,
    profile: str = "laptop",
    codes: dict[str, str] | None = None,
    device: str = "cpu: Some CPU",
    batch: int = 2,
    **fields: Any,
) -> ClaimResult:
    experiment = load(profile=profile)
    table = build_runtime_table(
        experiment, fabricate_record(experiment, times, device=device, batch=batch), codes=codes
    )
    material = fabricate(
        ["table9"], {}, profile=profile, find_speed=lambda name, arm, over: describe_speed(table, arm, over)
    )
    return judge([claim(test, **fields)], material)[0]


def test_quartiles_on_one_side_decide_and_the_machine_is_named() -> None:
    result = decide(SLOWER_THAN_TSM, {"TSM 8f": steady(0.5), "STH 8f": steady(0.6)})
    assert result.verdict == "supported"
    assert result.scope == (
        "Speeds: a verdict on a CPU (cpu: Some CPU): forward pass of 2 clips in fp32, 1 thread, process CPU time; "
        "not on the paper's GTX 1080 Ti at batch size 16."
    )
    assert (
        show_estimate(result.estimates[0]) == "TSM 8f over STH 8f, videos in a second: 1.2 times [1.2, 1.2]"
    )
    assert result.reason == "Medians of 11 rounds: 4 against 3.33 videos a second."
    assert result.estimates[0].level == 0.5
    turned = decide(SLOWER_THAN_TSM, {"TSM 8f": steady(0.6), "STH 8f": steady(0.5)})
    assert turned.verdict == "contradicted"
    papers = decide(
        SLOWER_THAN_TSM,
        {"TSM 8f": steady(0.5), "STH 8f": steady(0.6)},
        device="cuda: NVIDIA GeForce GTX 1080 Ti",
        batch=16,
    )
    assert "not on the paper's" not in papers.scope


def test_what_lies_within_the_spread_decides_nothing() -> None:
    result = decide(SLOWER_THAN_TSM, {"TSM 8f": steady(0.5), "STH 8f": NEAR})
    assert result.verdict == "inconclusive"
    assert "within the spread" in result.reason


def test_few_rounds_and_changed_code_decide_nothing() -> None:
    few = decide(SLOWER_THAN_TSM, {"TSM 8f": [0.5] * 3, "STH 8f": [0.6] * 3})
    assert few.verdict == "inconclusive"
    assert (
        few.reason.startswith("Not judged: 3 rounds")
        or "not judged: 3 rounds are fewer than 11" in few.reason
    )
    times: dict[str, Sequence[float] | str] = {"TSM 8f": steady(0.5), "STH 8f": steady(0.6)}
    stale = decide(SLOWER_THAN_TSM, times, codes={"TSM 8f": "c0de", "STH 8f": "0ther"})
    assert stale.verdict == "inconclusive"
    assert "not judged: measured with code that has changed since (STH 8f)" in stale.reason


def test_how_much_faster_is_judged_at_the_papers_scale_with_a_tolerance() -> None:
    test = {"type": "speed", "experiment": "table9", "arm": "STH 8f", "over": "I3D", "tolerance": 0.05}
    # A video of I3D is two clips, so equal times for a pass are a ratio of 2.
    times: dict[str, Sequence[float] | str] = {
        "TSM 8f": steady(0.5),
        "STH 8f": steady(0.1),
        "I3D": steady(0.5),
    }
    fields: dict[str, Any] = {"matter": "value", "cells": CELLS}
    right = decide(test, times, profile="paper", printed=Interval(9.9, 10.1), **fields)
    assert right.verdict == "supported"
    assert "claimed: 9.405 to 10.61, the print and the tolerance" in right.reason
    wrong = decide(test, times, profile="paper", printed=Interval(10.65, 10.75), **fields)
    assert wrong.verdict == "contradicted"
    small = decide(test, times, profile="laptop", printed=Interval(9.9, 10.1), **fields)
    assert small.verdict == "untestable"
    assert "`uv run run_study.py bench table9` measures it" in small.reason


def test_an_arm_without_times_is_untestable_and_says_why() -> None:
    result = decide(SLOWER_THAN_TSM, {"TSM 8f": steady(0.5), "STH 8f": "OutOfMemoryError: 96 GiB"})
    assert result.verdict == "untestable"
    assert result.reason == "No speed of 'STH 8f' is measured: OutOfMemoryError: 96 GiB."
    assert result.scope == ""

    def find_none(name: str, arm: str, over: str) -> Any:
        raise Untestable("No speed is measured: `bench`.")

    material = fabricate(["table9"], {}, find_speed=find_none)
    assert judge([claim(SLOWER_THAN_TSM)], material)[0].reason == "No speed is measured: `bench`."
