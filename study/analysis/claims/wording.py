"""How comparisons are put into words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from study.analysis.claims.result import Estimate


def format_repeats(estimate: Estimate) -> str:
    """The values by repeat: "+1.2 and -0.4 in repeats 0 and 1"."""
    digits = 1 if estimate.unit == "points" else count_digits(estimate.value)
    values = [f"{value:+.{digits}f}".replace("-", "−") for value in estimate.by_repeat]
    numbers = [str(number) for number in estimate.repeats]
    return f"{_join(values)} in repeat{'s' if len(numbers) > 1 else ''} {_join(numbers)}"


def format_p(p_value: float) -> str:
    """A p-value to two digits that matter: "p = 0.031", "p < 0.0001"."""
    if p_value < 1e-4:
        return "p < 0.0001"
    return f"p = {p_value:.{2 if p_value >= 0.1 else 3 if p_value >= 0.01 else 4}f}"


def format_coefficients(difference: float, values: Sequence[float]) -> list[str]:
    """Attention coefficients to as many digits as their ``difference`` needs to be seen."""
    return [f"{value:.{count_digits(difference)}f}" for value in values]


def count_digits(value: float) -> int:
    """Decimals that show two digits of ``value`` that matter; 3 to 9.

    >>> count_digits(0.25), count_digits(-0.00012)
    (3, 5)
    """
    if value == 0 or not math.isfinite(value):
        return 3
    return min(9, max(3, 1 - math.floor(math.log10(abs(value)))))


def _join(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
