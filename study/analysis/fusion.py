"""Score fusion: the mean of the scores that several arms give each video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Scores = Mapping[str, np.ndarray]
"""What a trial stores: ``video_ids`` (N,), ``labels`` (N,), and by protocol logits (N, V, K)."""


@dataclass(frozen=True)
class Fused:
    """Accuracies of fused scores, as fractions; top-5 only where there are more than five classes."""

    top1: float
    top5: float | None


def fuse_scores(parts: Sequence[Scores], protocols: Sequence[str]) -> Fused:
    """Accuracy of the mean over ``parts`` of their logits averaged over views.

    Args:
        parts: one a trial; they may list the videos in different orders.
        protocols: the protocol to take of each part.

    Raises:
        ValueError: when the parts are not about the same videos and labels.
    """
    total, reference = None, None
    for part, protocol in zip(parts, protocols, strict=True):
        order = np.argsort(part["video_ids"])
        videos, labels = part["video_ids"][order], part["labels"][order]
        if reference is None:
            reference = videos, labels
        elif not (np.array_equal(videos, reference[0]) and np.array_equal(labels, reference[1])):
            raise ValueError("the arms were evaluated on different videos")
        scores = part[protocol][order].astype(np.float64).mean(axis=1)
        total = scores if total is None else total + scores
    if total is None or reference is None:
        raise ValueError("nothing to fuse")
    ranked = np.argsort(-total, axis=1, kind="stable")
    hits = ranked == reference[1][:, None]
    top5 = float(hits[:, :5].any(axis=1).mean()) if total.shape[1] > 5 else None
    return Fused(float(hits[:, 0].mean()), top5)
