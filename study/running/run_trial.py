"""One trial, from its specification to its record: a plain function without scheduler or tracker."""

from __future__ import annotations

import io
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from study.cost.count import count_cost
from study.data.catalog import open_dataset
from study.data.dataset import ClipDataset, ViewDataset, build_loader
from study.data.manifest import Manifest
from study.errors import DataError
from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.running.environment import describe_environment
from study.running.fingerprint import fingerprint_code
from study.running.store import discard_attempt
from study.seeding import derive_seed
from study.spec.record import (
    BlockAttention,
    Cost,
    DataHealth,
    Failure,
    ProtocolMetrics,
    TrialRecord,
    load_record,
    save_record,
    write_atomically,
    write_json,
)
from study.spec.trial import Trial
from study.training.device import choose_device, set_up_arithmetic
from study.training.evaluate import evaluate
from study.training.fit import EpochReport, fit
from study.training.metrics import measure_protocol

Tick = Callable[[int], None]
Batches = DataLoader[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


@dataclass
class _Run:
    """What a trial has gathered so far; whatever is there goes into the record, also of a failed trial."""

    started_at: float = field(default_factory=time.time)
    metrics: dict[str, ProtocolMetrics] = field(default_factory=dict)
    train: EpochReport = field(default_factory=lambda: EpochReport(0, {}))
    attention: list[BlockAttention] = field(default_factory=list)
    cost: Cost | None = None
    data: DataHealth | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def lap(self, part: str, since: float) -> float:
        """Book the time since ``since`` under ``part``; returns the present."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - since
        return now


def run_trial(trial: Trial, folder: Path, *, data_dir: Path, tick: Tick = lambda epoch: None) -> TrialRecord:
    """Train and evaluate ``trial``; return its record, which is then also in ``folder``.

    A trial that has a completed record of the same protocols returns it untouched. One whose protocols have
    changed is evaluated again from its final weights. One that was interrupted goes on from its checkpoint.

    Args:
        trial: what to run.
        folder: the trial's folder in the store.
        data_dir: where synthetic videos lie.
        tick: called with the number of epochs done after each; what it raises stops the trial without a record.

    Returns:
        The record. A failure inside the trial is a record with status "failed", not an exception;
        KeyboardInterrupt and SystemExit pass through and leave the checkpoint to go on from.
    """
    existing = folder / "record.json"
    if existing.exists():
        record = load_record(existing)
        if record.status == "completed" and record.evaluation_fingerprint == trial.evaluation_fingerprint:
            return record
    _note_start(trial, folder)
    device = choose_device(trial.settings.resources.gpus)
    run, failure = _Run(), None
    try:
        _run(trial, folder, data_dir, device, run, tick)
    except Exception as error:
        failure = Failure(kind=type(error).__name__, message=str(error), traceback=traceback.format_exc())
    record = TrialRecord(
        trial_id=trial.trial_id,
        status="failed" if failure else "completed",
        trial=trial.to_json(),
        evaluation_fingerprint=trial.evaluation_fingerprint,
        metrics=run.metrics,
        train=run.train.metrics,
        attention=run.attention,
        cost=run.cost,
        data=run.data,
        environment=describe_environment(device),
        code=fingerprint_code(trial.settings),
        started_at=run.started_at,
        ended_at=time.time(),
        seconds=run.seconds,
        epochs_done=run.train.epoch,
        failure=failure,
    )
    save_record(record, existing)
    return record


def _note_start(trial: Trial, folder: Path) -> None:
    """Write ``trial.json``; the start of an interrupted trial is kept when it goes on.

    What a failed attempt left behind is removed: it begins anew.
    """
    if (folder / "record.json").exists() and load_record(folder / "record.json").status != "completed":
        discard_attempt(folder)
    if not (folder / "trial.json").exists():
        write_json(folder / "trial.json", {"trial": trial.to_json(), "started_at": time.time()})


def _run(trial: Trial, folder: Path, data_dir: Path, device: torch.device, run: _Run, tick: Tick) -> None:
    settings, since = trial.settings, time.perf_counter()
    set_up_arithmetic(settings.training, threads=int(settings.resources.cpus))
    source = open_dataset(settings.data, data_dir)
    manifest = source.manifest()
    if manifest.digest != trial.data_digest:
        raise DataError(
            f"the data changed since the trial was planned: {trial.data_digest} is now {manifest.digest}"
        )
    source.prepare(None)
    run.data = DataHealth(
        train_videos=len(manifest.train),
        val_videos=len(manifest.val),
        excluded=manifest.excluded,
        digest=manifest.digest,
    )
    seed = derive_seed("repeat", settings.training.seed, trial.repeat)
    classes, frames = len(manifest.classes), settings.clip.frames
    run.cost = count_cost(settings.model, num_classes=classes, frames=frames, size=settings.clip.size)
    model = build_model(settings.model, num_classes=classes, frames=frames, seed=seed).to(device)
    since = run.lap("setup", since)
    _train(trial, model, manifest, folder, seed, run, tick)
    since = run.lap("train", since)
    _evaluate(trial, model, manifest, folder, run)
    run.lap("evaluate", since)


def _train(
    trial: Trial, model: Recognizer, manifest: Manifest, folder: Path, seed: int, run: _Run, tick: Tick
) -> None:
    settings = trial.settings
    dataset = ClipDataset(
        manifest,
        manifest.train,
        settings.clip,
        seed=seed,
        frame_cache_mib=settings.resources.frame_cache_mib,
    )
    loader = build_loader(dataset, settings.training.batch_size, settings.resources.loader_workers)
    every = settings.evaluation.every

    def on_epoch(report: EpochReport) -> None:
        run.train = report
        # The line of the last epoch waits for the final evaluation: a line never changes once written.
        if report.epoch < settings.training.epochs and not _has_metrics(folder, report.epoch):
            metrics = dict(report.metrics)
            if every and report.epoch % every == 0:
                result = evaluate(model, _view_loader(trial, manifest, settings.evaluation.primary), settings)
                metrics |= _validation_metrics(measure_protocol(result.scores, result.labels))
            _append_metrics(folder, report.epoch, metrics)
        tick(report.epoch)

    run.train = fit(
        model,
        loader,
        settings,
        seed=seed,
        checkpoint=folder / "checkpoint.pt",
        on_epoch=on_epoch,
        start_epoch=dataset.set_epoch,
    )


def _evaluate(trial: Trial, model: Recognizer, manifest: Manifest, folder: Path, run: _Run) -> None:
    scores: dict[str, np.ndarray] = {}
    for name in trial.settings.evaluation.protocols:
        result = evaluate(model, _view_loader(trial, manifest, name), trial.settings)
        run.metrics[name] = measure_protocol(result.scores, result.labels)
        scores[name] = result.scores.numpy()
        scores["labels"] = result.labels.numpy()
        if name == trial.settings.evaluation.primary:
            run.attention = result.attention
    if not _has_metrics(folder, run.train.epoch):
        validation = _validation_metrics(run.metrics[trial.settings.evaluation.primary])
        _append_metrics(folder, run.train.epoch, run.train.metrics | validation)
    _save_scores(folder / "scores.npz", scores, [entry.video_id for entry in manifest.val])


def _validation_metrics(measured: ProtocolMetrics) -> dict[str, float]:
    return {"val/top1": measured.top1, "val/loss": measured.loss}


def _view_loader(trial: Trial, manifest: Manifest, protocol: str) -> Batches:
    settings = trial.settings
    spec = settings.evaluation.protocols[protocol]
    dataset = ViewDataset(manifest, manifest.val, settings.clip, spec)
    batch = max(1, settings.evaluation.batch_size // spec.views)
    return build_loader(dataset, batch, settings.resources.loader_workers)


def _read_metrics(folder: Path) -> list[str]:
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def _has_metrics(folder: Path, epoch: int) -> bool:
    return any(json.loads(line)["step"] == epoch for line in _read_metrics(folder))


def _append_metrics(folder: Path, epoch: int, metrics: dict[str, float]) -> None:
    """Add the line of ``epoch``. It follows the checkpoint of its epoch, so no resumed trial writes it twice."""
    entry = {"step": epoch, "timestamp": int(time.time() * 1000), "metrics": metrics}
    lines = [*_read_metrics(folder), json.dumps(entry, sort_keys=True)]
    write_atomically(folder / "metrics.jsonl", "\n".join(lines) + "\n")


def _save_scores(path: Path, scores: dict[str, np.ndarray], video_ids: list[str]) -> None:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"video_ids": np.array(video_ids), **scores}
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
