"""One trial, from its specification to its record: a plain function without scheduler or tracker."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from study.cost.count import count_cost
from study.data.catalog import open_dataset
from study.data.dataset import ClipDataset, Videos
from study.data.loading import build_clip_loader
from study.data.manifest import Manifest
from study.data.opening import prepare_videos
from study.errors import DataError, StoreError
from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.running.environment import describe_environment
from study.running.executor import Place
from study.running.fingerprint import fingerprint_code
from study.running.measuring import Measured, build_test_loader, measure_protocols
from study.running.store import discard_attempt
from study.running.trial_files import append_metrics, has_metrics, read_scores, write_scores
from study.seeding import derive_seed
from study.spec.model import InitSpec, ModelSpec
from study.spec.record import (
    Cost,
    DataHealth,
    Failure,
    ProtocolMetrics,
    Status,
    TrialRecord,
    has_protocols,
    load_record,
    save_record,
    write_json,
)
from study.spec.training import ResourcesSpec
from study.spec.trial import Trial
from study.spec.views import derive_views
from study.training.checkpoint import load_checkpoint
from study.training.device import choose_device, set_up_arithmetic
from study.training.early_stop import StoppedError
from study.training.evaluate import evaluate
from study.training.fit import EpochReport, fit
from study.training.group import SINGLE, Group
from study.training.metrics import measure_protocol
from study.training.steps import DivergedError

Tick = Callable[[int], None]


@dataclass
class _Run:
    """What a trial has gathered so far; whatever is there goes into the record, also of a failed trial."""

    started_at: float = field(default_factory=time.time)
    measured: Measured = field(default_factory=Measured)
    train: EpochReport = field(default_factory=lambda: EpochReport(0, {}))
    cost: Cost | None = None
    data: DataHealth | None = None
    killed: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def lap(self, part: str, since: float) -> float:
        """Book the time since ``since`` under ``part``; returns the present."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - since
        return now


def run_trial(
    trial: Trial, place: Place, tick: Tick = lambda epoch: None, group: Group = SINGLE
) -> TrialRecord:
    """Train and evaluate ``trial``; return its record, which is then also in its folder.

    A trial that has a completed record with all protocols returns it untouched. One that lacks a protocol derives
    it from the stored scores, and runs its final weights for those views only that no other protocol had. One
    that was interrupted goes on from its checkpoint.

    Where several processes train the trial, each calls this. Only the one that leads writes. The record of a trial
    that failed is written by none of them: it has to be that of the process which failed first.

    Args:
        trial: what to run.
        place: where.
        tick: called with the number of epochs done after each; what it raises stops the trial without a record.
        group: the processes that run it together.

    Returns:
        The record, complete in the process that leads. A failure inside the trial is a record with status "failed",
        not an exception, and a trial that was given up (``training.stop``) one with status "stopped";
        KeyboardInterrupt and SystemExit pass through and leave the checkpoint to go on from.
    """
    folder = place.folder
    record = group.broadcast(_find_record(folder) if group.leads else None)
    if record is not None and record.status == "completed":
        if has_protocols(record, trial):
            return record
        return _measure_again(trial, place, record, group)
    if group.leads:
        _begin(trial, folder, record)
    device = group.device or choose_device(trial.settings.resources.gpus)
    run, failure = _Run(), None
    try:
        _run(trial, place, device, run, tick, group)
    except Exception as error:
        failure = _describe_failure(error)
    if failure and failure.kind == StoppedError.__name__:
        status: Status = "stopped"
    else:
        status = "failed" if failure else "completed"
    measured = run.measured
    record = TrialRecord(
        trial_id=trial.trial_id,
        status=status,
        trial=trial.to_json(),
        protocols=measured.protocols,
        primary=trial.settings.evaluation.primary,
        metrics=measured.metrics,
        train=run.train.metrics,
        attention=measured.attention,
        cost=run.cost,
        data=run.data.model_copy(update={"killed": run.killed}) if run.data else None,
        environment=describe_environment(device),
        code=fingerprint_code(trial.settings),
        started_at=run.started_at,
        ended_at=time.time(),
        seconds=run.seconds,
        epochs_done=run.train.epoch,
        micro_batch=place.micro_batch,
        failure=failure,
    )
    if group.size == 1 or (group.leads and failure is None):
        save_record(record, folder / "record.json")
    return record


