"""Accuracy class by class: of an arm by itself, and of one arm beside another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from study.analysis.statistics.deltas import LEVEL, Varies
from study.analysis.statistics.hits import VideoHits, stack_hits
from study.analysis.statistics.intervals import LEAST_REPEATS, half_width
from study.analysis.statistics.variance import Layout, analyze

HitsByRepeat = Mapping[int, VideoHits]
LEAST_VIDEOS = 2
"""Classes with fewer videos get no interval. Few videos make it wide rather than wrong: simulated with 2 to 60 videos
a class and three or five repeats, the intervals of 95 % hold the truth 97 to 100 times in a hundred."""


@dataclass(frozen=True)
class ClassDifference:
    """One class under two arms.

    Attributes:
        label: its number.
        name: its name.
        videos: how many it has.
        arm: top-1 of the first arm, a fraction, the mean over repeats.
        baseline: of the second.
        points: the difference, percentage points.
        low: lower end of its interval, points; None below ``LEAST_VIDEOS`` videos.
        high: upper end.
    """

    label: int
    name: str
    videos: int
    arm: float
    baseline: float
    points: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class ClassComparison:
    """Two arms class by class.

    Attributes:
        classes: from the largest difference to the smallest, ties by number.
        repeats: numbers of the repeats that both arms have.
        varies: what the intervals let vary.
        level: what each interval by itself is meant to hold. They are not corrected for each other.
    """

    classes: tuple[ClassDifference, ...]
    repeats: tuple[int, ...]
    varies: Varies
    level: float = LEVEL


@dataclass(frozen=True)
class ClassAccuracy:
    """One class under one arm.

    Attributes:
        label: its number.
        name: its name.
        videos: how many it has.
        by_repeat: top-1 in each repeat, fractions.
        always_right: names of the videos that every repeat got right, sorted.
    """

    label: int
    name: str
    videos: int
    by_repeat: tuple[float, ...]
    always_right: tuple[str, ...]

    @property
    def top1(self) -> float:
        """The mean over repeats, a fraction."""
        return sum(self.by_repeat) / len(self.by_repeat)


def compare_classes(
    arm: HitsByRepeat, baseline: HitsByRepeat, names: Sequence[str], level: float = LEVEL
) -> ClassComparison:
    """The difference of two arms in each class, paired by video and by repeat.

    Three repeats or more: intervals over new videos of the class and new repeats, as for the differences of tables.
    Fewer: over new videos only, Student's; they say nothing about other seeds.

    Args:
        arm: hits of the first arm by number of the repeat.
        baseline: of the second.
        names: of the classes, by number; may be too short, then a class is called by its number.
        level: of the intervals, a fraction.

    Raises:
        ValueError: when no repeat is common, or the trials are about different videos or labels.
    """
    repeats, _, hits = stack_hits({"the first arm": arm, "the second": baseline})
    labels = arm[repeats[0]].labels
    classes = []
    for label in np.unique(labels):
        own = hits[:, :, labels == label].astype(np.float64)
        low, high = _find_interval(own[0] - own[1], 1 - level)
        first, second = (float(value) for value in own.mean(axis=(1, 2)))
        points = 100 * float((own[0] - own[1]).mean())
        name = name_class(int(label), names)
        classes.append(ClassDifference(int(label), name, own.shape[2], first, second, points, low, high))
    classes.sort(key=lambda one: (-one.points, one.label))
    varies: Varies = "videos and repeats" if len(repeats) >= LEAST_REPEATS else "videos"
    return ClassComparison(tuple(classes), repeats, varies, level)


def rank_classes(hits: HitsByRepeat, names: Sequence[str]) -> tuple[ClassAccuracy, ...]:
    """The classes from the one that is recognized best to the worst.

    They go by the lower end of Wilson's interval of their accuracy with as many trials as the class has videos, so
    that a class of two videos, both right, does not come before one of fifty with one wrong. Ties by number.

    Args:
        hits: of one arm by number of the repeat.
        names: of the classes, as for :func:`compare_classes`.

    Raises:
        ValueError: when there are no hits, or the trials are about different videos or labels.
    """
    repeats, videos, stacked = stack_hits({"the arm": hits})
    labels = hits[repeats[0]].labels
    classes = []
    for label in np.unique(labels):
        mine = labels == label
        own = stacked[0][:, mine]
        right = tuple(str(name) for name in videos[mine][own.all(axis=0)])
        by_repeat = tuple(float(value) for value in own.mean(axis=1))
        classes.append(
            ClassAccuracy(int(label), name_class(int(label), names), own.shape[1], by_repeat, right)
        )
    return tuple(sorted(classes, key=lambda one: (-_lower_end(one), one.label)))


def name_class(label: int, names: Sequence[str]) -> str:
    """The name of a class, or "class 12" where it has none."""
    return names[label] if 0 <= label < len(names) and names[label] else f"class {label}"


def _lower_end(one: ClassAccuracy) -> float:
    low, _ = proportion_confint(one.top1 * one.videos, one.videos, method="wilson")
    return round(float(low), 12)


def _find_interval(
    differences: npt.NDArray[np.float64], alpha: float
) -> tuple[float, float] | tuple[None, None]:
    """The interval in points of the mean of ``differences`` (R, N) of one class."""
    if differences.shape[1] < LEAST_VIDEOS:
        return None, None
    layout = analyze(differences)
    width = _half_width(layout, alpha)
    return 100 * max(layout.mean - width, -1.0), 100 * min(layout.mean + width, 1.0)


def _half_width(layout: Layout, alpha: float) -> float:
    if layout.repeats < LEAST_REPEATS:
        return float(stats.t.isf(alpha / 2, layout.videos - 1) * layout.variance_over_videos**0.5)
    of_videos, of_repeats = layout.variance_between_videos, layout.variance_over_repeats
    return float(half_width(of_videos, of_repeats, layout.repeats, alpha)[0])
