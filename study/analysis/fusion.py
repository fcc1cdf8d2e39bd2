"""Score fusion: the mean of the scores that several arms give each video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.scores import ViewScores


@dataclass(frozen=True)
class Fused:
    """Accuracies of fused scores, as fractions; top-5 only where there are more than five classes."""

    top1: float
    top5: float | None


def fuse_scores(parts: Sequence[ViewScores], protocols: Sequence[Sequence[str]]) -> Fused:
    """Accuracy of the mean over ``parts`` of their logits averaged over views.

    Args:
        parts: one a trial; they may list the videos in different orders.
        protocols: names of the views to take of each part.

    Raises:
        ValueError: when the parts are not about the same videos and labels, or lack one of the views.
    """
    total, reference = None, None
    for part, views in zip(parts, protocols, strict=True):
        if not part.covers(views):
            raise ValueError(f"no scores of the views {', '.join(set(views) - set(part.views))}")
        order = np.argsort(part.video_ids)
        videos, labels = part.video_ids[order], part.labels[order]
        if reference is None:
            reference = videos, labels
        elif not (np.array_equal(videos, reference[0]) and np.array_equal(labels, reference[1])):
            raise ValueError("the arms were evaluated on different videos")
        scores = part.select(views)[order].astype(np.float64).mean(axis=1)
        total = scores if total is None else total + scores
    if total is None or reference is None:
        raise ValueError("nothing to fuse")
    ranked = np.argsort(-total, axis=1, kind="stable")
    hits = ranked == reference[1][:, None]
    top5 = float(hits[:, :5].any(axis=1).mean()) if total.shape[1] > 5 else None
    return Fused(float(hits[:, 0].mean()), top5)
