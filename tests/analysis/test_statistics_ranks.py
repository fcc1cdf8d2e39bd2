"""Rank agreement with a published column."""

from __future__ import annotations

import numpy as np
import pytest

from study.analysis.statistics.hits import VideoHits
from study.analysis.statistics.ranks import agree_on_ranks


def arm(rate: float, repeats: int = 3, videos: int = 400, seed: int = 0) -> dict[int, VideoHits]:
    """Hits of the first ``rate`` of the videos, the border moved a little from repeat to repeat."""
    ids = np.array([f"v{i:04}" for i in range(videos)])
    generator = np.random.default_rng([seed, int(1000 * rate)])
    borders = videos * rate + generator.integers(-3, 4, repeats)
    return {
        repeat: VideoHits(ids, np.zeros(videos, np.int64), np.arange(videos) < border)
        for repeat, border in enumerate(borders)
    }


def test_same_order_far_apart_is_sure() -> None:
    measured = {name: arm(rate) for name, rate in zip("abcd", (0.2, 0.4, 0.6, 0.8), strict=True)}
    agreement = agree_on_ranks(measured, {"a": 40.0, "b": 42.0, "c": 45.0, "d": 50.0, "unbuilt": 60.0})
    assert (agreement.tau, agreement.low, agreement.high) == pytest.approx((1, 1, 1))
    # Two of the 24 orders of four arms are as extreme: all alike and all reversed.
    assert agreement.p_value == pytest.approx(2 / 24)
    assert agreement.arms == ("a", "b", "c", "d")
    reversed_ = agree_on_ranks(measured, {"a": 50.0, "b": 45.0, "c": 42.0, "d": 40.0})
    assert (reversed_.tau, reversed_.high) == pytest.approx((-1, -1))
    assert reversed_.reversed == 6


def test_close_arms_leave_their_order_open() -> None:
    measured = {name: arm(rate) for name, rate in zip("abc", (0.2, 0.5, 0.502), strict=True)}
    agreement = agree_on_ranks(measured, {"a": 40.0, "b": 42.0, "c": 45.0})
    # Of three pairs the close one may fall either way: (2 - 1) / 3 or 3 / 3.
    assert (agreement.low, agreement.high) == pytest.approx((1 / 3, 1))
    assert (agreement.agreeing, agreement.reversed, agreement.undecided) == (2, 0, 1)
    assert agreement.varies == "videos and repeats"


def test_with_fewer_than_three_repeats_only_videos_vary() -> None:
    measured = {name: arm(rate, repeats=2) for name, rate in zip("abc", (0.2, 0.5, 0.8), strict=True)}
    assert agree_on_ranks(measured, {"a": 1.0, "b": 2.0, "c": 3.0}).varies == "videos"


def test_published_ties_count_for_neither_order() -> None:
    measured = {name: arm(rate) for name, rate in zip("abcd", (0.2, 0.5, 0.502, 0.8), strict=True)}
    agreement = agree_on_ranks(measured, {"a": 1.0, "b": 2.0, "c": 2.0, "d": 3.0})
    # Five of six pairs are in order; the close one is tied in print, so it is no open question: 5 / sqrt(6 * 5).
    assert (agreement.low, agreement.tau, agreement.high) == pytest.approx((5 / 30**0.5,) * 3)
    assert (agreement.agreeing, agreement.reversed, agreement.undecided) == (5, 0, 0)


def test_equal_arms_have_no_order() -> None:
    measured = {name: arm(0.5) for name in "abc"}
    agreement = agree_on_ranks(measured, {"a": 1.0, "b": 2.0, "c": 3.0})
    assert (agreement.tau, agreement.p_value) == (0.0, 1.0)
    assert (agreement.low, agreement.high) == pytest.approx((-1, 1))


def test_too_little_is_refused() -> None:
    measured = {name: arm(0.5) for name in "abc"}
    with pytest.raises(ValueError, match="2 arms with a published value"):
        agree_on_ranks(measured, {"a": 1.0, "b": 2.0})
    with pytest.raises(ValueError, match="have no order"):
        agree_on_ranks(measured, {"a": 1.0, "b": 1.0, "c": 1.0})
    with pytest.raises(ValueError, match="different videos"):
        agree_on_ranks(measured | {"c": arm(0.5, videos=399)}, {"a": 1.0, "b": 2.0, "c": 3.0})
