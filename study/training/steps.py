"""One step of training: a batch in as many passes as memory needs, and what the last steps were.

A batch that does not fit into memory goes through the network in micro-batches whose gradients add up to those of the
whole batch. BatchNorm then normalizes over a micro-batch instead of the batch, so the result is not the same one: the
size is recorded, and two arms that differ in it are not compared as if they did not.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from study.spec.record import TrainingStep
from study.training.device import open_autocast
from study.training.group import SINGLE, Group

WINDOW = 20
"""Steps that are kept before the one whose loss is no longer finite."""


class DivergedError(Exception):
    """The loss is no longer finite.

    Attributes:
        steps: the last steps, up to the first whose loss is not finite.
    """

    def __init__(self, message: str, steps: tuple[TrainingStep, ...] = ()) -> None:
        super().__init__(message)
        self.steps = steps


def backpropagate(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    micro_batch: int,
    precision: str,
    scaler: torch.amp.GradScaler,
    group: Group = SINGLE,
    whole: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of the mean cross-entropy of a batch to the gradients of ``model``.

    Args:
        model: in training mode; of several processes, as :meth:`Group.wrap` gives it.
        inputs: normalized clips (N, C, T, H, W), on the model's device: this process' share of the batch.
        labels: classes (N,), likewise.
        micro_batch: clips of one pass over all processes; those of the batch or more for a single one.
        precision: see :attr:`study.spec.training.TrainingSpec.precision`.
        scaler: of the loss.
        group: the processes that have a share of the batch.
        whole: clips of the batch over all processes; N when None.

    Returns:
        Mean loss of the whole batch, a float64 scalar, and scores of the share (N, classes); on the device, without
        gradients.
    """
    total = whole or len(labels)
    loss_sum = torch.zeros((), dtype=torch.float64, device=labels.device)
    scores = []
    passes = list(
        zip(
            group.split(inputs, whole=total, most=micro_batch),
            group.split(labels, whole=total, most=micro_batch),
            strict=True,
        )
    )
    for number, (clips, classes) in enumerate(passes, 1):
        # Gradients are averaged over the processes once they are complete.
        waits = isinstance(model, DistributedDataParallel) and number < len(passes)
        with model.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with open_autocast(precision, labels.device):
                output = model(clips)
            # The mean over nothing would be no number; this is zero, and takes part in the others' passes.
            loss = cross_entropy(output.float(), classes) if len(classes) else output.float().sum()
            share = len(classes) / total
            # The average over the processes is then the mean over the whole batch, however uneven their shares.
            weight = share * group.size
            torch.autograd.backward(scaler.scale(loss * weight if weight != 1 else loss))
        loss_sum += loss.detach().double() * share
        scores.append(output.detach())
    return group.sum(loss_sum), torch.cat(scores)


@dataclass(frozen=True)
class _Step:
    """A step as it is kept while it trains: the loss stays on the device."""

    number: int
    rate: float
    loss: Tensor
    indices: Tensor


class StepWindow:
    """The last steps of an epoch. Their losses are looked at once in :data:`WINDOW` steps: each look makes a GPU wait.

    Args:
        epoch: number of the epoch, from 0.
        video_ids: of the training videos, in the order of their indices.
    """

    def __init__(self, epoch: int, video_ids: list[str]) -> None:
        self._epoch, self._video_ids = epoch, video_ids
        # Between two looks as many steps may follow the one that matters.
        self._steps: deque[_Step] = deque(maxlen=2 * WINDOW)

    def add(self, number: int, rate: float, loss: Tensor, indices: Tensor) -> None:
        """Note step ``number``, from 0.

        Raises:
            DivergedError: when one of the last losses is not finite.
        """
        self._steps.append(_Step(number, rate, loss, indices))
        if (number + 1) % WINDOW == 0:
            self.check()

    def check(self) -> None:
        """Look at the losses.

        Raises:
            DivergedError: when one of them is not finite.
        """
        if not self._steps:
            return
        losses = torch.stack([step.loss for step in self._steps]).tolist()
        first = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if first is None:
            return
        kept = [
            TrainingStep(
                epoch=self._epoch + 1,
                step=step.number + 1,
                lr=step.rate,
                loss=loss,
                videos=tuple(self._video_ids[index] for index in step.indices.tolist()),
            )
            for step, loss in zip(list(self._steps)[: first + 1], losses, strict=False)
        ][-WINDOW - 1 :]
        raise DivergedError(
            f"the training loss of epoch {self._epoch + 1} is {losses[first]} at step {kept[-1].step}",
            tuple(kept),
        )
