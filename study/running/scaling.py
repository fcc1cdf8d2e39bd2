"""What a study takes at scale: work, bytes and calls of each trial, and when they end on so many devices.

Nothing here is measured. Seconds of a trial come from whoever asks (:mod:`study.commands.scaling`); trials are laid
out as a launch lays them out, each on a device of its own, the next one where a device is free first.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.running.forecast import TRAINING
from study.spec.trial import TrialSettings
from study.spec.views import derive_views

BYTES = 4
"""Of a weight and of a score."""


@dataclass(frozen=True)
class Schedule:
    """When trials end.

    Attributes:
        places: trials at a time.
        seconds: until the last has ended.
        busy: seconds that all places together are at work.
        longest: seconds of the longest chain of trials of which each waits for the one before.
    """

    places: int
    seconds: float
    busy: float
    longest: float

    @property
    def bound(self) -> float:
        """Seconds that no order of the trials could beat."""
        return max(self.busy / self.places, self.longest)

    @property
    def utilization(self) -> float:
        """Fraction of the time that a place is at work."""
        return self.busy / (self.places * self.seconds) if self.seconds else 1.0


def simulate(
    groups: Sequence[Sequence[str]],
    seconds: Mapping[str, float],
    places: int,
    parents: Mapping[str, str] | None = None,
) -> Schedule:
    """Lay trials out on ``places``.

    Args:
        groups: trial ids; each group begins when the one before has ended, in the order in which it stands.
        seconds: of each trial.
        places: trials at a time, at least 1.
        parents: the trial that a trial starts from, where it has one.

    Raises:
        ValueError: without a place, or when a trial stands in a group that is not after its parent's.
    """
    if places < 1:
        raise ValueError(f"places {places}: allowed: 1 and more")
    now, ended, chain = 0.0, set[str](), dict[str, float]()
    for group in groups:
        free = [now] * places
        for trial in group:
            parent = (parents or {}).get(trial)
            if parent is not None and parent not in ended:
                raise ValueError(f"trial {trial} stands before the end of {parent}, which it starts from")
            chain[trial] = seconds[trial] + chain.get(parent or "", 0.0)
            end = heapq.heappop(free) + seconds[trial]
            heapq.heappush(free, end)
            now = max(now, end)
        ended.update(group)
    return Schedule(places, now, sum(seconds[trial] for trial in chain), max(chain.values(), default=0.0))


@dataclass(frozen=True)
class Work:
    """What a trial does.

    Attributes:
        training_clips: clips that go forward and backward through the network.
        views: views that go forward through it, by their size in pixels.
        readings: how often a video is opened, by the number of images that are wanted of it then: several a frame in
            flow, once for all crops of a clip.
    """

    training_clips: int
    views: Mapping[int, int]
    readings: Mapping[int, int]

    @property
    def opened(self) -> int:
        """How often a video is opened."""
        return sum(self.readings.values())

    @property
    def images(self) -> int:
        """Images that are wanted."""
        return sum(wanted * times for wanted, times in self.readings.items())

    def count_gmacs(self, gmacs_per_view: float, size: int) -> tuple[float, float]:
        """Multiply-accumulates of training and of evaluation, in billions, of a network that does
        ``gmacs_per_view`` with a view of ``size`` pixels. Of other sizes they grow with the area.
        """
        scaled = sum(count * (other / size) ** 2 for other, count in self.views.items())
        return TRAINING * self.training_clips * gmacs_per_view, scaled * gmacs_per_view


def derive_work(settings: TrialSettings, train_videos: int, val_videos: int) -> Work:
    """The work of a trial on so many videos.

    An epoch drops its incomplete batch; every ``evaluation.every`` epochs, but for the last, the primary protocol is
    measured, and after the last one all views of all protocols, each once.
    """
    training, evaluation, clip = settings.training, settings.evaluation, settings.clip
    batch = min(training.batch_size, train_videos)
    clips = training.epochs * (train_videos // batch * batch)
    by_protocol = {name: derive_views(spec, clip) for name, spec in evaluation.protocols.items()}
    validations = (training.epochs - 1) // evaluation.every if evaluation.every else 0
    passes = [by_protocol[evaluation.primary]] * validations
    passes.append(tuple(dict.fromkeys(view for views in by_protocol.values() for view in views)))
    # Flow is two images for each displacement, color one a frame; those of a snippet are frames of the clip already.
    images = clip.frames * (clip.modality.channels if clip.modality.type == "flow" else 1)
    views, readings = Counter[int](), Counter({images: clips})
    for one in passes:
        views.update({size: val_videos * count for size, count in Counter(view.size for view in one).items()})
        readings[images * len({view.clip for view in one})] += val_videos
    return Work(clips, views, readings)


@dataclass(frozen=True)
class Footprint:
    """What a trial leaves behind, and what it takes while it runs; bytes, and rows of MLflow's database.

    Attributes:
        checkpoint: its final weights.
        peak_checkpoint: weights and momentum, which a checkpoint amid training has; the file before it is there until
            the new one is whole.
        scores: of every validation video and view, not compressed.
        rows: of metrics, parameters and tags.
    """

    checkpoint: int
    peak_checkpoint: int
    scores: int
    rows: int


def derive_footprint(
    settings: TrialSettings, params_m: float, val_videos: int, classes: int, run_rows: int
) -> Footprint:
    """The footprint of a trial.

    Args:
        settings: the trial.
        params_m: parameters of the network, millions.
        val_videos: videos that are scored.
        classes: scores of a view.
        run_rows: parameters, tags and metrics that do not come epoch by epoch.
    """
    training, evaluation, clip = settings.training, settings.evaluation, settings.clip
    weights = round(1e6 * params_m) * BYTES
    views = {view for spec in evaluation.protocols.values() for view in derive_views(spec, clip)}
    validations = (training.epochs - 1) // evaluation.every + 1 if evaluation.every else 1
    rows = run_rows + 3 * training.epochs + 2 * validations
    return Footprint(weights, 2 * 2 * weights, val_videos * len(views) * classes * BYTES, rows)
