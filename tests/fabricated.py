"""Trial folders as a trainer would leave them, without training: for tests of tracking and reporting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from study.spec.loading import load_study
from study.spec.record import (
    BlockAttention,
    CodeFingerprint,
    Cost,
    DataHealth,
    Environment,
    Failure,
    ProtocolMetrics,
    TrialRecord,
    save_record,
    write_json,
)
from study.spec.resolved import Arm, Experiment, Study
from study.spec.trial import Trial

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
BEGAN = 1_760_000_000.0
EPOCHS = 4
DIGEST = "d1ce" * 16
BLOCKS = 8


def load(names: Sequence[str] = ("table6", "table7", "table8"), repeats: int = 2) -> Study:
    """Experiments of the repository at the laptop profile, with a number of epochs of our own."""
    overrides = ["training.epochs=10"]
    return load_study(names, profile="laptop", overrides=overrides, repeats=repeats, folder=EXPERIMENTS)


def trial_of(arm: Arm, repeat: int = 0) -> Trial:
    return Trial(arm.settings, repeat, DIGEST)


def plan(study: Study) -> dict[str, tuple[Trial, list[tuple[Experiment, Arm, int]]]]:
    """Every distinct trial of a study by id, with the places where it stands."""
    trials: dict[str, tuple[Trial, list[tuple[Experiment, Arm, int]]]] = {}
    for experiment in study.experiments:
        for arm in experiment.arms:
            for repeat in range(experiment.repeats):
                trial = trial_of(arm, repeat)
                trials.setdefault(trial.trial_id, (trial, []))[1].append((experiment, arm, repeat))
    return trials


def begin(
    store: Path, trial: Trial, epochs: int = EPOCHS, *, shift: float = 0.0, began: float = BEGAN
) -> Path:
    """The folder of a trial that has begun and finished ``epochs`` epochs; ``shift`` moves its accuracies."""
    folder = store / "trials" / trial.trial_id
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "trial.json", {"trial": trial.to_json(), "started_at": began})
    lines = [metric_line(epoch, shift) for epoch in range(epochs)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def metric_line(epoch: int, shift: float = 0.0) -> dict[str, Any]:
    values = {
        "train/loss": 2.0 / (epoch + 1),
        "train/top1": 0.1 * (epoch + 1),
        "val/top1": 0.1 * epoch + shift,
        "lr": 0.05,
    }
    return {"step": epoch, "timestamp": int(1000 * (BEGAN + 10 + epoch)), "metrics": values}


def end(folder: Path, trial: Trial, top1: float | None = 0.7, **changes: Any) -> TrialRecord:
    """Write the record of a trial with this accuracy; None for one that failed."""
    block = trial.settings.model.block
    attends = getattr(block, "attention", "none") != "none"
    record = TrialRecord(
        trial_id=trial.trial_id,
        status="failed" if top1 is None else "completed",
        trial=trial.to_json(),
        protocols=trial.protocols,
        primary=trial.settings.evaluation.primary,
        metrics={} if top1 is None else {"1x1": measured(top1)},
        train={"loss": 0.5, "top1": 0.8},
        attention=attention(trial) if attends and top1 is not None else [],
        cost=cost(trial),
        data=DataHealth(train_videos=960, val_videos=480, excluded={}, digest=trial.data_digest),
        environment=Environment(
            python="3.11.7",
            platform="Linux-6.1-x86_64",
            device="cpu",
            versions={"torch": "2.15.0", "torchvision": "0.29.2"},
            git_commit="0123456789abcdef0123456789abcdef01234567",
            threads=1,
        ),
        code=CodeFingerprint(digest="c0de" * 4, modules={"study.training.loop": "ab"}),
        started_at=BEGAN,
        ended_at=BEGAN + 60,
        seconds={"setup": 2.0, "train": 50.0, "evaluate": 8.0},
        epochs_done=EPOCHS if top1 is not None else 1,
        failure=None
        if top1 is not None
        else Failure(kind="OutOfMemoryError", message="12 GiB wanted, 8 there"),
    )
    record = record.model_copy(update=changes)
    np.savez(folder / "scores.npz", scores=np.zeros((480, 8), np.float32))
    save_record(record, folder / "record.json")
    return record


def measured(top1: float) -> ProtocolMetrics:
    return ProtocolMetrics(top1=top1, top5=min(1.0, top1 + 0.2), loss=1.0 - top1 / 2, videos=480, views=1)


def cost(trial: Trial) -> Cost:
    """Plausible and distinct by block; not a count."""
    number = (
        int(hashlib.sha256(trial.settings.model.block.model_dump_json().encode()).hexdigest()[:4], 16) / 65536
    )
    return Cost(
        params_m=0.12 + 0.05 * number,
        gmacs_per_view=0.03 + 0.02 * number,
        fvcore_gmacs=0.031 + 0.02 * number,
        executed_gmacs=0.033 + 0.02 * number,
        uncounted={"aten::add": 8},
    )


def attention(trial: Trial) -> list[BlockAttention]:
    """Coefficients that grow with depth, a little different in each repeat."""
    p = float(getattr(trial.settings.model.block, "p", 0))
    blocks = []
    for index in range(BLOCKS):
        alpha_t = 0.35 + 0.03 * index + 0.01 * trial.repeat - 0.1 * p
        blocks.append(
            BlockAttention(
                site=f"layer{1 + index // 2}.{index % 2}.conv2",
                index=index,
                stage=1 + index // 2,
                alpha_s=1 - alpha_t,
                alpha_t=alpha_t,
                alpha_s_std=0.02,
                alpha_t_std=0.02,
                videos=480,
            )
        )
    return blocks
