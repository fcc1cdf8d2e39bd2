"""Accuracy and loss from scores by view."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy

from study.scores import ViewScores
from study.spec.record import ProtocolMetrics


def count_correct(scores: torch.Tensor, labels: torch.Tensor, k: int) -> int:
    """How many of ``labels`` (N,) are among the ``k`` highest ``scores`` (N, K).

    Ties count by the order of classes (stable sort), so that a network whose scores are all equal is right
    for the first class only, not for every one.
    """
    ranked = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return int((ranked == labels[:, None]).any(dim=1).sum())


def measure_protocol(stored: ViewScores, views_of_protocol: Sequence[str]) -> ProtocolMetrics:
    """Metrics of one protocol, from the stored scores of its views.

    Returns:
        Accuracies of the logits averaged over views, as fractions; top-5 only where K > 5.
    """
    scores = torch.from_numpy(stored.select(views_of_protocol))
    labels = torch.from_numpy(stored.labels)
    videos, views, classes = scores.shape
    mean = scores.double().mean(dim=1)
    return ProtocolMetrics(
        top1=count_correct(mean, labels, 1) / videos,
        top5=count_correct(mean, labels, 5) / videos if classes > 5 else None,
        loss=float(cross_entropy(mean, labels)),
        videos=videos,
        views=views,
        repeated=stored.count_repeated(views_of_protocol),
    )
