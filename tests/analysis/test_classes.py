"""Accuracy class by class, against hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from study.analysis.classes import compare_classes, name_class, rank_classes
from study.analysis.statistics.hits import VideoHits

NAMES = ("open", "close")


def hits(pattern: str, labels: str) -> VideoHits:
    """One character a video: "1" where it is right, and the class of each."""
    ids = np.array([f"v{number:02d}" for number in range(len(pattern))])
    return VideoHits(
        ids, np.array([int(label) for label in labels]), np.array([mark == "1" for mark in pattern])
    )


def test_a_difference_is_that_of_the_class_over_all_repeats() -> None:
    labels = "0000111"
    arm = {0: hits("1111100", labels), 1: hits("1110000", labels)}
    base = {0: hits("1100111", labels), 1: hits("1000010", labels)}
    found = compare_classes(arm, base, NAMES)
    assert (found.repeats, found.varies) == ((0, 1), "videos")
    assert [one.name for one in found.classes] == ["open", "close"]
    first, last = found.classes
    # Open: 4 + 3 of 8 against 2 + 1 of 8. Close: 1 + 0 of 6 against 3 + 1 of 6.
    assert (first.videos, last.videos) == (4, 3)
    assert (first.arm, first.baseline) == (7 / 8, 3 / 8)
    assert first.points == pytest.approx(50.0)
    assert (last.arm, last.baseline) == pytest.approx((1 / 6, 4 / 6))
    assert last.points == pytest.approx(-50.0)


def test_only_repeats_that_both_have_are_compared() -> None:
    labels = "0011"
    arm = {0: hits("1111", labels), 2: hits("0000", labels)}
    base = {2: hits("1111", labels), 5: hits("0000", labels)}
    found = compare_classes(arm, base, NAMES)
    assert found.repeats == (2,)
    assert [one.points for one in found.classes] == [-100.0, -100.0]
    assert [one.label for one in found.classes] == [0, 1]  # ties by number
    with pytest.raises(ValueError, match="no repeat that all of them have"):
        compare_classes({0: arm[0]}, {5: base[5]}, NAMES)


def test_the_interval_of_one_repeat_is_students_over_the_videos_of_the_class() -> None:
    labels = "0" * 8 + "1" * 4
    arm = {0: hits("111111" + "00" + "1111", labels)}
    base = {0: hits("110000" + "00" + "0000", labels)}
    found = {one.name: one for one in compare_classes(arm, base, NAMES).classes}
    # Differences of the class: 0 0 1 1 1 1 0 0; their variance 8/7 x 1/4, with half a video each way 1/64 more.
    variance = (8 / 7) * 0.25 / 8 + 1 / 64
    width = 100 * stats.t.ppf(0.975, 7) * math.sqrt(variance)
    assert found["open"].low == pytest.approx(50 - width)
    assert found["open"].high == pytest.approx(min(50 + width, 100))
    # Four videos, all better: variance 0 but for the floor 1/16, and no two accuracies are over 100 points apart.
    assert found["close"].low == pytest.approx(100 - 100 * stats.t.ppf(0.975, 3) / 4)
    assert found["close"].high == 100.0
    assert found["close"].is_clear


def test_repeats_that_disagree_widen_the_interval_from_three_on() -> None:
    """The same 60 differences, once in each repeat alike and once all in one repeat."""
    labels = "0" * 40
    base = {repeat: hits("0" * 40, labels) for repeat in range(3)}
    alike = {repeat: hits("1" * 20 + "0" * 20, labels) for repeat in range(3)}
    apart = {0: hits("1" * 40, labels), 1: hits("1" * 20 + "0" * 20, labels), 2: hits("0" * 40, labels)}
    ends = []
    for arm in (alike, apart):
        found = compare_classes(arm, base, NAMES)
        assert found.varies == "videos and repeats"
        assert found.classes[0].points == pytest.approx(50.0)
        ends.append((found.classes[0].low, found.classes[0].high))
    # Alike: normal with the videos' variance, 40/39 x 1/4 / 40 + 1/40^2.
    width = 100 * 1.959964 * math.sqrt((40 / 39) * 0.25 / 40 + 1 / 1600)
    assert ends[0] == pytest.approx((50 - width, 50 + width), abs=0.01)
    # Apart: the repeats' mean 1, 1/2, 0 alone has a standard error of 0.29 with two degrees of freedom.
    assert ends[1] == (-50.0, 100.0) or ends[1][0] < 0


def test_a_single_video_has_no_interval() -> None:
    labels = "011"
    found = compare_classes({0: hits("111", labels)}, {0: hits("000", labels)}, NAMES).classes
    assert [(one.low, one.high) for one in found if one.label == 0] == [(None, None)]
    assert not next(one for one in found if one.label == 0).is_clear


def test_other_videos_are_refused() -> None:
    one = hits("11", "01")
    other = VideoHits(np.array(["v00", "x"]), one.labels, one.hits)
    with pytest.raises(ValueError, match="different videos"):
        compare_classes({0: one}, {0: other}, NAMES)


def test_classes_are_ranked_by_what_is_sure_and_not_by_luck() -> None:
    labels = "00" + "1" * 50 + "2" * 50
    right = "11" + "1" * 49 + "0" + "1" * 25 + "0" * 25
    ranked = rank_classes({0: hits(right, labels)}, ("few", "many", "half"))
    # Two of two: Wilson's lower end is 2 / (2 + 1.96^2) = 0.34. 49 of 50: above 0.89.
    assert [one.name for one in ranked] == ["many", "half", "few"]
    assert [one.top1 for one in ranked] == [49 / 50, 1 / 2, 1.0]


def test_videos_that_every_repeat_got_right_are_named() -> None:
    labels = "0001"
    ranked = rank_classes({0: hits("1100", labels), 1: hits("0110", labels)}, NAMES)
    assert ranked[0].always_right == ("v01",)
    assert ranked[0].by_repeat == pytest.approx((2 / 3, 2 / 3))
    assert ranked[1].always_right == ()
    assert ranked[1].top1 == 0.0


def test_classes_without_a_name_are_called_by_number() -> None:
    assert name_class(12, NAMES) == "class 12"
    assert name_class(1, NAMES) == "close"
    assert name_class(0, ("",)) == "class 0"
