"""Stores full of finished trials that nobody trained, for benchmarks of what reads them.

Folders, records, scores and the MLflow database are what a launch leaves, written by the project's own mirror; only
its client is another one, which fills the database in bulk instead of asking MLflow for each value.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from mlflow.entities import Metric, Param, RunTag

from study.commands.tracking import list_items
from study.running.fingerprint import fingerprint_code
from study.running.plan import Plan, make_plan
from study.running.store import Store
from study.scores import ViewScores, dump_scores
from study.seeding import derive_seed
from study.spec.loading import find_experiments, load_study
from study.spec.record import (
    BlockAttention,
    Cost,
    DataHealth,
    Environment,
    ProtocolMetrics,
    TrialRecord,
    save_record,
    write_json,
)
from study.spec.trial import Trial
from study.tracking import upload
from study.tracking.mirror import Mirror
from study.tracking.store import connect, ensure_experiment

BEGAN = 1_760_000_000.0
EPOCHS, BLOCKS = 8, 8
VIDEOS, CLASSES = 480, 12
"""Of the laptop profile's scores."""
STUDY = "study"
BLOCK = "{type: sth, p: 1/4, arrangement: hybrid, attention: %s}"


@dataclass(frozen=True)
class Shape:
    """Size of a study: experiments x arms x repeats are its trials."""

    experiments: int
    arms: int
    repeats: int

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.experiments * self.arms * self.repeats


def fabricate_study(root: Path, shape: Shape) -> Path:
    """Write experiments, records and an MLflow database of ``shape`` below ``root``.

    Returns:
        The store; reports of it are made with ``root`` as the working directory.
    """
    write_experiments(root / "experiments", shape)
    study = load_study([STUDY], folder=root / "experiments")
    store = Store.at(root / "runs")
    plan = make_plan(study, store)
    for number, planned in enumerate(plan.trials):
        write_trial(store.folder(planned.trial_id), planned.trial, number)
    mirror_in_bulk(plan, store)
    return store.root


