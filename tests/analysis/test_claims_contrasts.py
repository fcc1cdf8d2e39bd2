"""The statistics behind verdicts, against hand arithmetic and against simulated studies."""

from __future__ import annotations

import numpy as np
import pytest

from study.analysis.claims import contrasts
from study.analysis.claims.contrasts import contrast_coefficients, contrast_hits
from study.analysis.lint.rounding import Interval
from study.analysis.statistics.deltas import compare
from study.analysis.statistics.hits import PairedHits
from tests.analysis.test_statistics_calibration import SEEDS, World

KEY = ("x",)


def pair(arm: int, other: int, videos: int = 20, repeats: int = 3, name: str = "v") -> PairedHits:
    """The first ``arm`` videos right against the first ``other``, the same in every repeat."""
    names = np.array([f"{name}{number}" for number in range(videos)])
    hits = [np.tile(np.arange(videos) < right, (repeats, 1)) for right in (arm, other)]
    return PairedHits(tuple(range(repeats)), names, *hits)


def test_a_gain_is_the_difference_of_two_differences_and_their_variances_add_up() -> None:
    contrast = contrast_hits(KEY, "gain", [(1, pair(18, 10)), (-1, pair(12, 10, name="w"))])
    estimate = contrast.estimate
    # 18 - 10 = 8 of 20 on the first set, 12 - 10 = 2 of 20 on the second: 40 and 10 points.
    assert estimate.value == pytest.approx(30.0)
    assert estimate.by_repeat == pytest.approx((30.0, 30.0, 30.0))
    # Repeats agree, so only videos vary. First set: 8 x 0.6^2 + 12 x 0.4^2 = 4.8, over 19 x 20, and half a video each
    # way, 1 / 400; second: 2 x 0.9^2 + 18 x 0.1^2 = 1.8. The sum is 0.0223684, its root 0.149561.
    sigma = (4.8 / 380 + 1 / 400 + 1.8 / 380 + 1 / 400) ** 0.5
    assert sigma == pytest.approx(0.149561, abs=1e-6)
    assert estimate.low == pytest.approx(30 - 195.9964 * sigma, abs=1e-3)
    assert estimate.high == pytest.approx(30 + 195.9964 * sigma, abs=1e-3)
    # 0.3 / 0.149561 = 2.00587 standard errors; two tails of the normal distribution.
    assert estimate.p_value == pytest.approx(0.04487, abs=1e-4)


def test_repeats_that_differ_widen_it_and_only_common_repeats_count() -> None:
    first = pair(18, 10)
    moved = PairedHits(
        (1, 2, 3, 4), pair(12, 10).video_ids, np.tile(np.arange(20) < 12, (4, 1)), first.arm[[0] * 4]
    )
    contrast = contrast_hits(KEY, "gain", [(1, first), (-1, moved)])
    assert contrast.estimate.repeats == (1, 2)
    assert contrast.unjudged == "two repeats say too little about other seeds"
    assert contrast.estimate.low is None
    assert contrast.estimate.p_value is None
    arm = first.arm.copy()
    arm[0, 10:16] = False
    noisy = contrast_hits(KEY, "gain", [(1, PairedHits((0, 1, 2), first.video_ids, arm, first.baseline))])
    calm = contrast_hits(KEY, "gain", [(1, first)])
    assert noisy.estimate.low is not None
    assert calm.estimate.low is not None
    # 18, 18 and 12 right of 20: 40, 40 and 10 points.
    assert noisy.estimate.by_repeat == pytest.approx((10.0, 40.0, 40.0))
    assert noisy.estimate.value - noisy.estimate.low > 1.5 * (calm.estimate.value - calm.estimate.low)
    with pytest.raises(ValueError, match="no repeat"):
        contrast_hits(KEY, "x", [(1, pair(3, 2)), (-1, PairedHits((7,), first.video_ids, arm[:1], arm[:1]))])


def test_a_single_difference_is_that_of_the_tables() -> None:
    world = World(4, 240, SEEDS["moderate"])
    (hits,), _ = world.draw(np.random.default_rng(3))
    delta, contrast = compare(hits), contrast_hits(KEY, "x", [(1, hits)])
    estimate = contrast.estimate
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (delta.points, delta.low, delta.high)
    )
    assert estimate.p_value == pytest.approx(delta.p_value)
    assert contrast.repeats_needed == delta.repeats_needed


def test_a_value_is_tested_against_the_nearer_edge_of_what_is_claimed() -> None:
    inside = contrast_hits(KEY, "x", [(1, pair(18, 10))], Interval(-100.0, 70.0))
    outside = contrast_hits(KEY, "x", [(1, pair(18, 10))], Interval(70.0, 90.0))
    # 40 points lie 30 from 70 either way; sigma^2 = 4.8 / 380 + 1 / 400, sigma = 0.123011, so 2.4388 of them.
    assert inside.estimate.p_value == outside.estimate.p_value == pytest.approx(0.01474, abs=1e-4)


