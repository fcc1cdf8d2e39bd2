"""What trials are called in MLflow."""

from __future__ import annotations

import re

import pytest

from study.spec.datasets import VideoList
from study.spec.trial import Trial
from study.tracking.names import metric_name, run_params
from study.tracking.view import runs_url, view_state
from tests import fabricated


@pytest.mark.parametrize("experiment", fabricated.load(["table6", "table7", "table8", "figure6"]).experiments)
def test_names_of_parameters_are_short_and_unique(experiment: object) -> None:
    for arm in experiment.arms:  # type: ignore[attr-defined]
        params = run_params(fabricated.trial_of(arm))
        assert {"block", "backbone", "epochs", "lr", "data", "schedule", "repeat", "clip.frames"} <= set(
            params
        )
        assert max(map(len, params)) < 30
        assert all(re.fullmatch(r"[\w\-. :/]+", name) for name in params)
        # Every leaf of the identity is there, so that MLflow's comparison of runs shows every difference.
        assert len(params) == 1 + _leaves(arm.settings.identity)


def _leaves(value: object) -> int:
    if isinstance(value, dict) and value:
        return sum(map(_leaves, value.values()))
    return 1


def test_parameters_do_not_depend_on_where_files_lie() -> None:
    arm = fabricated.load(["table6"]).experiments[0].arms[0]
    params = []
    for root in ("/one", "/two"):
        data = VideoList(type="video_list", root=root, train_list=f"{root}/a", val_list=f"{root}/b")  # type: ignore[arg-type]
        params.append(run_params(Trial(arm.settings.model_copy(update={"data": data}), 0, "d")))
    assert params[0] == params[1]


def test_metric_names_hold_nothing_that_mlflow_refuses() -> None:
    assert metric_name("top1@5 #2 (µ)") == "top1_5 _2 ___"
    assert metric_name("final/2x3/top1") == "final/2x3/top1"


def test_view_selects_columns_and_is_in_the_address_only_where_it_exists() -> None:
    assert '"metrics.`final/2x3/top1`"' in view_state(["2x3"])
    assert runs_url("http://h:1/", "7", {}) == "http://h:1/#/experiments/7/runs"
    tags = {"mlflow.sharedViewState.study": "{}"}
    assert runs_url("http://h:1", "7", tags) == "http://h:1/#/experiments/7/runs?viewStateShareKey=study"
