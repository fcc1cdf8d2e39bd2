"""The difference between an arm and its baseline, with everything one may say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from scipy import stats

from study.analysis.statistics.bootstrap import bootstrap_interval
from study.analysis.statistics.hits import PairedHits
from study.analysis.statistics.intervals import LEAST_REPEATS, half_width, tail
from study.analysis.statistics.power import (
    count_repeats_needed,
    detectable_over_repeats,
    detectable_over_videos,
)
from study.analysis.statistics.significance import correct_holm, exchange_arms
from study.analysis.statistics.variance import Layout, analyze

Varies = Literal["videos", "videos and repeats"]
LEVEL = 0.95


@dataclass(frozen=True)
class Inference:
    """An interval, percentage points, and the two-sided p-value of the hypothesis of no difference."""

    low: float
    high: float
    p_value: float
    test: str
    """How ``p_value`` was found, in words."""


@dataclass(frozen=True)
class Delta:
    """Arm minus baseline, in percentage points, paired by video and repeat.

    Attributes:
        points: the difference of the accuracies.
        low: lower end of its interval, points.
        high: upper end.
        level: what the interval is meant to hold, a fraction.
        varies: what the interval and the test let vary. With ``videos`` they are about these trained networks and
            say nothing about other seeds.
        p_value: two-sided, of the hypothesis of no difference.
        p_holm: the same, corrected for the comparisons of a table; None until :func:`correct_deltas`.
        test: how ``p_value`` was found, in words.
        by_repeat: the difference in each repeat, points.
        repeats: their numbers.
        videos: number of videos.
        detectable: the smallest true difference that this design finds with 80 % power, points.
        repeats_needed: repeats that would find the observed difference with 80 % power; infinity where no number
            would, None where fewer than three repeats say nothing about it.
        over_videos: what can be said of these trained networks on new videos, whatever ``varies``; with fewer than
            three repeats the same as above. It is narrower, and no claim about the recipes.
        hits: what it was computed from.
        seed: of the bootstrap.
    """

    points: float
    low: float
    high: float
    level: float
    varies: Varies
    p_value: float
    p_holm: float | None
    test: str
    by_repeat: tuple[float, ...]
    repeats: tuple[int, ...]
    videos: int
    detectable: float
    repeats_needed: float | None
    over_videos: Inference
    hits: PairedHits = field(repr=False, compare=False)
    seed: int = 0

    @cached_property
    def bootstrap(self) -> tuple[float, float]:
        """Interval of the bootstrap nested in repeats and videos, points; see
        :mod:`study.analysis.statistics.bootstrap` for what it is worth. Computed when it is first asked for: it takes
        longer than all the rest.
        """
        return bootstrap_interval(self.hits, self.level, seed=self.seed)

    def __post_init__(self) -> None:
        if not self.low <= self.points <= self.high:
            raise ValueError(f"the interval {self.low} to {self.high} does not hold {self.points}")


def compare(hits: PairedHits, level: float = LEVEL, seed: int = 0) -> Delta:
    """The difference between the two arms of ``hits``.

    Three repeats or more: interval and test over new videos and new repeats
    (:mod:`study.analysis.statistics.intervals`). Fewer: over new videos only, Student's interval of the videos' mean
    differences and the exact permutation test (McNemar's for one repeat); the two may disagree by a hair.

    Args:
        hits: of both arms.
        level: of the interval, a fraction; the powers take 1 - ``level`` as the test's.
        seed: of the bootstrap.

    Raises:
        ValueError: for fewer than two videos, or a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    alpha, differences = 1 - level, hits.differences
    layout = analyze(differences)
    over_videos = _infer_over_videos(hits, layout, alpha)
    several = layout.repeats >= LEAST_REPEATS
    inference = _infer_over_repeats(layout, alpha) if several else over_videos
    detect = detectable_over_repeats if several else detectable_over_videos
    return Delta(
        points=100 * layout.mean,
        low=inference.low,
        high=inference.high,
        level=level,
        varies="videos and repeats" if several else "videos",
        p_value=inference.p_value,
        p_holm=None,
        test=inference.test,
        by_repeat=tuple(100 * float(value) for value in differences.mean(axis=1)),
        repeats=hits.repeats,
        videos=layout.videos,
        detectable=100 * detect(layout, alpha),
        repeats_needed=count_repeats_needed(layout, alpha) if several else None,
        over_videos=over_videos,
        hits=hits,
        seed=seed,
    )


def find_p_value(hits: PairedHits) -> float:
    """The ``p_value`` that :func:`compare` gives, without the rest.

    Raises:
        ValueError: for fewer than two videos.
    """
    layout = analyze(hits.differences)
    if layout.repeats < LEAST_REPEATS:
        return exchange_arms(hits)
    of_videos, of_repeats = layout.variance_between_videos, layout.variance_over_repeats
    return tail(abs(layout.mean), of_videos, of_repeats, layout.repeats)


def correct_deltas(deltas: Sequence[Delta]) -> tuple[Delta, ...]:
    """``deltas`` of one table with ``p_holm``."""
    corrected = correct_holm([delta.p_value for delta in deltas])
    return tuple(replace(delta, p_holm=p) for delta, p in zip(deltas, corrected, strict=True))


def _infer_over_repeats(layout: Layout, alpha: float) -> Inference:
    of_videos, of_repeats = layout.variance_between_videos, layout.variance_over_repeats
    width = float(half_width(of_videos, of_repeats, layout.repeats, alpha)[0])
    p_value = tail(abs(layout.mean), of_videos, of_repeats, layout.repeats)
    test = f"two-way random effects (videos and {layout.repeats} repeats), Behrens-Fisher"
    return Inference(*_ends(layout.mean, width), p_value, test)


def _infer_over_videos(hits: PairedHits, layout: Layout, alpha: float) -> Inference:
    width = float(stats.t.isf(alpha / 2, layout.videos - 1)) * layout.variance_over_videos**0.5
    test = "McNemar, exact" if layout.repeats == 1 else "exchange of the arms video by video, exact"
    return Inference(*_ends(layout.mean, width), exchange_arms(hits), test)


def _ends(mean: float, width: float) -> tuple[float, float]:
    """The interval in points. No two accuracies are more than 100 points apart."""
    return 100 * max(mean - width, -1.0), 100 * min(mean + width, 1.0)
