"""Scores of finished trials as reports read them: from MLflow, each once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import pandas as pd

from study.scores import ViewScores
from study.spec.resolved import Arm
from study.spec.views import name_views
from study.tracking.read import RunScores

KEPT_BYTES = 2**29
"""Scores that are kept in memory; at the paper's scale those of one trial take 50 MB."""


class StoredScores(RunScores):
    """Scores of finished trials, from MLflow. Those that were used last are kept."""

    def __init__(self, uri: str, runs: pd.DataFrame, wanted: Sequence[str] = ()) -> None:
        super().__init__(uri, runs, wanted)
        self._kept: OrderedDict[str, ViewScores] = OrderedDict()
        self._bytes = 0

    def load(self, trial_id: str) -> ViewScores:
        """Its scores. Raises StoreError when MLflow does not hold them."""
        if trial_id in self._kept:
            self._kept.move_to_end(trial_id)
            return self._kept[trial_id]
        scores = super().load(trial_id)
        self._kept[trial_id] = scores
        self._bytes += _count_bytes(scores)
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _count_bytes(oldest)
        return scores


def _count_bytes(scores: ViewScores) -> int:
    return scores.logits.nbytes + scores.video_ids.nbytes + scores.labels.nbytes + scores.shown.nbytes


def primary_views(arm: Arm) -> tuple[str, ...]:
    """Names of the views of an arm's primary protocol."""
    evaluation = arm.settings.evaluation
    return name_views(evaluation.protocols[evaluation.primary], arm.settings.clip)
