"""Whether our arms come out in the order that the paper prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from study.analysis.statistics.deltas import LEVEL, Varies, find_p_value
from study.analysis.statistics.hits import PairedHits, VideoHits, stack_hits
from study.analysis.statistics.intervals import LEAST_REPEATS
from study.analysis.statistics.significance import correct_holm

LEAST_ARMS = 3
"""Two arms have one order or the other; that is a delta, no rank agreement."""


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's tau-b between our accuracies and the published column.

    Attributes:
        tau: 1 where all pairs of arms are in the published order, -1 where all are reversed.
        low: what tau would be if every undecided pair were reversed.
        high: what it would be if every undecided pair were in the published order.
        level: how often the interval holds the true tau at least, a fraction.
        varies: what the interval lets vary, as for a delta. The arms are those of the table, and the published
            numbers are taken as printed: the paper's own noise is not in it.
        p_value: two-sided, of the hypothesis that the two orders have nothing to do with each other, over all
            orders of the arms; it is about arms, not videos, and four arms cannot bring it below 1/12.
        arms: the arms compared.
        agreeing: pairs that differ beyond noise, in the published order.
        reversed: pairs that differ beyond noise, in the other order.
        undecided: pairs whose order our trials leave open.
    """

    tau: float
    low: float
    high: float
    level: float
    varies: Varies
    p_value: float
    arms: tuple[str, ...]
    agreeing: int
    reversed: int
    undecided: int


def agree_on_ranks(
    measured: Mapping[str, Mapping[int, VideoHits]], published: Mapping[str, float], level: float = LEVEL
) -> RankAgreement:
    """Rank agreement of the arms that are in both ``measured`` and ``published``.

    Every pair of arms is tested as a delta is, with Holm's correction over all pairs; a pair that is not found to
    differ may stand in either order. So the interval holds the true tau whenever no pair is decided wrongly. It is
    wide on purpose: resampled accuracies give a narrower one, but where arms lie closer than the noise they pull tau
    towards 0, and in simulations that interval of "95 %" held the truth 36 to 90 times in a hundred.

    Args:
        measured: hits of each arm by number of the repeat.
        published: the published value of each arm. Pairs that are tied there count for neither order.
        level: of the interval, a fraction.

    Raises:
        ValueError: for fewer than three common arms, published values that are all equal or no finite numbers, no
            common repeat, or arms with different videos.
    """
    arms = tuple(name for name in measured if name in published)
    if len(arms) < LEAST_ARMS:
        raise ValueError(
            f"{len(arms)} arms with a published value; rank agreement needs at least {LEAST_ARMS}"
        )
    values = np.array([published[name] for name in arms], np.float64)
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        raise ValueError(f"the published values {values.tolist()} have no order")
    repeats, videos, hits = stack_hits({name: measured[name] for name in arms})
    means = hits.mean(axis=(1, 2))
    tau, p_value = 0.0, 1.0
    if np.ptp(means) > 0:
        result = stats.kendalltau(means, values)
        tau, p_value = float(result.statistic), float(result.pvalue)

    pairs = list(combinations(range(len(arms)), 2))
    p_values = [find_p_value(PairedHits(repeats, videos, hits[i], hits[j])) for i, j in pairs]
    decided = np.array(correct_holm(p_values)) < 1 - level
    order = np.array([np.sign(values[i] - values[j]) for i, j in pairs])
    agreement = order * [np.sign(means[i] - means[j]) for i, j in pairs]
    agreeing, turned = int((decided & (agreement > 0)).sum()), int((decided & (agreement < 0)).sum())
    undecided = int((~decided & (order != 0)).sum())
    scale = np.sqrt(len(pairs) * np.abs(order).sum())
    return RankAgreement(
        tau=tau,
        low=min(tau, float((agreeing - turned - undecided) / scale)),
        high=max(tau, float((agreeing - turned + undecided) / scale)),
        level=level,
        varies="videos and repeats" if len(repeats) >= LEAST_REPEATS else "videos",
        p_value=p_value,
        arms=arms,
        agreeing=agreeing,
        reversed=turned,
        undecided=undecided,
    )
