"""Deltas, tests and intervals against hand arithmetic, enumeration and other libraries' answers."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from study.analysis.statistics.bootstrap import bootstrap_interval, resample_means
from study.analysis.statistics.deltas import Delta, compare, correct_deltas
from study.analysis.statistics.hits import PairedHits
from study.analysis.statistics.intervals import half_width, tail
from study.analysis.statistics.power import Design, count_repeats_needed
from study.analysis.statistics.significance import correct_holm, exchange_arms
from study.analysis.statistics.variance import Layout, analyze


def pair(arm: npt.ArrayLike, baseline: npt.ArrayLike) -> PairedHits:
    one, other = np.atleast_2d(np.array(arm, bool)), np.atleast_2d(np.array(baseline, bool))
    return PairedHits(tuple(range(len(one))), np.arange(one.shape[1]).astype(str), one, other)


def pair_counts(both: int, only_arm: int, only_baseline: int, neither: int) -> PairedHits:
    counts = (both, only_arm, only_baseline, neither)
    return pair(np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts))


def random_pair(repeats: int, videos: int, seed: int = 0) -> PairedHits:
    generator = np.random.default_rng(seed)
    easy = generator.random(videos)
    rates = np.clip(easy + generator.normal(0, 0.1, (2, repeats, 1)), 0, 1)
    right = generator.random((2, repeats, videos)) < rates
    return pair(right[0], right[1])


def test_one_repeat_is_mcnemar_and_the_mean_difference() -> None:
    delta = compare(pair_counts(40, 12, 3, 45))
    assert delta.points == pytest.approx(9.0)
    # Twice the chance of 3 or fewer heads in 15 throws: 2 (1 + 15 + 105 + 455) / 2^15.
    assert delta.p_value == pytest.approx(2 * 576 / 32768)
    # Differences: 12 ones, 3 minus ones, 85 zeros; variance (15 - 100 * 0.09^2) / 99, half a video each way on top.
    sigma = math.sqrt((15 - 100 * 0.0081) / 99 / 100 + 1 / 100**2)
    width = 1.9842 * sigma * 100  # t with 99 degrees of freedom
    assert (delta.low, delta.high) == pytest.approx((9 - width, 9 + width), abs=1e-3)
    assert (delta.varies, delta.test, delta.repeats_needed) == ("videos", "McNemar, exact", None)
    assert delta.by_repeat == pytest.approx((9.0,))
    # z of 0.975 plus z of 0.8, times the standard error; a little more with Student's t.
    assert delta.detectable == pytest.approx((1.95996 + 0.84162) * sigma * 100, rel=0.02)


def test_two_repeats_have_values_but_no_inference_over_repeats() -> None:
    delta = compare(random_pair(2, 60))
    assert delta.varies == "videos"
    assert len(delta.by_repeat) == 2
    assert delta.repeats_needed is None
    assert (delta.low, delta.high, delta.p_value) == (
        delta.over_videos.low,
        delta.over_videos.high,
        delta.over_videos.p_value,
    )


def test_three_repeats_vary_both_and_are_wider_than_over_videos() -> None:
    delta = compare(random_pair(3, 200))
    assert delta.varies == "videos and repeats"
    assert delta.high - delta.low > delta.over_videos.high - delta.over_videos.low
    assert delta.over_videos.test.startswith("exchange")
    assert delta.points == pytest.approx(np.mean(delta.by_repeat))


@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_exchanging_arms_is_counted_out(repeats: int) -> None:
    hits = random_pair(repeats, 9, seed=repeats)
    totals = hits.differences.sum(axis=0)
    sums = np.array([np.dot(signs, totals) for signs in itertools.product((-1, 1), repeat=9)])
    assert exchange_arms(hits) == pytest.approx(np.mean(np.abs(sums) >= abs(totals.sum()) - 1e-9))


def test_mean_squares_are_those_of_an_analysis_of_variance() -> None:
    differences = random_pair(4, 30).differences
    frame = pd.DataFrame(
        [(r, v, differences[r, v]) for r in range(4) for v in range(30)], columns=["r", "v", "d"]
    )
    table = anova_lm(ols("d ~ C(r) + C(v)", frame).fit())
    layout = analyze(differences)
    squares = (layout.of_repeats, layout.of_videos, layout.of_rest)
    assert squares == pytest.approx(tuple(table["mean_sq"]))
    assert layout.mean == pytest.approx(frame["d"].mean())


def test_variance_of_the_mean_adds_videos_and_repeats() -> None:
    layout = Layout(repeats=3, videos=10, mean=0.1, of_videos=0.9, of_repeats=0.5, of_rest=0.3)
    assert layout.variance_between_videos == pytest.approx((0.9 - 0.3) / 30 + 0.01)
    assert layout.variance_over_repeats == pytest.approx(0.5 / 30)
    assert layout.variance_over_videos == pytest.approx(0.9 / 30 + 0.01)
    calm = Layout(repeats=3, videos=10, mean=0.1, of_videos=0.2, of_repeats=0.1, of_rest=0.3)
    assert calm.variance_between_videos == pytest.approx(0.01)
    assert calm.planned_variance_of_one_repeat == pytest.approx(0.03)


@pytest.mark.parametrize("repeats", [3, 5])
def test_interval_is_normal_without_and_student_with_repeats_alone(repeats: int) -> None:
    assert half_width(4.0, 0.0, repeats, 0.05)[0] == pytest.approx(2 * 1.959964, rel=1e-5)
    student = {3: 4.302653, 5: 2.776445}[repeats]
    assert half_width(1e-12, 1.0, repeats, 0.05)[0] == pytest.approx(student, rel=1e-4)
    # The 2.5 % point of a normal plus a Student number, by drawing them.
    generator = np.random.default_rng(0)
    drawn = generator.normal(0, 1, 400_000) + 0.7 * generator.standard_t(repeats - 1, 400_000)
    expected = np.quantile(np.abs(drawn), 0.95)
    assert half_width(1.0, 0.49, repeats, 0.05)[0] == pytest.approx(expected, rel=0.01)


def test_interval_and_test_never_contradict_each_other() -> None:
    width = half_width(0.3, np.array([0.1, 2.0]), 3, 0.05)
    assert tail(width[0], 0.3, 0.1, 3) == pytest.approx(0.05)
    assert tail(width[1], 0.3, 2.0, 3) == pytest.approx(0.05)
    assert tail(0.0, 0.3, 0.1, 3) == pytest.approx(1.0)
    # Far out the tail is Student's with two degrees of freedom.
    assert tail(300.0, 1e-9, 1.0, 3) == pytest.approx(2 * stats.t.sf(300.0, 2), rel=1e-3)


def test_arms_that_agree_on_every_video_are_not_known_to_be_equal() -> None:
    delta = compare(pair(np.ones((3, 40)), np.ones((3, 40))))
    assert (delta.points, delta.repeats_needed) == (0.0, math.inf)
    assert delta.p_value == pytest.approx(1.0)
    assert delta.high == pytest.approx(100 * 1.96 / 40, rel=0.01)
    opposite = compare(pair(np.ones((1, 40)), np.zeros((1, 40))))
    assert (opposite.points, opposite.high) == (100.0, 100.0)
    assert opposite.low < 99


def test_sign_turns_with_the_arms() -> None:
    hits = random_pair(3, 100)
    turned = PairedHits(hits.repeats, hits.video_ids, hits.baseline, hits.arm)
    one, other = compare(hits), compare(turned)
    assert other.points == pytest.approx(-one.points)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.p_value, other.detectable) == pytest.approx((one.p_value, one.detectable))


def test_bootstrap_by_patterns_is_the_bootstrap_by_videos() -> None:
    differences = random_pair(3, 80).differences
    generator = np.random.default_rng(1)
    plain = []
    for _ in range(6000):
        rows, columns = generator.integers(0, 3, 3), generator.integers(0, 80, 80)
        plain.append(differences[np.ix_(rows, columns)].mean())
    fast = resample_means(differences, draws=20000)
    assert fast.std() == pytest.approx(np.std(plain), rel=0.04)
    assert fast.mean() == pytest.approx(differences.mean(), abs=0.002)


def test_bootstrap_of_two_repeats_leaves_them_as_they_are() -> None:
    # All videos alike within a repeat: only resampled repeats could vary.
    hits = pair([[1] * 20, [0] * 20], np.zeros((2, 20)))
    assert bootstrap_interval(hits) == (50.0, 50.0)


def test_the_same_input_gives_the_same_delta() -> None:
    assert compare(random_pair(3, 100)) == compare(random_pair(3, 100))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_impossible_levels_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        compare(random_pair(1, 10), level=level)


def test_one_video_is_not_enough() -> None:
    with pytest.raises(ValueError, match="1 video is not enough"):
        compare(pair([[1], [1], [0]], [[0], [0], [0]]))


def test_holm_multiplies_by_what_is_left() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, and never falling: 0.04, 0.06, 0.06, 0.06.
    assert correct_holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert correct_holm([]) == ()
    deltas: list[Delta] = [compare(random_pair(3, 100, seed)) for seed in range(3)]
    corrected = correct_deltas(deltas)
    assert [delta.p_holm for delta in deltas] == [None] * 3
    smallest = min(corrected, key=lambda delta: delta.p_value)
    assert smallest.p_holm == pytest.approx(min(1, 3 * smallest.p_value))


def test_powers_come_true_for_normal_layouts() -> None:
    of_videos, of_one, repeats = 1.0, 1.5, 4
    size = Design(repeats, of_videos, of_one, 0.05).detectable()
    generator = np.random.default_rng(0)
    means = generator.normal(size, math.sqrt(of_videos + of_one / repeats), 4000)
    measured = of_one / repeats * generator.chisquare(repeats - 1, 4000) / (repeats - 1)
    found = np.mean(np.abs(means) > half_width(of_videos, measured, repeats, 0.05))
    assert found == pytest.approx(0.8, abs=0.02)


def test_repeats_needed_is_the_least_number_that_suffices() -> None:
    layout = Layout(repeats=3, videos=500, mean=0.06, of_videos=0.5, of_repeats=0.9, of_rest=0.2)
    needed = count_repeats_needed(layout, 0.05)
    of_one = 0.9 / 500
    enough = Design(int(needed), layout.variance_between_videos, of_one, 0.05).power(0.06)
    less = Design(int(needed) - 1, layout.variance_between_videos, of_one, 0.05).power(0.06)
    assert less < 0.8 <= enough
    # Where videos alone leave less than 80 % (3 points at a standard error of 2), no number of repeats will do.
    hopeless = Layout(repeats=3, videos=500, mean=0.03, of_videos=0.8, of_repeats=0.2, of_rest=0.2)
    assert math.sqrt(hopeless.variance_between_videos) == pytest.approx(0.02, abs=1e-3)
    assert count_repeats_needed(hopeless, 0.05) == math.inf
    plain = Layout(repeats=3, videos=500, mean=0.5, of_videos=0.5, of_repeats=0.2, of_rest=0.2)
    assert count_repeats_needed(plain, 0.05) == 3


def test_large_sets_take_less_than_a_second() -> None:
    hits = random_pair(5, 24_777)
    began = time.process_time()
    compare(hits)
    assert time.process_time() - began < 1.0
    small = random_pair(3, 480)
    began = time.process_time()
    for _ in range(5):
        bootstrap_interval(small)
    assert (time.process_time() - began) / 5 < 0.05
