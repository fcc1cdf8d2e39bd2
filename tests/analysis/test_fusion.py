"""Score fusion, against hand arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from study.analysis.fusion import fuse_scores


def part(
    ids: list[str], labels: list[int], scores: list[list[float]], name: str = "1x1"
) -> dict[str, np.ndarray]:
    return {"video_ids": np.array(ids), "labels": np.array(labels), name: np.array(scores)[:, None]}


def test_fusion_can_be_right_where_both_parts_are_wrong() -> None:
    # Video a: 3 + 0 against 2 + 2 against 0 + 3, so the second class wins in the sum and in neither part.
    first = part(["a", "b"], [1, 0], [[3, 2, 0], [1, 0, 0]])
    second = part(["b", "a"], [0, 1], [[0, 0.5, 0], [0, 2, 3]], "2x3")
    fused = fuse_scores([first, second], ["1x1", "2x3"])
    assert (fused.top1, fused.top5) == (1.0, None)


def test_views_are_averaged_first() -> None:
    one = {"video_ids": np.array(["a"]), "labels": np.array([1]), "p": np.array([[[4.0, 0.0], [0.0, 2.0]]])}
    other = {"video_ids": np.array(["a"]), "labels": np.array([1]), "p": np.array([[[0.0, 0.9]]])}
    # Means: (2, 1) and (0, 0.9): the sum (2, 1.9) is wrong by a hair.
    assert fuse_scores([one, other], ["p", "p"]).top1 == 0.0


def test_different_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="different videos"):
        fuse_scores([part(["a"], [0], [[1, 0]]), part(["b"], [0], [[1, 0]])], ["1x1", "1x1"])
