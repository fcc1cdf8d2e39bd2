"""Accuracy and loss, against hand arithmetic."""

from __future__ import annotations

import math

import pytest
import torch

from study.training.metrics import count_correct, measure_protocol


def test_top1_and_top5_by_hand() -> None:
    # Six classes; the label of video 0 is first, of video 1 second, of video 2 last.
    scores = torch.tensor([[6.0, 5, 4, 3, 2, 1]] * 3)
    labels = torch.tensor([0, 1, 5])
    assert count_correct(scores, labels, 1) == 1
    assert count_correct(scores, labels, 5) == 2
    metrics = measure_protocol(scores[:, None], labels)
    assert (metrics.top1, metrics.top5, metrics.videos, metrics.views) == (1 / 3, 2 / 3, 3, 1)


def test_views_are_averaged_before_ranking() -> None:
    # Each view alone is wrong for one of them; their mean (2, 2.5) is right.
    scores = torch.tensor([[[4.0, 1.0], [0.0, 4.0]]])
    metrics = measure_protocol(scores, torch.tensor([1]))
    assert (metrics.top1, metrics.views, metrics.top5) == (1.0, 2, None)
    assert metrics.loss == pytest.approx(math.log(1 + math.exp(2.0 - 2.5)))


def test_equal_scores_are_right_for_one_class_only() -> None:
    scores = torch.zeros(4, 2)
    assert count_correct(scores, torch.tensor([0, 1, 0, 1]), 1) == 2
