"""Scores of finished trials as reports read them: from MLflow, each once."""

from __future__ import annotations

import pandas as pd

from study.scores import ViewScores
from study.spec.resolved import Arm
from study.spec.views import name_views
from study.tracking.read import load_run_scores


class StoredScores:
    """Scores of finished trials, from MLflow, each read once."""

    def __init__(self, uri: str, runs: pd.DataFrame) -> None:
        completed = runs[runs["status"] == "completed"]
        self._uri = uri
        self._run_ids = dict(zip(completed["trial_id"], completed["run_id"], strict=True))
        self._known: dict[str, ViewScores] = {}

    def has(self, trial_id: str) -> bool:
        """Whether the trial has finished."""
        return trial_id in self._run_ids

    def load(self, trial_id: str) -> ViewScores:
        """Its scores. Raises StoreError when MLflow does not hold them."""
        if trial_id not in self._known:
            self._known[trial_id] = load_run_scores(self._uri, self._run_ids[trial_id])
        return self._known[trial_id]


def primary_views(arm: Arm) -> tuple[str, ...]:
    """Names of the views of an arm's primary protocol."""
    evaluation = arm.settings.evaluation
    return name_views(evaluation.protocols[evaluation.primary], arm.settings.clip)
