"""Whether our arms come out in the order that the paper prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from study.analysis.statistics.deltas import LEVEL, Varies
from study.analysis.statistics.hits import Booleans, VideoHits, stack_hits
from study.analysis.statistics.intervals import LEAST_REPEATS, Floats

DRAWS = 4000
"""Draws of the accuracies."""
LEAST_ARMS = 3
"""Two arms have one order or the other; that is a delta, no rank agreement."""


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's tau-b between our accuracies and the published column.

    Attributes:
        tau: 1 where all pairs of arms are in the published order, -1 where all are reversed.
        low: lower end of its interval.
        high: upper end.
        level: what the interval is meant to hold, a fraction.
        varies: what it lets vary. The arms are those of the table, and the published numbers are taken as printed:
            the paper's own noise is not in it.
        p_value: two-sided, of the hypothesis that the two orders have nothing to do with each other, over all
            orders of the arms; it is about arms, not videos, and four arms cannot bring it below 1/12.
        arms: the arms compared.
    """

    tau: float
    low: float
    high: float
    level: float
    varies: Varies
    p_value: float
    arms: tuple[str, ...]


def agree_on_ranks(
    measured: Mapping[str, Mapping[int, VideoHits]],
    published: Mapping[str, float],
    level: float = LEVEL,
    seed: int = 0,
) -> RankAgreement:
    """Rank agreement of the arms that are in both ``measured`` and ``published``.

    The interval comes from draws of what the true accuracies may be: for videos a normal distribution with the
    arms' joint covariance over videos, for repeats (three or more) Student's with R - 1 degrees of freedom, the same
    two parts that a delta's interval has. The end points are quantiles of tau over these draws: tau takes few
    values, so they are coarse, and they hold the true tau more often than ``level``.

    Args:
        measured: hits of each arm by number of the repeat.
        published: the published value of each arm.
        level: of the interval, a fraction.
        seed: of the draws.

    Raises:
        ValueError: for fewer than three common arms, published values that are all equal, no common repeat, or arms
            with different videos.
    """
    arms = tuple(name for name in measured if name in published)
    if len(arms) < LEAST_ARMS:
        raise ValueError(
            f"{len(arms)} arms with a published value; rank agreement needs at least {LEAST_ARMS}"
        )
    values = np.array([published[name] for name in arms], np.float64)
    if np.ptp(values) == 0:
        raise ValueError("the published values are all equal, so they have no order")
    repeats, _, hits = stack_hits({name: measured[name] for name in arms})
    means = hits.mean(axis=(1, 2))
    if np.ptp(means) == 0:
        # All orders are equally far from the published one.
        tau, p_value = 0.0, 1.0
    else:
        result = stats.kendalltau(means, values)
        tau, p_value = float(result.statistic), float(result.pvalue)
    taus = _taus(means + _draw_errors(hits, seed), values)
    low, high = np.quantile(taus, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    varies: Varies = "videos and repeats" if len(repeats) >= LEAST_REPEATS else "videos"
    return RankAgreement(tau, float(min(low, tau)), float(max(high, tau)), level, varies, p_value, arms)


def _draw_errors(hits: Booleans, seed: int) -> Floats:
    """Draws (D, M) of how far the true accuracies of M arms may lie from those measured, from hits (M, R, N)."""
    _, repeats, videos = hits.shape
    generator = np.random.default_rng(seed)
    values = hits.astype(np.float64)
    centered = values - values.mean(axis=(1, 2), keepdims=True)
    by_video, by_repeat = centered.mean(axis=1), centered.mean(axis=2)
    of_videos = by_video @ by_video.T / (videos * (videos - 1))
    over_repeats = repeats >= LEAST_REPEATS
    if over_repeats:
        rest = centered - by_video[:, None, :] - by_repeat[:, :, None]
        squares = np.einsum("irn,jrn->ij", rest, rest, optimize=True)
        of_videos = of_videos - squares / ((videos - 1) * (repeats - 1) * videos * repeats)
    errors = _draw_normal(generator, of_videos + np.eye(len(hits)) / (2 * videos**2))
    if over_repeats:
        freedom = repeats - 1
        scale = np.sqrt(freedom / generator.chisquare(freedom, (DRAWS, 1)))
        errors = errors + scale * _draw_normal(generator, by_repeat @ by_repeat.T / (freedom * repeats))
    return errors


def _draw_normal(generator: np.random.Generator, covariance: Floats) -> Floats:
    """Normal draws (D, M). A difference of two covariances may have negative eigenvalues; they count as 0."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
    return np.asarray(generator.standard_normal((DRAWS, len(covariance))) @ root.T)


def _taus(drawn: npt.NDArray[np.float64], values: Floats) -> Floats:
    """Kendall's tau-b of each row of ``drawn`` (D, M), which has no ties, with ``values`` (M,)."""
    first, second = np.triu_indices(values.size, k=1)
    order = np.sign(values[first] - values[second])
    agreement = np.sign(drawn[:, first] - drawn[:, second]) @ order
    return np.asarray(agreement / np.sqrt(order.size * np.abs(order).sum()))
