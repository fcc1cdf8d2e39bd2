"""What the harness adds to a bare PyTorch training loop, and where the time of a laptop trial goes.

    uv run python -m benchmarks.training_loop                the loop against a bare one, an epoch a turn
    uv run python -m benchmarks.training_loop --rounds 11    more turns of each
    uv run python -m benchmarks.training_loop --save         keeps the figures
    uv run python -m benchmarks.training_loop --profile      a whole trial instead, by what it does

Both loops train the same network of the laptop profile (STH, table 7) on one thread, from the same weights, on the
same clips in the same order, and end at the same weights bit by bit, which is checked in every turn. Process CPU time
of a whole epoch each, in a random order each turn; medians of the ratios within a turn, with quartiles.

    bare       for each batch of bytes, already cropped and in memory: normalize, zero_grad, forward, cross-entropy,
               backward, clip_grad_norm_, a step of SGD at the schedule's rate; nothing else
    harness    :func:`study.training.fit.fit` for one epoch: drawing, cropping and flipping clips of cached frames,
               batches, the same step, loss and accuracy, the watch for losses that are not finite, the checkpoint, the
               line of metrics

Not in either: starting processes, decoding (an epoch reads cached frames; the first one of a trial decodes them, see
``--profile``), evaluation, Ray and MLflow. CPU time does not see how long disks are waited for.
"""

from __future__ import annotations

import argparse
import copy
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.history import Keeper, add_save_option, show_spread
from benchmarks.trial_profile import make_trial, profile_trial
from study.data.dataset import ClipDataset, Videos
from study.data.loading import Loader, build_clip_loader
from study.data.samples import ClipBatch
from study.data.transforms import normalize
from study.models.build import build_model
from study.models.recognizer import Recognizer
from study.running.executor import Place
from study.running.trial_files import append_metrics, has_metrics
from study.spec.runtime import Quartiles
from study.spec.trial import Trial, TrialSettings
from study.training.checkpoint import save_checkpoint
from study.training.device import set_up_arithmetic
from study.training.fit import EpochReport, fit
from study.training.optim import build_optimizer, derive_learning_rate, set_learning_rate
from study.training.steps import StepWindow

SEED = 0
TARGET = "training, harness / bare loop"
WITHOUT_LOADER = "training, harness without its loader / bare loop"
"""The bare loop is given its clips; whoever trains for real has to draw them, too."""
PARTS = ("loader", "checkpoint", "line of metrics", "loss and accuracy", "rate and watch")


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each loop")
    parser.add_argument("--videos", type=int, default=900, help="of an epoch; the profile has 900")
    parser.add_argument(
        "--profile", action="store_true", help="where the time of a whole trial goes; then stop"
    )
    add_save_option(parser)
    arguments = parser.parse_args()
    keeper = Keeper("training_loop", arguments.save)
    with tempfile.TemporaryDirectory() as scratch:
        trial, place = make_trial(Path(scratch), arguments.videos)
        if arguments.profile:
            print(profile_trial(trial, place))
            return
        found = race(Epoch.prepare(trial, place), arguments.rounds)
    print(found.describe())
    print(keeper.conclude({TARGET: found.ratios, WITHOUT_LOADER: found.ratios_without_loader}))


