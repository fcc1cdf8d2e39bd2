"""Statistics of a table: which rows are compared, with what, and what is refused."""

from __future__ import annotations

import numpy as np

from study.analysis.evidence import weigh
from study.analysis.statistics.hits import VideoHits, find_hits
from study.scores import ViewScores


def make_hits(right: list[bool], name: str = "v") -> VideoHits:
    """Hits of as many videos as are listed: logits that are right where they are to be."""
    logits = np.array([[[1.0, 0.0]] if hit else [[0.0, 1.0]] for hit in right], np.float32)
    videos = np.array([f"{name}{number}" for number in range(len(right))])
    shown = np.ones((len(right), 1), np.int64)
    scores = ViewScores(videos, np.zeros(len(right), np.int64), ("a",), logits, shown)
    return find_hits([scores], [["a"]])


def test_rows_are_compared_with_the_baseline_of_their_own_data_set() -> None:
    half, most = [True, False] * 10, [True] * 18 + [False] * 2
    hits = {
        ("base", "x"): {0: make_hits(half)},
        ("arm", "x"): {0: make_hits(most)},
        ("base", "y"): {0: make_hits(most)},
        ("arm", "y"): {0: make_hits(half)},
    }
    evidence = weigh(hits, "base", {}, {})
    # 18 of 20 against 10 of 20: 40 points, and the other way round on the other data set.
    assert {cell: round(delta.points, 6) for cell, delta in evidence.deltas.items()} == {
        ("arm", "x"): 40.0,
        ("arm", "y"): -40.0,
    }
    # Two comparisons in the table: Holm doubles the smaller p-value, and the other cannot fall below it.
    p_values = [delta.p_value for delta in evidence.deltas.values()]
    assert [delta.p_holm for delta in evidence.deltas.values()] == [2 * p_values[0]] * 2


def test_rows_without_results_are_left_and_other_videos_refused() -> None:
    hits = {
        ("base", ""): {0: make_hits([True, False] * 4)},
        ("none", ""): {},
        ("other", ""): {0: make_hits([True, False] * 4, "w")},
    }
    evidence = weigh(hits, "base", {}, {})
    assert not evidence.deltas
    assert list(evidence.refused) == [("other", "")]
    assert "video" in evidence.refused["other", ""]


def test_ranks_need_three_published_rows() -> None:
    share = {"a": 4, "b": 10, "c": 18}
    hits = {(name, ""): {0: make_hits([n < k for n in range(20)])} for name, k in share.items()}
    published = {(name, ""): float(k) for name, k in share.items()}
    ranks = weigh(hits, "a", published, {}).ranks
    assert ranks[""].tau == 1.0
    assert not weigh(hits, "a", {("a", ""): 1.0, ("b", ""): 2.0}, {}).ranks
