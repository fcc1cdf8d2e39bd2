"""The bootstrap nested in repeats and videos, as it is usually done.

Repeats are drawn with replacement, and videos jointly for both arms and all repeats, because the same videos occur
in every one. It is shown beside the calibrated interval (:mod:`study.analysis.statistics.intervals`), not in its
place: with three repeats its "95 %" is 99 where seeds hardly matter and 76 to 90 where they do, because three
values resampled have two thirds of the variance and none of the tail.
"""

from __future__ import annotations

import numpy as np

from study.analysis.statistics.hits import PairedHits
from study.analysis.statistics.intervals import LEAST_REPEATS, Floats

DRAWS = 4000
"""Resamples."""


def resample_means(differences: Floats, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Means (draws,) of resampled ``differences`` (R, N), whose values are -1, 0 and 1.

    Videos with the same differences in all repeats are interchangeable, so a resample draws how often each pattern
    occurs; that is the same distribution as drawing videos, at a thousandth of the cost. One or two repeats stay as
    they are: resampled, they would only seem to say something about repeats.
    """
    repeats, videos = differences.shape
    generator = np.random.default_rng(seed)
    patterns, counts = np.unique(differences.T, axis=0, return_counts=True)
    by_repeat = generator.multinomial(videos, counts / videos, size=draws) @ patterns / videos
    if repeats < LEAST_REPEATS:
        return np.asarray(by_repeat.mean(axis=1))
    times = generator.multinomial(repeats, np.full(repeats, 1 / repeats), size=draws)
    return np.asarray((by_repeat * times).sum(axis=1) / repeats)


def bootstrap_interval(
    hits: PairedHits, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the difference, percentage points."""
    means = resample_means(hits.differences, draws, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return 100 * float(low), 100 * float(high)
