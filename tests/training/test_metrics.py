"""Accuracy and loss, against hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from study.scores import ViewScores
from study.training.metrics import count_correct, measure_protocol


def store(logits: torch.Tensor, labels: list[int]) -> ViewScores:
    """Scores of as many views as ``logits`` (N, V, K) has, called "0", "1", ..."""
    videos, views = logits.shape[:2]
    return ViewScores(
        np.array([f"v{number}" for number in range(videos)]),
        np.array(labels),
        tuple(str(number) for number in range(views)),
        logits.numpy(),
        np.arange(1, videos * views + 1).reshape(videos, views),
    )


def test_top1_and_top5_by_hand() -> None:
    # Six classes; the label of video 0 is first, of video 1 second, of video 2 last.
    scores = torch.tensor([[6.0, 5, 4, 3, 2, 1]] * 3)
    labels = torch.tensor([0, 1, 5])
    assert count_correct(scores, labels, 1) == 1
    assert count_correct(scores, labels, 5) == 2
    metrics = measure_protocol(store(scores[:, None], labels.tolist()), ["0"])
    assert (metrics.top1, metrics.top5, metrics.videos, metrics.views) == (1 / 3, 2 / 3, 3, 1)


def test_views_are_averaged_before_ranking() -> None:
    # Each view alone is wrong for one of them; their mean (2, 2.5) is right.
    scores = torch.tensor([[[4.0, 1.0], [0.0, 4.0]]])
    metrics = measure_protocol(store(scores, [1]), ["0", "1"])
    assert measure_protocol(store(scores, [1]), ["0"]).top1 == 0.0
    assert (metrics.top1, metrics.views, metrics.top5) == (1.0, 2, None)
    assert metrics.loss == pytest.approx(math.log(1 + math.exp(2.0 - 2.5)))


def test_equal_scores_are_right_for_one_class_only() -> None:
    scores = torch.zeros(4, 2)
    assert count_correct(scores, torch.tensor([0, 1, 0, 1]), 1) == 2
