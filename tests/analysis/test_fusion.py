"""Score fusion, against hand arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from study.analysis.fusion import fuse_scores
from study.scores import ViewScores


def part(ids: list[str], labels: list[int], *views: list[list[float]]) -> ViewScores:
    """Scores of the views "a", "b", ... one list of videos each."""
    logits = np.stack([np.array(view, np.float32) for view in views], axis=1)
    names = tuple("abc"[: len(views)])
    return ViewScores(np.array(ids), np.array(labels), names, logits, np.ones(logits.shape[:2], np.int64))


def test_fusion_can_be_right_where_both_parts_are_wrong() -> None:
    # Video a: 3 + 0 against 2 + 2 against 0 + 3, so the second class wins in the sum and in neither part.
    first = part(["a", "b"], [1, 0], [[3, 2, 0], [1, 0, 0]])
    second = part(["b", "a"], [0, 1], [[0, 0.5, 0], [0, 2, 3]])
    fused = fuse_scores([first, second], [["a"], ["a"]])
    assert (fused.top1, fused.top5) == (1.0, None)


def test_views_are_averaged_first() -> None:
    one = part(["a"], [1], [[4.0, 0.0]], [[0.0, 2.0]])
    other = part(["a"], [1], [[0.0, 0.9]])
    # Means: (2, 1) and (0, 0.9): the sum (2, 1.9) is wrong by a hair.
    assert fuse_scores([one, other], [["a", "b"], ["a"]]).top1 == 0.0


def test_different_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="different videos"):
        fuse_scores([part(["a"], [0], [[1, 0]]), part(["b"], [0], [[1, 0]])], [["a"], ["a"]])


def test_a_view_that_was_not_run_is_named() -> None:
    with pytest.raises(ValueError, match="no scores of the views c"):
        fuse_scores([part(["a"], [0], [[1, 0]])], [["a", "c"]])