def _find_record(folder: Path) -> TrialRecord | None:
    path = folder / "record.json"
    return load_record(path) if path.exists() else None


def _begin(trial: Trial, folder: Path, record: TrialRecord | None) -> None:
    """Make ``folder`` ready for training that begins or goes on."""
    if record is not None:
        # What a failed attempt left behind is removed: it begins anew.
        discard_attempt(folder)
    if not (folder / "trial.json").exists():
        write_json(folder / "trial.json", {"trial": trial.to_json(), "started_at": time.time()})


def _measure_again(trial: Trial, place: Place, record: TrialRecord, group: Group) -> TrialRecord:
    """Add the protocols that ``record`` lacks; a failure leaves it as it was."""
    began = time.perf_counter()
    settings, folder = trial.settings, place.folder
    device = group.device or choose_device(settings.resources.gpus)

    def load_model() -> Recognizer:
        state = load_checkpoint(folder / "checkpoint.pt")
        if state is None or state["epoch"] < settings.training.epochs:
            raise StoreError(
                f"{folder / 'checkpoint.pt'}: the final weights are missing; launch --retry stale"
            )
        classes = int(state["model"]["classifier.bias"].shape[0])
        model = _build(trial, settings.model.model_copy(update={"init": InitSpec()}), classes)
        model.load_state_dict(state["model"])
        return model.to(device)

    set_up_arithmetic(settings.training, threads=_count_threads(settings.resources))
    stored = group.broadcast(read_scores(folder, record.protocols) if group.leads else None)
    known = record.attention if record.primary == settings.evaluation.primary else None
    measured = measure_protocols(
        trial, load_model, lambda: _open_manifest(trial, place), stored=stored, attention=known, group=group
    )
    if not group.leads:
        return record
    write_scores(folder, measured.scores)
    seconds = dict(record.seconds)
    seconds["evaluate"] = seconds.get("evaluate", 0.0) + time.perf_counter() - began
    data = record.data
    if data is not None and measured.killed:
        data = data.model_copy(update={"killed": data.killed | measured.killed})
    updated = record.model_copy(
        update={
            "trial": trial.to_json(),
            "protocols": measured.protocols,
            "primary": settings.evaluation.primary,
            "metrics": measured.metrics,
            "attention": measured.attention,
            "data": data,
            "seconds": seconds,
            "ended_at": time.time(),
        }
    )
    save_record(updated, folder / "record.json")
    return updated


def _describe_failure(error: Exception) -> Failure:
    steps = error.steps if isinstance(error, DivergedError) else ()
    return Failure(
        kind=type(error).__name__, message=str(error), traceback=traceback.format_exc(), steps=steps
    )


def _open_manifest(trial: Trial, place: Place) -> Manifest:
    """The videos of ``trial``, made where they can be made."""
    source = open_dataset(trial.settings.data, place.data_dir)
    manifest = source.manifest()
    if manifest.digest != trial.data_digest:
        raise DataError(
            f"the data changed since the trial was planned: {trial.data_digest} is now {manifest.digest}"
        )
    prepare_videos(source, manifest, trial.settings.clip.modality)
    return manifest


def _count_threads(resources: ResourcesSpec) -> int:
    return int(resources.of_one_process().cpus)


def _run(trial: Trial, place: Place, device: torch.device, run: _Run, tick: Tick, group: Group) -> None:
    settings, since = trial.settings, time.perf_counter()
    set_up_arithmetic(settings.training, threads=_count_threads(settings.resources))
    manifest = _open_manifest(trial, place)
    run.data = DataHealth(
        train_videos=len(manifest.train),
        val_videos=len(manifest.val),
        excluded=manifest.excluded,
        digest=manifest.digest,
        checked=manifest.checked,
    )
    classes, clip = len(manifest.classes), settings.clip
    run.cost = count_cost(
        settings.model, num_classes=classes, frames=clip.frames, size=clip.size, in_channels=clip.channels
    )
    model = _build(trial, _initial_model(trial, place), classes).to(device)
    since = run.lap("setup", since)
    _train(trial, model, manifest, place, run, tick, group)
    since = run.lap("train", since)
    _evaluate(trial, model, manifest, place.folder, run, group)
    run.lap("evaluate", since)


