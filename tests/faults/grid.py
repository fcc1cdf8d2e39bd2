"""A grid of nine trials at toy size, and what must be true of it when all is done."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.entities import ViewType

from study.commands.launch import LaunchOptions, launch
from study.running.plan import make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study
from study.tracking.store import connect

SPECS = ("table6", "table7", "table8")
"""Eleven rows that are nine trials."""
APART = {"started_at", "ended_at", "seconds", "environment"}
"""What may differ between records of the same trial."""


@dataclass
class ToyGrid:
    """The grid in a store of its own.

    Attributes:
        store: where it is trained.
        epochs: epochs of each trial.
        specs: the experiments.
    """

    store: Store
    epochs: int
    specs: tuple[str, ...] = SPECS
    overrides: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.overrides = [
            "data.train_videos=48",
            "data.val_videos=24",
            "training.batch_size=16",
            f"training.epochs={self.epochs}",
        ]

    @property
    def study(self) -> Study:
        return load_study(self.specs, overrides=self.overrides)

    def arguments(self, tracking_uri: str | None = None) -> list[str]:
        """The command line of a launch."""
        uri = [f"--tracking-uri={tracking_uri}"] if tracking_uri else []
        return [*self.specs, f"--storage={self.store.root}", *uri, *(f"--set={o}" for o in self.overrides)]

    def train_undisturbed(self, root: Path) -> Store:
        """The same grid trained in this process, in another store with the same videos."""
        other = Store.at(root)
        other.root.mkdir(parents=True)
        other.data.symlink_to(self.store.data)
        assert launch(self.study, LaunchOptions(storage=other.root, engine="inline")) == 0
        return other

    def count_epochs(self) -> int:
        """Epochs finished so far, over all trials."""
        return sum(len(path.read_text().splitlines()) for path in self.store.trials.glob("*/metrics.jsonl"))


def check_runs(grid: ToyGrid, uri: str) -> dict[str, int]:
    """Assert that MLflow holds every trial of ``grid`` once, whole and finished.

    Returns:
        Number of runs and of runs that were taken away as surplus.
    """
    client = connect(uri)
    experiment = client.get_experiment_by_name(grid.study.name)
    everything = client.search_runs(
        [experiment.experiment_id], run_view_type=ViewType.ALL, max_results=10_000
    )
    runs = [run for run in everything if run.info.lifecycle_stage == "active"]
    plan = make_plan(grid.study, grid.store)
    ids = Counter(run.data.tags["trial_id"] for run in runs)
    assert ids == Counter(planned.trial_id for planned in plan.trials)
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(plan.trials)}
    for run in runs:
        folder = grid.store.folder(run.data.tags["trial_id"])
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, grid.epochs + 1))
        for name in lines[-1]["metrics"]:
            check_curve(client, run.info.run_id, name, lines)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"record.json", "scores.npz", "settings.yaml"} <= files
    return {"runs": len(runs), "surplus": len(everything) - len(runs)}


def check_curve(client: MlflowClient, run_id: str, name: str, lines: list[dict]) -> None:  # type: ignore[type-arg]
    """Assert that the metric holds each value of ``lines`` once."""
    stored = sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, name))
    written = [(line["step"], line["metrics"][name]) for line in lines if name in line["metrics"]]
    assert stored == written, f"{run_id}: {name}"


def check_same_results(grid: ToyGrid, other: Store) -> None:
    """Assert that both stores hold the same results, bit for bit: curves, records, scores, weights."""
    for planned in make_plan(grid.study, grid.store).trials:
        name = planned.trial_id
        folders = grid.store.folder(name), other.folder(name)
        records = [store.record(name) for store in (grid.store, other)]
        assert records[0] is not None
        assert records[1] is not None
        assert records[0].model_dump(exclude=APART) == records[1].model_dump(exclude=APART)
        curves = [
            [(line["step"], line["metrics"]) for line in map(json.loads, (folder / "metrics.jsonl").open())]
            for folder in folders
        ]
        assert curves[0] == curves[1]
        scores = [np.load(folder / "scores.npz") for folder in folders]
        assert set(scores[0].files) == set(scores[1].files)
        assert all(np.array_equal(scores[0][part], scores[1][part]) for part in scores[0].files)
        weights = [torch.load(folder / "checkpoint.pt", weights_only=True)["model"] for folder in folders]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][part], weights[1][part]) for part in weights[0])
