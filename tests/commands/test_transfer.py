"""Trials that start from the weights of others: order, weights, and what happens when the first one fails."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from study.commands.launch import LaunchOptions, launch
from study.running.plan import State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study
from tests.running.conftest import TOY

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
HEAD = "name: {name}\ntitle: {name}\nquestion: Q\nbaseline: a\n"
BEFORE = (
    HEAD.format(name="before")
    + "datasets: [kinetics400]\narms: [{name: a, set: {model: {block: {type: tsm}}}}]"
)
AFTER = (
    HEAD.format(name="after")
    + "datasets: [ucf101, hmdb51]\ninit_from: before\narms: [{name: a, set: {model: {block: {type: tsm}}}}]"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "experiments"
    made.mkdir()
    (made / "profiles").symlink_to(EXPERIMENTS / "profiles")
    (made / "before.yaml").write_text(BEFORE)
    (made / "after.yaml").write_text(AFTER)
    return made


def load(folder: Path, *overrides: str) -> Study:
    return load_study(["after"], profile="laptop", overrides=[*TOY, *overrides], folder=folder)


def options(store: Store, *retry: str, engine: str = "inline") -> LaunchOptions:
    return LaunchOptions(storage=store.root, engine=engine, retry=frozenset(retry))


def read_weights(store: Store, trial_id: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(store.folder(trial_id) / "checkpoint.pt", weights_only=True)[
        "model"
    ]
    return state


@pytest.mark.parametrize("engine", ["inline", pytest.param("ray", marks=pytest.mark.long)])
def test_a_chain_is_run_in_order_and_shown(store: Store, folder: Path, engine: str) -> None:
    # A rate of next to nothing: what the second training starts from is what it ends with.
    study = load(folder, "datasets.ucf101.training.optimizer.lr=1e-12", "datasets.hmdb51.training.epochs=1")
    plan = make_plan(study, store)
    first, *rest = plan.trials
    assert [len(wave) for wave in plan.waves(plan.trials)] == [1, 4]
    assert {planned.trial.parent for planned in rest} == {first.trial_id}
    assert launch(study, options(store, engine=engine)) == 0
    child = make_plan(study, store).find("after", "a on ucf101 fold 1", 0)
    parent, tuned = read_weights(store, first.trial_id), read_weights(store, child.trial_id)
    for name, value in parent.items():
        if "running" in name or "num_batches" in name:
            continue  # BatchNorm's statistics move at any rate
        same = torch.allclose(value, tuned[name], atol=1e-6)
        # As many classes here and there: the classifier is drawn anew all the same.
        assert same != name.startswith("classifier."), name
    table = pd.read_csv(store.report / "tables" / "after.csv")
    assert table["dataset"].tolist() == ["ucf101", "hmdb51"]
    assert table["repeats_measured"].tolist() == [1, 1]
    folds = [make_plan(study, store).find("after", f"a on hmdb51 fold {fold}", 0).record for fold in (1, 2)]
    mean = sum(record.metrics["1x1"].top1 for record in folds if record) / 2
    assert table["top1_percent_mean"][1] == pytest.approx(100 * mean)
    page = (store.report / "report.md").read_text()
    assert "Starts, repeat by repeat, from the weights of the same arm of before." in page
    assert "Accuracies are means over the folds." in page


def test_what_starts_from_a_failed_trial_waits_for_its_retry(store: Store, folder: Path) -> None:
    bad = (
        "datasets.kinetics400.training.optimizer.lr=1e30",
        "datasets.kinetics400.training.optimizer.clip_grad_norm=null",
    )
    study = load(folder, *bad)
    assert launch(study, options(store)) == 1
    plan = make_plan(study, store)
    assert [planned.state for planned in plan.trials] == [State.FAILED] + [State.BLOCKED] * 4
    assert "which failed" in plan.trials[1].reason
    assert len(plan.runnable()) == 0
    assert len(plan.runnable(frozenset({State.FAILED}))) == 5
    # Another first training is another chain.
    good = make_plan(load(folder), store)
    assert not {p.trial_id for p in good.trials} & {p.trial_id for p in plan.trials}
