"""The statistics behind verdicts: differences with interval and test, always oriented so that the claim is "above".

Fewer than three repeats give values and neither interval nor test: a claim of the paper is about recipes, and one or
two trainings say nothing about other seeds.

Accuracies and gains vary over new videos and new repeats (:mod:`study.analysis.statistics.intervals`). A gain is the
difference of two differences on different videos: the parts of their variances that are due to videos are independent
and add up, and the part due to repeats is that of the contrast itself, repeat by repeat, with R - 1 degrees of freedom.
Attention coefficients vary over repeats alone, with Student's t over the contrasts of the repeats: their validation
videos are the same in all of them, and their means over hundreds of videos are known far better than the repeats'.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestPower

from study.analysis.claims.material import Floats
from study.analysis.claims.result import Estimate
from study.analysis.lint.rounding import Interval
from study.analysis.statistics.hits import PairedHits
from study.analysis.statistics.intervals import LEAST_REPEATS, half_width, tail
from study.analysis.statistics.power import MOST_REPEATS, POWER, Design
from study.analysis.statistics.variance import analyze

LEVEL = 0.95
ABOVE = Interval(0.0, math.inf)
"""Where a difference is claimed to lie that is claimed to be positive."""


@dataclass(frozen=True)
class Contrast:
    """One comparison that a claim rests on.

    Attributes:
        key: what is compared; equal for the same comparison in two claims.
        estimate: the number.
        claimed: where the claim has it.
        repeats_needed: repeats that would find a difference of the observed size four times in five; infinity where no
            number would, None where that is not known.
        unjudged: why no verdict can rest on it; "" where one can.
        remarks: what else is to be said of it, in sentences.
        absent: repeats that it lacks, a clause for each row.
        setting: what it was measured on, in sentences, where that is no matter of trials.
    """

    key: tuple[str, ...]
    estimate: Estimate
    claimed: Interval = ABOVE
    repeats_needed: float | None = None
    unjudged: str = ""
    remarks: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    setting: str = ""


def contrast_hits(
    key: tuple[str, ...], label: str, terms: Sequence[tuple[int, PairedHits]], claimed: Interval = ABOVE
) -> Contrast:
    """The signed sum of differences in accuracy, percentage points, over the repeats that all terms have.

    Args:
        key: what is compared.
        label: the same in words.
        terms: for each difference its sign and the hits of its two arms. Videos of different terms are different.
        claimed: where the claim has it, points; bounded at either end for a claim of value.

    Raises:
        ValueError: when the terms have no repeat in common, or one has fewer than two videos.
    """
    repeats = sorted(set.intersection(*(set(hits.repeats) for _, hits in terms)))
    if not repeats:
        raise ValueError("no repeat that all of them have")
    differences = [
        (sign, hits.differences[[hits.repeats.index(repeat) for repeat in repeats]]) for sign, hits in terms
    ]
    by_repeat = np.sum([sign * one.mean(axis=1) for sign, one in differences], axis=0)
    mean, count = float(by_repeat.mean()), len(repeats)
    estimate = Estimate(
        label=label,
        value=100 * mean,
        unit="points",
        level=LEVEL,
        repeats=tuple(repeats),
        by_repeat=tuple(100 * float(value) for value in by_repeat),
    )
    if count < LEAST_REPEATS:
        return Contrast(key, estimate, claimed, unjudged=describe_few(count))
    layouts = [analyze(one) for _, one in differences]
    of_videos = sum(layout.variance_between_videos for layout in layouts)
    of_one = float(by_repeat.var(ddof=1))
    width = 100 * float(half_width(of_videos, of_one / count, count, 1 - LEVEL)[0])
    # Repeats that happen to agree promise too much, as in Layout.planned_variance_of_one_repeat.
    planned = max(of_one, sum(layout.of_rest / layout.videos for layout in layouts))
    bound = 100.0 * len(terms)
    estimate = _with_inference(
        estimate,
        (max(100 * mean - width, -bound), min(100 * mean + width, bound)),
        tail(_distance(100 * mean, claimed) / 100, of_videos, of_one / count, count),
    )
    return Contrast(key, estimate, claimed, _count_repeats(abs(mean), of_videos, planned))


def contrast_coefficients(
    key: tuple[str, ...], label: str, higher: Mapping[int, float], lower: Mapping[int, float]
) -> Contrast:
    """Mean of ``higher`` minus ``lower`` over the repeats that both have, in the unit of attention coefficients.

    Args:
        key: what is compared.
        label: the same in words.
        higher: by number of the repeat, what is claimed to be higher.
        lower: likewise.

    Raises:
        ValueError: when they have no repeat in common.
    """
    repeats = sorted(set(higher) & set(lower))
    if not repeats:
        raise ValueError("no repeat that both of them have")
    differences: Floats = np.array([higher[repeat] - lower[repeat] for repeat in repeats])
    estimate = Estimate(
        label=label,
        value=float(differences.mean()),
        unit="coefficient",
        level=LEVEL,
        repeats=tuple(repeats),
        by_repeat=tuple(map(float, differences)),
    )
    if len(repeats) < LEAST_REPEATS:
        return Contrast(key, estimate, unjudged=describe_few(len(repeats)))
    spread = float(differences.std(ddof=1))
    if spread < 1e-12:
        return Contrast(
            key, estimate, unjudged="all repeats give the same value, so how far others may lie is unknown"
        )
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(LEVEL)
    ends = (float(interval.low), float(interval.high))
    needed = _count_repeats_of_t(abs(estimate.value) / spread)
    return Contrast(key, _with_inference(estimate, ends, float(test.pvalue)), repeats_needed=needed)


def describe_few(repeats: int) -> str:
    """Why one or two repeats are not judged."""
    return (
        "one repeat says nothing about other seeds"
        if repeats == 1
        else "two repeats say too little about other seeds"
    )


def _with_inference(estimate: Estimate, ends: tuple[float, float], p_value: float) -> Estimate:
    return replace(estimate, low=ends[0], high=ends[1], p_value=p_value)


def _distance(value: float, claimed: Interval) -> float:
    """From ``value`` to the nearer edge of what is claimed: how far it lies inside, or outside."""
    return min(abs(value - edge) for edge in (claimed.low, claimed.high) if math.isfinite(edge))


def _count_repeats(difference: float, of_videos: float, of_one_repeat: float) -> float:
    """Repeats, at least three, that find ``difference`` (a fraction) four times in five; infinity beyond 1,000."""
    numbers = range(LEAST_REPEATS, MOST_REPEATS + 1)
    index = bisect_left(
        numbers, POWER, key=lambda count: Design(count, of_videos, of_one_repeat, 1 - LEVEL).power(difference)
    )
    return numbers[index] if index < len(numbers) else math.inf


def _count_repeats_of_t(effect: float) -> float:
    """The same for a one-sample t-test of a mean that is ``effect`` standard deviations from 0."""
    numbers = range(LEAST_REPEATS, MOST_REPEATS + 1)
    index = bisect_left(
        numbers,
        POWER,
        key=lambda count: TTestPower().power(effect, count, 1 - LEVEL, alternative="two-sided"),
    )
    return numbers[index] if index < len(numbers) else math.inf