def _initial_model(trial: Trial, place: Place) -> ModelSpec:
    """The model with the weights that it starts from: those of its parent, where it has one."""
    model = trial.settings.model
    if not trial.parent:
        return model
    path = place.parent / "record.json" if place.parent else None
    if path is None or not path.exists() or load_record(path).status != "completed":
        raise StoreError(
            f"trial {trial.trial_id} starts from the weights of {trial.parent}, which is not done"
        )
    assert place.parent is not None
    weights = place.parent / "checkpoint.pt"
    return model.model_copy(
        update={"init": model.init.model_copy(update={"weights": weights, "new_classifier": True})}
    )


def _build(trial: Trial, model: ModelSpec, classes: int) -> Recognizer:
    clip = trial.settings.clip
    seed = _seed(trial)
    return build_model(model, num_classes=classes, frames=clip.frames, seed=seed, in_channels=clip.channels)


def _seed(trial: Trial) -> int:
    """The seed that all arms of a repeat share."""
    return derive_seed("repeat", trial.settings.training.seed, trial.repeat)


def _train(
    trial: Trial, model: Recognizer, manifest: Manifest, place: Place, run: _Run, tick: Tick, group: Group
) -> None:
    settings, seed, folder = trial.settings, _seed(trial), place.folder
    resources, every = settings.resources.of_one_process(), settings.evaluation.every
    batch_size = settings.training.batch_size
    videos = Videos(manifest, manifest.train, settings.clip, resources.frame_cache_mib)
    dataset = ClipDataset(videos, seed)
    loader = build_clip_loader(
        dataset,
        batch_size,
        workers=resources.loader_workers,
        limit_s=resources.decode_limit_s,
        crop_on_device=next(model.parameters()).device.type == "cuda",
        share=partial(group.share, most=place.micro_batch or batch_size) if group.size > 1 else None,
    )

    def on_epoch(report: EpochReport) -> None:
        run.train = report
        # The line of the last epoch waits for the final evaluation: a line never changes once written.
        missing = group.leads and not has_metrics(folder, report.epoch)
        if report.epoch < settings.training.epochs and group.broadcast(missing):
            metrics = dict(report.metrics)
            if every and report.epoch % every == 0:
                metrics |= _validate(trial, model, manifest, group)
            if group.leads:
                append_metrics(folder, report.epoch, metrics)
        tick(report.epoch)

    run.train = fit(
        model,
        loader,
        settings,
        seed=seed,
        checkpoint=folder / "checkpoint.pt",
        on_epoch=on_epoch,
        start_epoch=dataset.set_epoch,
        micro_batch=place.micro_batch,
        group=group,
    )
    for killed in group.gather(loader.killed):
        run.killed |= killed


def _validate(trial: Trial, model: Recognizer, manifest: Manifest, group: Group) -> dict[str, float]:
    """The primary protocol amid training; empty in processes that do not lead."""
    evaluation, clip = trial.settings.evaluation, trial.settings.clip
    views = derive_views(evaluation.protocols[evaluation.primary], clip)
    loader = build_test_loader(trial, manifest, views, group)
    found = evaluate(model, loader, views, trial.settings, group=group)
    if found is None:
        return {}
    return _validation_metrics(measure_protocol(found.scores, [view.key for view in views]))


def _evaluate(
    trial: Trial, model: Recognizer, manifest: Manifest, folder: Path, run: _Run, group: Group
) -> None:
    run.measured = measure_protocols(trial, lambda: model, lambda: manifest, group=group)
    if not group.leads:
        return
    run.killed |= run.measured.killed
    if not has_metrics(folder, run.train.epoch):
        validation = _validation_metrics(run.measured.metrics[trial.settings.evaluation.primary])
        append_metrics(folder, run.train.epoch, run.train.metrics | validation)
    write_scores(folder, run.measured.scores)


def _validation_metrics(measured: ProtocolMetrics) -> dict[str, float]:
    return {"val/top1": measured.top1, "val/loss": measured.loss}
