"""Train a network on a manifest, epoch by epoch, resumable after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from study.data.loading import Loader
from study.data.samples import ClipBatch
from study.data.transforms import normalize
from study.models.recognizer import Recognizer
from study.seeding import derive_seed
from study.spec.trial import TrialSettings
from study.training.checkpoint import load_checkpoint, save_checkpoint
from study.training.early_stop import check_progress
from study.training.group import SINGLE, Group
from study.training.optim import build_optimizer, derive_learning_rate, set_learning_rate
from study.training.steps import StepWindow, backpropagate
from study.training.sync_norm import synchronize_batch_norm


@dataclass(frozen=True)
class EpochReport:
    """What one epoch of training gave.

    Attributes:
        epoch: number of the epoch, from 1.
        metrics: "train/loss" (mean cross-entropy), "train/top1" (fraction), "lr" (after the last step).
    """

    epoch: int
    metrics: dict[str, float]


def fit(
    model: Recognizer,
    loader: Loader[ClipBatch],
    settings: TrialSettings,
    *,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[EpochReport], None],
    start_epoch: Callable[[int], None],
    micro_batch: int | None = None,
    group: Group = SINGLE,
) -> EpochReport:
    """Train ``model`` in place and leave its final weights in ``checkpoint``.

    All processes of a group call this alike, each with its share of every batch. Their weights stay the same; the
    leading one writes.

    Args:
        model: on the device it trains on.
        loader: batches of training clips: this process' share of each.
        settings: the trial.
        seed: seed of the repeat, for dropout.
        checkpoint: written after every epoch; training goes on from it when it exists.
        on_epoch: called after each epoch, once its checkpoint is on the disk, and again for the epoch that a
            resumed training starts from.
        start_epoch: called with the number of the epoch, from 0, before its first batch: sets the data order.
        micro_batch: clips of one forward and backward pass over all processes; None for the whole batch.
        group: the processes that train together.

    Returns:
        The report of the last epoch.

    Raises:
        DivergedError: when the loss is not finite.
        StoppedError: when ``training.stop`` says that the trial is not worth going on with.
    """
    training = settings.training
    device = next(model.parameters()).device
    if group.size > 1:
        synchronize_batch_norm(model, device)
    optimizer = build_optimizer(model, training.optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=training.precision == "fp16")
    report = EpochReport(0, {})

    def check() -> None:
        if report.epoch < training.epochs:
            clips = min(len(loader) * training.batch_size, len(loader.videos))
            check_progress(training.stop, report.epoch, report.metrics, clips=clips)

    # Read once: another machine may still see the file of the epoch before.
    state = group.broadcast(load_checkpoint(checkpoint) if group.leads else None)
    if state is not None:
        model.load_state_dict(state["model"])
        report = EpochReport(state["epoch"], state["history"])
        if state["optimizer"] is not None:
            optimizer.load_state_dict(state["optimizer"])
            scaler.load_state_dict(state["scaler"])
        # The process may have died between the checkpoint and these calls.
        on_epoch(report)
        check()
    # The first process draws the masks of dropout that one alone would; the same ones in all would be a bias.
    own = (group.rank,) if group.rank else ()
    trained = group.wrap(_compile(model) if training.compile else model)
    for epoch in range(report.epoch, training.epochs):
        start_epoch(epoch)
        torch.manual_seed(derive_seed("dropout", seed, epoch, *own))
        metrics = _train_epoch(trained, loader, settings, optimizer, scaler, epoch, micro_batch, group)
        last = epoch + 1 == training.epochs
        if group.leads:
            save_checkpoint(
                checkpoint,
                epoch=epoch + 1,
                model=model.state_dict(),
                optimizer=None if last else optimizer.state_dict(),
                scaler=scaler.state_dict(),
                history=metrics,
            )
        report = EpochReport(epoch + 1, metrics)
        on_epoch(report)
        check()
    return report


def _compile(model: Recognizer) -> nn.Module:
    """What ``torch.compile`` makes of ``model``; both have the same weights."""
    # It gives up silently after eight networks of one class, and a process may train a whole grid.
    torch.compiler.reset()
    return cast("nn.Module", torch.compile(model))


def _train_epoch(
    model: nn.Module,
    loader: Loader[ClipBatch],
    settings: TrialSettings,
    optimizer: torch.optim.SGD,
    scaler: torch.amp.GradScaler,
    epoch: int,
    micro_batch: int | None,
    group: Group,
) -> dict[str, float]:
    training, device = settings.training, next(model.parameters()).device
    model.train()
    # Sums stay on the device: reading them at every step would make a GPU wait.
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    seen, rate, step = 0, 0.0, 0
    steps = len(loader)
    window = StepWindow(epoch, [entry.video_id for entry in loader.videos.entries])
    for batch in loader:
        indices = group.join(batch.indices, training.batch_size)
        if not len(indices):
            continue
        rate = derive_learning_rate(
            training.optimizer, training.schedule, epochs=training.epochs, progress=epoch + step / steps
        )
        set_learning_rate(optimizer, rate)
        labels = batch.labels.to(device, non_blocking=True)
        inputs = normalize(batch.assemble(settings.clip, device), settings.clip)
        optimizer.zero_grad(set_to_none=True)
        loss, scores = backpropagate(
            model,
            inputs,
            labels,
            micro_batch=micro_batch or len(indices),
            precision=training.precision,
            scaler=scaler,
            group=group,
            whole=len(indices),
        )
        if training.optimizer.clip_grad_norm is not None:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.optimizer.clip_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        seen += len(indices)
        loss_sum += loss * len(indices)
        correct += (scores.argmax(dim=1) == labels).sum()
        window.add(step, rate, loss, indices)
        step += 1
    window.check()
    mean_loss = float(loss_sum) / seen
    top1 = int(group.sum(correct)) / seen
    # Whether a trial is given up must not hang on the last bit of a sum.
    return group.broadcast({"train/loss": mean_loss, "train/top1": top1, "lr": rate})
