"""Hits from scores: alignment by video, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from study.analysis.statistics.hits import VideoHits, find_hits, pair_hits, stack_hits
from study.scores import ViewScores
from study.training.metrics import measure_protocol


def scores(
    ids: str, labels: list[int], logits: list[list[list[float]]], views: tuple[str, ...] = ("a",)
) -> ViewScores:
    values = np.array(logits, np.float32)
    shown = np.zeros(values.shape[:2], np.int64)
    return ViewScores(np.array(list(ids)), np.array(labels), views, values, shown)


def hits(ids: str, right: str, labels: list[int] | None = None) -> VideoHits:
    """Hits of the videos named by one letter each; those in ``right`` are right."""
    return VideoHits(
        np.array(list(ids)), np.array(labels or [0] * len(ids)), np.array([i in right for i in ids])
    )


def test_hits_are_those_of_the_mean_over_views_sorted_by_video() -> None:
    # b: views 1 and 2 disagree; the mean (2, 1.5) says class 0. c: class 1 of label 1. a: a tie, class 0 wins.
    stored = scores("bca", [0, 1, 1], [[[4, 0], [0, 3]], [[0, 1], [0, 1]], [[1, 1], [1, 1]]], ("a", "b"))
    found = find_hits([stored], [("a", "b")])
    assert found.video_ids.tolist() == ["a", "b", "c"]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.hits.tolist() == [False, True, True]
    assert find_hits([stored], [("b",)]).hits.tolist() == [False, False, True]


def test_hits_add_up_to_the_accuracy_of_the_record() -> None:
    generator = np.random.default_rng(0)
    logits = generator.integers(0, 3, (50, 2, 7)).astype(np.float32)  # integers, so that there are ties
    names = np.array([f"v{i}" for i in range(50)])
    stored = ViewScores(names, generator.integers(0, 7, 50), ("a", "b"), logits, np.zeros((50, 2), np.int64))
    metrics = measure_protocol(stored, ("a", "b"))
    assert find_hits([stored], [("a", "b")]).hits.mean() == metrics.top1
    assert find_hits([stored], [("a", "b")], k=5).hits.mean() == metrics.top5


def test_fused_hits_are_those_of_the_summed_scores() -> None:
    one = scores("ab", [1, 1], [[[3, 0]], [[0, 1]]])
    two = scores("ba", [1, 1], [[[0, 1]], [[0, 2]]])
    assert find_hits([one, two], [("a",), ("a",)]).hits.tolist() == [False, True]
    three = scores("ba", [1, 1], [[[0, 1]], [[0, 4]]])
    assert find_hits([one, three], [("a",), ("a",)]).hits.tolist() == [True, True]


@pytest.mark.parametrize(
    ("stored", "views", "message"),
    [
        (scores("ab", [0, 0], [[[1, 0]], [[1, 0]]]), ("b",), "no scores of the views b"),
        (scores("aba", [0, 0, 0], [[[1, 0]], [[1, 0]], [[1, 0]]]), ("a",), "same video twice: a"),
        (scores("ab", [0, 0], [[[1, 0]], [[float("nan"), 0]]]), ("a",), "b: scores that are no finite"),
    ],
)
def test_scores_that_say_nothing_are_refused(
    stored: ViewScores, views: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        find_hits([stored], [views])


def test_fused_parts_have_the_same_videos_and_classes() -> None:
    one = scores("ab", [0, 0], [[[1, 0]], [[1, 0]]])
    with pytest.raises(ValueError, match=r"1 only in the first \(b\), 1 only in the second \(c\)"):
        find_hits([one, scores("ac", [0, 0], [[[1, 0]], [[1, 0]]])], [("a",), ("a",)])
    with pytest.raises(ValueError, match="2 and 3 classes"):
        find_hits([one, scores("ab", [0, 0], [[[1, 0, 0]], [[1, 0, 0]]])], [("a",), ("a",)])


def test_only_common_repeats_are_paired() -> None:
    arm = {0: hits("abc", "a"), 2: hits("abc", "bc"), 3: hits("abc", "abc")}
    baseline = {3: hits("abc", ""), 1: hits("abc", "abc"), 2: hits("abc", "ab")}
    paired = pair_hits(arm, baseline)
    assert paired.repeats == (2, 3)
    assert paired.differences.tolist() == [[-1, 0, 1], [1, 1, 1]]
    with pytest.raises(ValueError, match=r"the arm has \[0\]; the baseline has \[1\]"):
        pair_hits({0: arm[0]}, {1: baseline[1]})
    with pytest.raises(ValueError, match="the arm has none"):
        pair_hits({}, baseline)


def test_other_videos_and_labels_are_refused_in_any_repeat() -> None:
    same = {0: hits("abc", "a"), 1: hits("abc", "a")}
    with pytest.raises(ValueError, match=r"the baseline in repeat 1 .*0 only in the second \(none\)"):
        pair_hits(same, {0: hits("abc", "a"), 1: hits("ab", "a")})
    with pytest.raises(ValueError, match=r"the arm in repeat 1 .* different videos"):
        pair_hits({0: hits("abc", "a"), 1: hits("abd", "a")}, same)
    with pytest.raises(ValueError, match="different labels for 1 videos: b"):
        pair_hits(same, {0: hits("abc", "a"), 1: hits("abc", "a", [0, 1, 0])})


def test_arms_are_stacked_in_their_order() -> None:
    repeats, videos, stacked = stack_hits({"x": {5: hits("ab", "a")}, "y": {5: hits("ab", "b")}})
    assert (repeats, videos.tolist()) == ((5,), ["a", "b"])
    assert stacked.tolist() == [[[True, False]], [[False, True]]]