@dataclass
class Found:
    """CPU seconds of every turn.

    Attributes:
        bare: of the bare loop.
        harness: of the harness's.
        parts: what of the harness's time its parts took, by name.
    """

    bare: list[float] = field(default_factory=list)
    harness: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PARTS})

    @property
    def ratios(self) -> list[float]:
        """Harness over bare, turn by turn."""
        return [ours / bare for ours, bare in zip(self.harness, self.bare, strict=True)]

    @property
    def ratios_without_loader(self) -> list[float]:
        """The same without the time that batches of clips were waited for."""
        spent = zip(self.harness, self.parts["loader"], self.bare, strict=True)
        return [(ours - loader) / bare for ours, loader, bare in spent]

    def describe(self) -> str:
        """Each part as a share of the bare loop, and what no part explains."""
        bare = np.array(self.bare)
        shares = {name: np.array(seconds) / bare for name, seconds in self.parts.items()}
        rest = np.array(self.harness) / bare - 1 - sum(shares.values())
        rows = [
            [name, *show_spread(Quartiles.of((100 * share).tolist()))]
            for name, share in (shares | {"not explained": rest}).items()
        ]
        return (
            f"bare loop: {np.median(bare):.2f} CPU s an epoch; harness: {np.median(self.harness):.2f}; medians of "
            f"{len(bare)} turns\n\n"
            + tabulate(rows, headers=["of the harness", "% of bare", "quartiles"], disable_numparse=True)
            + "\n"
        )


@dataclass(frozen=True)
class Epoch:
    """One epoch of a trial, ready to be trained by either loop as often as wanted.

    Attributes:
        trial: the trial.
        model: the network before it.
        loader: the harness's, with warm caches.
        batches: what it gives: clips of bytes (N, C, T, H, W), labels, indices.
        folder: where checkpoints and metrics go.
    """

    trial: Trial
    model: Recognizer
    loader: Loader[ClipBatch]
    batches: list[ClipBatch]
    folder: Path

    @classmethod
    def prepare(cls, trial: Trial, place: Place) -> Epoch:
        """Decode the videos of ``trial`` and draw its batches."""
        from study.data.catalog import open_dataset
        from study.data.opening import prepare_videos

        settings = trial.settings
        set_up_arithmetic(settings.training, threads=1)
        source = open_dataset(settings.data, place.data_dir)
        manifest = source.manifest()
        prepare_videos(source, manifest, settings.clip.modality)
        videos = Videos(manifest, manifest.train, settings.clip, settings.resources.frame_cache_mib)
        dataset = ClipDataset(videos, SEED)
        loader = build_clip_loader(dataset, settings.training.batch_size)
        dataset.set_epoch(0)
        clip = settings.clip
        model = build_model(
            settings.model, num_classes=len(manifest.classes), frames=clip.frames, seed=SEED, in_channels=3
        )
        return cls(trial, model, loader, list(loader), place.folder)


def race(epoch: Epoch, rounds: int) -> Found:
    """Both loops in turns.

    Raises:
        AssertionError: when they end at different weights.
    """
    found = Found()
    for turn in range(rounds + 1):
        weights: dict[str, dict[str, Tensor]] = {}
        seconds: dict[str, float] = {}
        parts: dict[str, float] = {}
        for name in random.sample(["bare", "harness"], 2):
            model = copy.deepcopy(epoch.model)
            run = (
                partial(train_bare, epoch, model)
                if name == "bare"
                else partial(train_harness, epoch, model, parts)
            )
            began = time.process_time()
            run()
            seconds[name] = time.process_time() - began
            weights[name] = model.state_dict()
        check_equal(weights["bare"], weights["harness"])
        if turn:  # the first warms caches
            found.bare.append(seconds["bare"])
            found.harness.append(seconds["harness"])
            parts |= time_steps(epoch)
            for part in PARTS:
                found.parts[part].append(parts[part])
    return found


def train_bare(epoch: Epoch, model: Recognizer) -> None:
    """What somebody would write who wants this one network trained on these batches."""
    settings = epoch.trial.settings
    training, limit = settings.training, settings.training.optimizer.clip_grad_norm
    optimizer = build_optimizer(model, training.optimizer)
    rates = iter(list_rates(settings, len(epoch.batches)))
    model.train()
    for batch in epoch.batches:
        for group, rate in zip(optimizer.param_groups, next(rates), strict=True):
            group["lr"] = rate
        assert batch.clips is not None
        inputs = normalize(batch.clips, settings.clip)
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(inputs), batch.labels).backward()  # type: ignore[no-untyped-call]
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()


