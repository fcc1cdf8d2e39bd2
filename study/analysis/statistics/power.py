"""What a design can detect, and what it would take to detect what was seen.

Powers are those of the tests that :mod:`study.analysis.statistics.deltas` does, at one comparison's level: a table
that is corrected for several needs more. They rest on variances estimated from the same few repeats, so they plan,
they do not prove; in particular, a large power for the difference that was observed is no second piece of evidence.
"""

from __future__ import annotations

import math

from scipy import optimize, special
from statsmodels.stats.power import TTestPower

from study.analysis.statistics.intervals import LEAST_REPEATS, half_width, spread_of_repeats
from study.analysis.statistics.variance import Layout

POWER = 0.8
MOST_REPEATS = 1000
"""A larger number is as good as none."""
NODES = 48
"""Points of the integrals over the repeats' variance, true and measured."""


class Design:
    """A number of repeats on the videos at hand, with inference over both.

    Args:
        repeats: number of repeats, two or more.
        of_videos: variance of the difference due to videos, which repeats do not change; a fraction squared.
        of_one_repeat: variance that a single repeat would add; likewise.
        alpha: level of the test.
    """

    def __init__(self, repeats: int, of_videos: float, of_one_repeat: float, alpha: float) -> None:
        factors, self._weights = spread_of_repeats(repeats, NODES)
        of_repeats = of_one_repeat / repeats
        # The test sees a measured variance, which scatters around the true one.
        self._thresholds = half_width(of_videos, of_repeats / factors, repeats, alpha, NODES)
        self._sigma = math.sqrt(of_videos + of_repeats)

    def power(self, difference: float) -> float:
        """Probability that the test finds a true ``difference``, a fraction, on either side."""
        below = special.ndtr((-self._thresholds - difference) / self._sigma)
        above = special.ndtr((-self._thresholds + difference) / self._sigma)
        return float(self._weights @ (below + above))

    def detectable(self, power: float = POWER) -> float:
        """The smallest true difference that is found with ``power``, a fraction."""
        upper = self._sigma
        while self.power(upper) < power:
            upper *= 2
        return float(optimize.brentq(lambda size: self.power(size) - power, 0.0, upper, xtol=1e-9))


def detectable_over_repeats(layout: Layout, alpha: float) -> float:
    """Smallest true difference that as many new repeats and videos would find with 80 % power, a fraction."""
    of_one = layout.planned_variance_of_one_repeat
    return Design(layout.repeats, layout.variance_between_videos, of_one, alpha).detectable()


def detectable_over_videos(layout: Layout, alpha: float) -> float:
    """The same for these trained networks on as many new videos."""
    scale = TTestPower().solve_power(nobs=layout.videos, alpha=alpha, power=POWER)
    return float(scale) * math.sqrt(layout.variance_over_videos * layout.videos)


def count_repeats_needed(layout: Layout, alpha: float) -> float:
    """Repeats that would find the observed difference with 80 % power on the videos at hand, at least three.

    Returns:
        A whole number, or infinity where not even 1,000 repeats would: then the number of videos is the limit.
    """

    def suffices(repeats: int) -> bool:
        of_one = layout.planned_variance_of_one_repeat
        design = Design(repeats, layout.variance_between_videos, of_one, alpha)
        return design.power(abs(layout.mean)) >= POWER

    if not suffices(MOST_REPEATS):
        return math.inf
    # Close in on the number from what normal theory makes it: a design is dear to judge.
    low, high = LEAST_REPEATS - 1, MOST_REPEATS
    middle = _guess_repeats(layout, alpha)
    while high - low > 1:
        middle = min(max(middle, low + 1), high - 1)
        if suffices(middle):
            high, middle = middle, min((low + middle) // 2, round(0.8 * middle))
        else:
            low, middle = middle, min((middle + high) // 2, round(1.25 * middle) + 1)
    return high


def _guess_repeats(layout: Layout, alpha: float) -> int:
    """About how many repeats it takes, as if their variance were known."""
    scale = special.ndtri(1 - alpha / 2) + special.ndtri(POWER)
    left = (abs(layout.mean) / scale) ** 2 - layout.variance_between_videos
    most = layout.planned_variance_of_one_repeat / MOST_REPEATS
    return MOST_REPEATS if left <= most else math.ceil(layout.planned_variance_of_one_repeat / left) + 1
