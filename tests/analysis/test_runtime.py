"""Ratios of speeds, and when two networks are ranked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from study.analysis.published import load_published
from study.analysis.runtime import (
    LEAST_ROUNDS,
    SpeedRatio,
    build_runtime_table,
    choose_table,
    compare_speeds,
    rank_arms,
    select_runtimes,
    write_ranking,
)
from study.spec.runtime import Quartiles, RuntimeRecord
from tests.fabricated_runtime import WOBBLE, fabricate_record, load, steady

TABLE9 = load()
LABELS = {row.name: row.label for row in TABLE9.rows}


def test_ratios_are_paired_round_by_round() -> None:
    # A machine that slows down tenfold and back does so to both; unpaired quartiles would be far apart.
    machine = [1.0, 10.0, 2.0, 7.0, 1.0, 5.0, 3.0, 9.0, 1.0, 4.0, 6.0]
    record = fabricate_record(
        TABLE9, {"TSM 8f": [0.2 * one for one in machine], "STH 8f": [0.25 * one for one in machine]}
    )
    found = compare_speeds(record, "STH 8f", "TSM 8f")
    assert found is not None
    assert [found.ratio.q1, found.ratio.median, found.ratio.q3] == pytest.approx([0.8, 0.8, 0.8])
    assert found.order == "slower"
    back = compare_speeds(record, "TSM 8f", "STH 8f")
    assert back is not None
    assert back.order == "faster"
    assert back.ratio.median == pytest.approx(1.25)


def test_a_video_is_as_many_clips_as_its_published_cost_covers() -> None:
    # The paper's I3D sees 64 frames: two clips of 32. At the same time for a pass it is half as fast.
    record = fabricate_record(TABLE9, {"TSM 8f": [1.0] * 11, "I3D": [1.0] * 11}, batch=4)
    videos = {arm.arm: arm.videos_per_s.median for arm in record.arms if arm.videos_per_s}
    assert videos == {"TSM 8f": 4.0, "I3D": 2.0}
    found = compare_speeds(record, "I3D", "TSM 8f")
    assert found is not None
    assert found.ratio.median == 0.5


def test_what_lies_within_the_spread_is_not_ranked() -> None:
    assert SpeedRatio(Quartiles(q1=0.98, median=1.01, q3=1.03), 21).order == "within the spread"
    assert SpeedRatio(Quartiles(q1=1.0, median=1.01, q3=1.03), 21).order == "within the spread"
    assert SpeedRatio(Quartiles(q1=1.001, median=1.01, q3=1.03), 21).order == "faster"
    assert SpeedRatio(Quartiles(q1=0.97, median=0.98, q3=0.999), 21).order == "slower"
    assert SpeedRatio(Quartiles(q1=1.5, median=1.6, q3=1.7), LEAST_ROUNDS - 1).order == "too few rounds"


def test_equal_networks_are_ranked_as_rarely_as_is_said() -> None:
    generator = np.random.default_rng(0)
    for rounds, expected in ((5, 0.37), (11, 0.11), (21, 0.026), (31, 0.005)):
        logs = generator.standard_normal((20000, rounds))
        low, high = np.quantile(logs, [0.25, 0.75], axis=1)
        share = float(((low > 0) | (high < 0)).mean())
        assert share == pytest.approx(expected, abs=0.01)


def test_tiers_hold_what_the_spread_does_not_tell_apart() -> None:
    near = [0.5 * one * (1.03 if number % 2 else 0.97) for number, one in enumerate(WOBBLE)]
    record = fabricate_record(
        TABLE9,
        {
            "TSM 8f": steady(0.5),
            "STH 8f": near,
            "STH 16f": steady(1.0),
            "ECO 16f": steady(0.2),
            "I3D": "no memory",
        },
    )
    tiers = rank_arms(record, list(LABELS))
    assert [set(tier) for tier in tiers] == [{"ECO 16f"}, {"TSM 8f", "STH 8f"}, {"STH 16f"}]
    text = write_ranking(record, LABELS)
    assert text.startswith("Fastest first: ECO 16f; ")
    assert text.endswith(" (within the spread); STH 16f.")
    assert "I3D" not in text
    two = fabricate_record(TABLE9, {"TSM 8f": steady(0.5), "STH 8f": near})
    assert write_ranking(two, LABELS).startswith("No order: ")


def test_an_arm_between_two_others_keeps_them_in_one_tier() -> None:
    # A and C are told apart, B from neither: "A before C" would be right, and a sentence of tiers cannot say it.
    steps = [0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 0.9, 1.1, 1.0]
    record = fabricate_record(
        TABLE9, {"TSM 8f": [1.0] * 11, "STH 8f": [1.01 * one for one in steps], "STH 16f": [1.02] * 11}
    )
    compared = compare_speeds(record, "TSM 8f", "STH 16f")
    assert compared is not None
    assert compared.order == "faster"
    assert len(rank_arms(record, list(LABELS))) == 1


def test_a_tier_is_faster_than_all_that_follow_and_not_than_the_next_alone() -> None:
    # A is faster than B in every round; C is slower than both by its median, but not told apart from A.
    noisy = [0.9, 1.3, 0.9, 1.3, 0.9, 1.3, 0.9, 1.3, 0.9, 1.3, 1.3]
    record = fabricate_record(TABLE9, {"TSM 8f": [1.0] * 11, "STH 8f": [1.01] * 11, "STH 16f": noisy})
    assert len(rank_arms(record, list(LABELS))) == 1


def test_few_rounds_give_no_order() -> None:
    record = fabricate_record(TABLE9, {"TSM 8f": [0.1] * 3, "STH 8f": [0.9] * 3})
    assert write_ranking(record, LABELS) == "No order: 3 rounds, and an order needs 11."


def record_at(started_at: float, **changed: object) -> RuntimeRecord:
    times = {"TSM 8f": steady(0.5), "STH 8f": steady(0.6)}
    return fabricate_record(TABLE9, times, started_at=started_at, **changed)  # type: ignore[arg-type]


def test_the_newest_of_the_same_conditions_is_shown() -> None:
    old, new = record_at(10.0), record_at(20.0)
    other, gpu = record_at(5.0, batch=8), record_at(1.0, device="cuda: NVIDIA H200", batch=16)
    training = record_at(2.0, mode="training")
    chosen = select_runtimes(TABLE9, [new, old, other, gpu, training])
    assert chosen[0] == gpu
    assert {record.runtime_id for record in chosen} == {
        record.runtime_id for record in (new, other, gpu, training)
    }
    # Of another scale, and of another experiment.
    assert select_runtimes(load(profile="paper"), [new]) == []
    assert select_runtimes(load("table7"), [new]) == []
    tables = [build_runtime_table(TABLE9, record) for record in chosen]
    best = choose_table(tables)
    assert best is not None
    assert best.record == gpu
    slow = choose_table([one for one in tables if one.record != gpu])
    assert slow is not None
    assert slow.record == new
    assert choose_table([one for one in tables if one.record == training]) is None


def test_a_look_at_few_arms_does_not_hide_a_session_of_more() -> None:
    full = fabricate_record(
        TABLE9, {name: steady(0.5) for name in ("TSM 8f", "STH 8f", "I3D")}, started_at=1.0
    )
    few = fabricate_record(TABLE9, {name: steady(0.4) for name in ("TSM 8f", "STH 8f")}, started_at=2.0)
    again = fabricate_record(
        TABLE9, {name: steady(0.6) for name in ("TSM 8f", "STH 8f", "I3D")}, started_at=3.0
    )
    assert select_runtimes(TABLE9, [few, full]) == [full]
    assert select_runtimes(TABLE9, [again, few, full]) == [again]


def test_rows_say_why_they_have_no_times() -> None:
    times = {"TSM 8f": steady(0.5), "STH 8f": steady(0.6), "I3D": "OutOfMemoryError: 96 GiB"}
    record = fabricate_record(TABLE9, times, settings={"STH 8f": "0" * 16})
    table = build_runtime_table(TABLE9, record)
    reasons = {row.name: row.reason for row in table.rows}
    assert reasons["TSM 8f"] == ""
    assert reasons["STH 8f"] == "Measured with other settings than the row has now."
    assert reasons["I3D"] == "OutOfMemoryError: 96 GiB"
    assert reasons["STH 16f"] == "Not measured."
    assert reasons["ABM-A-in"].startswith("Not built: ")
    assert all(row.ratio is None for row in table.rows)


def test_a_change_of_code_makes_a_time_stale() -> None:
    record = record_at(1.0)
    fresh = build_runtime_table(TABLE9, record, codes={"TSM 8f": "c0de", "STH 8f": "0ther"})
    assert {row.name for row in fresh.rows if row.stale} == {"STH 8f"}


def test_printed_ratios_are_to_the_same_row() -> None:
    published = load_published("table9")
    table = build_runtime_table(TABLE9, record_at(1.0), published=published)
    sth = table.row("STH 8f")
    assert sth is not None
    assert sth.printed == 68.8
    assert sth.printed_ratio is not None
    assert (sth.printed_ratio.low, sth.printed_ratio.high) == pytest.approx((68.75 / 80.45, 68.85 / 80.35))
    turned = build_runtime_table(TABLE9, record_at(1.0, against="STH 8f"), published=published)
    tsm = turned.row("TSM 8f")
    assert tsm is not None
    assert tsm.printed_ratio is not None
    assert tsm.printed_ratio.low > 1
    assert tsm.ratio is not None
    assert tsm.ratio.ratio.median == pytest.approx(1.2)


def test_speeds_themselves_are_compared_on_the_papers_gpu_alone() -> None:
    def is_papers(**changed: object) -> bool:
        return build_runtime_table(TABLE9, record_at(1.0, **changed)).is_papers_gpu

    papers = "cuda: NVIDIA GeForce GTX 1080 Ti"
    assert is_papers(device=papers, batch=16)
    assert not is_papers(device=papers, batch=8)
    assert not is_papers(device=papers, batch=16, mode="training")
    assert not is_papers(device="cuda: NVIDIA H200", batch=16)
    assert not replace(build_runtime_table(TABLE9, None)).is_papers_gpu