def test_coefficients_are_compared_by_students_t() -> None:
    contrast = contrast_coefficients(
        KEY, "x", {0: 0.51, 1: 0.53, 2: 0.55, 9: 1.0}, {0: 0.50, 1: 0.51, 2: 0.52}
    )
    estimate = contrast.estimate
    # Differences 0.01, 0.02, 0.03: mean 0.02, deviation 0.01, error 0.0057735; t(2) at 97.5 % is 4.302653.
    assert estimate.value == pytest.approx(0.02)
    assert estimate.low == pytest.approx(0.02 - 4.302653 * 0.0057735, abs=1e-6)
    assert estimate.high == pytest.approx(0.02 + 4.302653 * 0.0057735, abs=1e-6)
    # t = 3.4641 with 2 degrees of freedom: p = 1 - t / sqrt(t^2 + 2).
    assert estimate.p_value == pytest.approx(1 - 3.4641016 / (12 + 2) ** 0.5, abs=1e-6)
    assert estimate.repeats == (0, 1, 2)


def test_coefficients_that_agree_exactly_or_are_few_are_not_judged() -> None:
    same = contrast_coefficients(KEY, "x", dict.fromkeys(range(3), 0.6), dict.fromkeys(range(3), 0.5))
    assert same.unjudged
    assert same.estimate.p_value is None
    one = contrast_coefficients(KEY, "x", {0: 0.6}, {0: 0.5})
    assert one.unjudged == "one repeat says nothing about other seeds"
    with pytest.raises(ValueError, match="no repeat"):
        contrast_coefficients(KEY, "x", {0: 0.6}, {1: 0.5})


@pytest.fixture
def _no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats that would be needed take longer than all the rest."""
    monkeypatch.setattr(contrasts, "_count_repeats", lambda *_: 3.0)
    monkeypatch.setattr(contrasts, "_count_repeats_of_t", lambda *_: 3.0)


def judge_gains(repeats: int, seeds: str, effects: tuple[float, float], draws: int) -> tuple[float, float]:
    """How often the gain on 240 videos is found larger, and smaller, than that on 120 others."""
    first = World(repeats, 240, SEEDS[seeds], (effects[0], 0.0))
    second = World(repeats, 120, SEEDS[seeds], (effects[1], 0.0))
    generator = np.random.default_rng(0)
    above = below = 0
    for _ in range(draws):
        terms = [(sign, world.draw(generator)[0][0]) for sign, world in ((1, first), (-1, second))]
        estimate = contrast_hits(KEY, "gain", terms).estimate
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.p_value is not None
        # The interval and the test say the same; a hair's breadth is the width of the bisection.
        assert (estimate.low > 1e-6 or estimate.high < -1e-6) <= (estimate.p_value < 0.05 + 1e-6)
        above += estimate.low > 0
        below += estimate.high < 0
    return above / draws, below / draws


@pytest.mark.usefixtures("_no_plans")
@pytest.mark.parametrize(("repeats", "seeds"), [(3, "calm"), (3, "moderate"), (3, "wild"), (5, "moderate")])
def test_equal_gains_are_rarely_called_different(repeats: int, seeds: str) -> None:
    """Both data sets have the same effect of 0.4 logits: "supported" is wrong, and so is "contradicted"."""
    above, below = judge_gains(repeats, seeds, (0.4, 0.4), 800)
    assert above + below <= 0.05


@pytest.mark.usefixtures("_no_plans")
def test_a_gain_that_is_larger_is_found() -> None:
    above, below = judge_gains(3, "moderate", (3.0, 0.0), 100)
    assert above > 0.8
    assert below == 0


@pytest.mark.usefixtures("_no_plans")
@pytest.mark.parametrize("repeats", [3, 5])
def test_equal_coefficients_are_rarely_called_different(repeats: int) -> None:
    generator = np.random.default_rng(0)
    alarms = []
    for _ in range(4000):
        both = generator.normal(0.5, 0.02, (2, repeats)) + generator.normal(0, 0.05, repeats)
        sides = [dict(enumerate(map(float, values))) for values in both]
        estimate = contrast_coefficients(KEY, "x", *sides).estimate
        assert estimate.low is not None
        assert estimate.high is not None
        alarms.append(estimate.low > 0 or estimate.high < 0)
    # 5 %, give or take three standard errors of 4,000 draws; half of them would be called supported.
    assert abs(np.mean(alarms) - 0.05) < 0.0104
