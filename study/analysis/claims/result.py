"""What became of a claim of the paper in a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "contradicted", "inconclusive", "untestable"]


@dataclass(frozen=True)
class Estimate:
    """One number that a verdict rests on: a difference, a ratio, a slope.

    Attributes:
        label: what it is the estimate of, in words ("STH hybrid minus STH merge, top-1").
        value: the estimate.
        unit: its unit ("points", "coefficient", "ratio").
        low: lower end of its interval; None where nothing varies (counted costs) or fewer than three repeats are there.
        high: upper end.
        level: what the interval is meant to hold, a fraction.
        p_value: two-sided, of the hypothesis of no difference; None where there is no test.
        p_holm: the same, corrected over all comparisons that claims make in the same experiment.
        repeats: numbers of the repeats it rests on; empty for counts.
        by_repeat: the estimate in each of them, in ``unit``.
    """

    label: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    p_value: float | None = None
    p_holm: float | None = None
    repeats: tuple[int, ...] = ()
    by_repeat: tuple[float, ...] = ()


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its verdict.

    Attributes:
        name: key of the claim, unique.
        says: the claim, in a sentence.
        place: where the paper makes it ("section 4.5, Table 6").
        published: the paper's own number for it, with unit, from the published tables; "" where it prints none.
        verdict: what our trials say.
        reason: why, in a sentence or two, with the numbers.
        scope: what the verdict is a verdict on: "laptop study: a small ResNet on synthetic motion", and what of the
            paper's setting it differs in; "" where it is no matter of scale.
        experiments: names of the experiments that it rests on, or would rest on.
        estimates: the numbers.
    """

    name: str
    says: str
    place: str
    published: str
    verdict: Verdict
    reason: str
    scope: str
    experiments: tuple[str, ...]
    estimates: tuple[Estimate, ...] = ()