def write_experiments(folder: Path, shape: Shape) -> None:
    """Experiments whose arms differ in learning rate; every second arm has attention. Each draws one figure of
    attention, and the first five draw training curves too.
    """
    shutil.copytree(find_experiments() / "profiles", folder / "profiles")
    names = [f"question{number:02d}" for number in range(shape.experiments)]
    listed = ", ".join(names)
    (folder / f"{STUDY}.yaml").write_text(f"name: {STUDY}\nexperiments: [{listed}]\nprofile: laptop\n")
    for number, name in enumerate(names):
        arms = [f"arm {arm:02d}" for arm in range(shape.arms)]
        lines = [f"name: {name}", f"title: Question {number}", "question: Which one?", "prediction: None."]
        lines += ["fixed: All else.", f"repeats: {shape.repeats}", f"baseline: {arms[0]}", "arms:"]
        for index, arm in enumerate(arms):
            rate = 0.001 * (1 + index) + 0.1 * (1 + number)
            block = BLOCK % ("cost" if index % 2 else "none")
            settings = f"{{model: {{block: {block}}}, training: {{optimizer: {{lr: {rate:.3f}}}}}}}"
            lines += [f"  - name: {arm}", f"    set: {settings}"]
        lines += [
            "figures:",
            f"  - {{kind: attention_by_layer, name: layers{number}, title: Layers, arms: [{arms[1]}]}}",
        ]
        if number < 5:
            chosen = ", ".join(arms[:5])
            lines.append(
                f"  - {{kind: training_curves, name: curves{number}, title: Curves, arms: [{chosen}]}}"
            )
        (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def write_trial(folder: Path, trial: Trial, number: int) -> None:
    """The folder of a trial that has finished, without its checkpoint."""
    generator = np.random.default_rng(derive_seed("fabricated", trial.trial_id))
    accuracy = float(generator.uniform(0.6, 0.9))
    scores = fabricate_scores(trial, accuracy, generator)
    right = scores.logits[:, 0].argmax(axis=1) == scores.labels
    began = BEGAN + 60 * number
    write_json(folder / "trial.json", {"trial": trial.to_json(), "started_at": began})
    rows = [
        f'{{"step": {epoch}, "timestamp": {int(1000 * (began + 5 * epoch))}, "metrics": {{"train/loss": '
        f'{2 / (epoch + 1)}, "train/top1": {accuracy * (epoch + 1) / EPOCHS}, "val/top1": {accuracy}, "lr": 0.05}}}}'
        for epoch in range(EPOCHS)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "scores.npz").write_bytes(dump_scores(scores))
    save_record(fabricate_record(trial, float(right.mean()), began), folder / "record.json")


def fabricate_scores(trial: Trial, accuracy: float, generator: np.random.Generator) -> ViewScores:
    """Noise in which the right class leads about as often as ``accuracy`` says."""
    labels = np.arange(VIDEOS) % CLASSES
    views = next(iter(trial.protocols.values()))
    logits = generator.normal(size=(VIDEOS, len(views), CLASSES)).astype(np.float32)
    chosen = np.where(generator.random(VIDEOS) < accuracy, labels, (labels + 1) % CLASSES)
    logits[np.arange(VIDEOS), :, chosen] += 6
    names = np.array([f"val/{video:05d}" for video in range(VIDEOS)])
    shown = np.tile(np.arange(1, len(views) + 1), (VIDEOS, 1))
    return ViewScores(names, labels.astype(np.int64), views, logits, shown)


def fabricate_record(trial: Trial, top1: float, began: float) -> TrialRecord:
    """A record with everything that a finished trial has."""
    attends = getattr(trial.settings.model.block, "attention", "none") != "none"
    measured = ProtocolMetrics(top1=top1, top5=1.0, loss=1.0 - top1 / 2, videos=VIDEOS, views=1, repeated=0)
    return TrialRecord(
        trial_id=trial.trial_id,
        status="completed",
        trial=trial.to_json(),
        protocols=trial.protocols,
        primary=trial.settings.evaluation.primary,
        metrics=dict.fromkeys(trial.protocols, measured),
        train={"train/loss": 0.5, "train/top1": 0.8},
        attention=[fabricate_attention(index, top1) for index in range(BLOCKS)] if attends else [],
        cost=Cost(params_m=0.2, gmacs_per_view=0.05, fvcore_gmacs=0.051, executed_gmacs=0.06, uncounted={}),
        data=DataHealth(train_videos=900, val_videos=VIDEOS, excluded={}, digest=trial.data_digest),
        environment=Environment(
            python="3.11.7",
            platform="linux-x86_64",
            device="cpu: x86_64",
            versions={"torch": "2.15.0", "torchvision": "0.29.2", "numpy": "2.4.6"},
            git_commit="0123456789ab",
            threads=1,
        ),
        code=fingerprint_code(trial.settings),
        started_at=began,
        ended_at=began + 50,
        seconds={"setup": 2.0, "train": 40.0, "evaluate": 8.0},
        epochs_done=EPOCHS,
    )


def fabricate_attention(index: int, shift: float) -> BlockAttention:
    """A coefficient that grows with depth."""
    alpha_t = 0.3 + 0.03 * index + 0.1 * shift
    site = f"layer{1 + index // 2}.{index % 2}.conv2"
    parts = {"alpha_s": 1 - alpha_t, "alpha_t": alpha_t, "alpha_s_std": 0.02, "alpha_t_std": 0.02}
    return BlockAttention(site=site, index=index, stage=1 + index // 2, videos=VIDEOS, **parts)


def mirror_in_bulk(plan: Plan, store: Store) -> None:
    """Fill the MLflow database of ``store`` with the trials of ``plan``.

    Raises:
        RuntimeError: when the mirror could not write a trial.
    """
    client = connect(store.tracking_uri)
    experiment = ensure_experiment(client, store.tracking_uri, plan.study.name, store.artifacts)
    location = client.get_experiment(experiment).artifact_location
    bulk = BulkClient(location)
    mirror = Mirror(store.tracking_uri, plan.study.name, store.artifacts, owner=store.claim_id())
    mirror._client, mirror._experiment_id = bulk, experiment  # type: ignore[assignment]
    # Nothing reads the settings back, and writing them as YAML takes longer than all the rest.
    with patch.object(upload, "settings_yaml", lambda trial: json.dumps(trial.to_json())):
        report = mirror.sync(list_items(plan, store), force=True)
    if report.errors:
        raise RuntimeError(report.errors[0])
    with closing(sqlite3.connect(store.database)) as connection, connection:
        bulk.flush(connection)


class BulkClient:
    """As much of ``MlflowClient`` as the mirror writes with. What is written is kept until :meth:`flush`."""

    def __init__(self, location: str) -> None:
        self.location, self.tracking_uri = location, ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.metrics: list[tuple[str, Metric]] = []
        self.params: list[tuple[str, Param]] = []
        self.tags: dict[tuple[str, str], str] = {}

    def create_run(
        self, experiment_id: str, start_time: int, tags: dict[str, str], run_name: str
    ) -> SimpleNamespace:
        run_id = uuid.uuid4().hex
        self.runs[run_id] = {"name": run_name, "start": start_time, "experiment": int(experiment_id)}
        self.tags |= {(run_id, key): value for key, value in tags.items()}
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    def log_inputs(self, run_id: str, datasets: Sequence[object]) -> None:
        """Data sets of a run are nothing that a report reads."""

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
    ) -> None:
        self.metrics += [(run_id, metric) for metric in metrics]
        self.params += [(run_id, param) for param in params]
        self.tags |= {(run_id, tag.key): tag.value for tag in tags}

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self.runs[run_id] |= {"status": status, "end": end_time}

    def get_run(self, run_id: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(artifact_uri=f"{self.location}/{run_id}/artifacts"))

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write everything."""
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
            "start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
            "VALUES (?, ?, 'UNKNOWN', '', '', '', ?, ?, ?, '', 'active', ?, ?)",
            self._run_rows(),
        )
        connection.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run) for (run, key), value in self.tags.items()],
        )
        connection.executemany(
            "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            [(param.key, param.value, run) for run, param in self.params],
        )
        rows = [(m.key, m.value, m.timestamp, m.step, False, run) for run, m in self.metrics]
        insert = "INSERT INTO {} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
        connection.executemany(insert.format("metrics"), rows)
        latest = {(run, key): row for row in rows for key, run in [(row[0], row[5])]}
        connection.executemany(insert.format("latest_metrics"), list(latest.values()))

    def _run_rows(self) -> Iterator[tuple[Any, ...]]:
        for run, values in self.runs.items():
            artifacts = f"{self.location}/{run}/artifacts"
            yield (
                run,
                values["name"],
                values["status"],
                values["start"],
                values["end"],
                artifacts,
                values["experiment"],
            )