def list_rates(settings: TrialSettings, steps: int) -> list[list[float]]:
    """The rate of each group of parameters at each step of the first epoch."""
    multipliers = (1.0, 1.0, settings.training.optimizer.classifier_lr_mult)
    factors = (*multipliers, 2 * multipliers[-1])
    return [[_rate(settings, step, steps) * factor for factor in factors] for step in range(steps)]


def _rate(settings: TrialSettings, step: int, steps: int) -> float:
    training = settings.training
    return derive_learning_rate(
        training.optimizer, training.schedule, epochs=training.epochs, progress=step / steps
    )


def train_harness(epoch: Epoch, model: Recognizer, parts: dict[str, float]) -> None:
    """The harness's epoch; notes in ``parts`` the CPU seconds of what can be told apart from outside."""
    folder = epoch.folder
    checkpoint = folder / "checkpoint.pt"
    for file in (checkpoint, folder / "metrics.jsonl"):
        file.unlink(missing_ok=True)

    def on_epoch(report: EpochReport) -> None:
        with timing(parts, "line of metrics"):
            if not has_metrics(folder, report.epoch):
                append_metrics(folder, report.epoch, report.metrics)
        raise EndOfEpochError

    def save(*arguments: Any, **options: Any) -> None:
        with timing(parts, "checkpoint"):
            save_checkpoint(*arguments, **options)

    loader: Any = TimedLoader(epoch.loader, parts)
    with patch("study.training.fit.save_checkpoint", save), suppress(EndOfEpochError):
        fit(
            model,
            loader,
            epoch.trial.settings,
            seed=SEED,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            start_epoch=lambda number: None,
        )


class EndOfEpochError(Exception):
    """The first epoch is over; its checkpoint is one amid training, with the optimizer's state."""


class TimedLoader:
    """A loader whose batches are waited for by the clock."""

    def __init__(self, loader: Loader[ClipBatch], parts: dict[str, float]) -> None:
        self.videos, self._loader, self._parts = loader.videos, loader, parts

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[ClipBatch]:
        batches = iter(self._loader)
        while True:
            with timing(self._parts, "loader"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


@contextmanager
def timing(parts: dict[str, float], name: str) -> Iterator[None]:
    """Add the CPU seconds of a block to ``parts[name]``."""
    began = time.process_time()
    try:
        yield
    finally:
        parts[name] = parts.get(name, 0.0) + time.process_time() - began


def time_steps(epoch: Epoch) -> dict[str, float]:
    """CPU seconds of what the harness does besides the step itself, over as many steps as an epoch has."""
    settings, parts = epoch.trial.settings, dict[str, float]()
    steps = len(epoch.batches)
    optimizer = build_optimizer(copy.deepcopy(epoch.model), settings.training.optimizer)
    window = StepWindow(0, [entry.video_id for entry in epoch.loader.videos.entries])
    loss = torch.zeros((), dtype=torch.float64)
    loss_sum, correct = loss.clone(), torch.zeros((), dtype=torch.int64)
    scores = torch.rand(settings.training.batch_size, epoch.model.classifier.out_features)
    for step, batch in enumerate(epoch.batches):
        with timing(parts, "loss and accuracy"):
            loss_sum += loss * len(batch.indices)
            correct += (scores.argmax(dim=1) == batch.labels).sum()
        with timing(parts, "rate and watch"):
            rate = _rate(settings, step, steps)
            set_learning_rate(optimizer, rate)
            window.add(step, rate, loss, batch.indices)
    return parts


def check_equal(bare: Mapping[str, Tensor], harness: Mapping[str, Tensor]) -> None:
    """Raise AssertionError unless both have the same bits."""
    different = [name for name, value in bare.items() if not torch.equal(value, harness[name])]
    if different or set(bare) != set(harness):
        raise AssertionError(
            f"the loops do not do the same: {len(different)} tensors differ, {different[:1]}"
        )


if __name__ == "__main__":
    main()
