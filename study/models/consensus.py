"""From scores by frame to scores by clip."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from study.registry import Registry

Consensus = Callable[[Tensor], Tensor]
"""Maps scores (N, T, K) to (N, K)."""


def average(scores: Tensor) -> Tensor:
    """The mean over frames (Wang et al., "Temporal Segment Networks", ECCV 2016)."""
    return scores.mean(dim=1)


CONSENSUS: Registry[Consensus] = Registry("consensus", {"avg": "study.models.consensus:average"})
