"""Arithmetic on printed numbers: what was rounded for print may have been anything that rounds to it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from study.analysis.published import PRODUCT, Value

EPSILON = 1e-9


@dataclass(frozen=True)
class Interval:
    """All numbers from ``low`` to ``high``, both included."""

    low: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.low - other.high, self.high - other.low)

    def __truediv__(self, other: Interval) -> Interval:
        """The quotient of non-negative numbers by positive ones."""
        if other.low <= 0:
            raise ValueError(f"division by {other}")
        return Interval(self.low / other.high, self.high / other.low)

    def scale(self, factor: float) -> Interval:
        """Every number times ``factor``, which is not negative."""
        return Interval(self.low * factor, self.high * factor)

    def meets(self, other: Interval) -> bool:
        """Whether a number lies in both."""
        return self.low <= other.high + EPSILON and other.low <= self.high + EPSILON

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies inside."""
        return self.low - EPSILON <= value <= self.high + EPSILON

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


def interval_of(value: Value) -> Interval | None:
    """What may have been rounded to the printed ``value``; None for text and for a dash.

    >>> interval_of(9.3), interval_of("33 × 6")
    (Interval(low=9.25, high=9.35), Interval(low=195.0, high=201.0))
    """
    if isinstance(value, str):
        match = PRODUCT.fullmatch(value)
        return _around(match[1]).scale(float(match[2])) if match else None
    return None if value is None else _around(str(value))


def interval_per_view(value: Value, views: int) -> Interval | None:
    """What may have been rounded to the printed cost of one view; compare :func:`published.per_view`."""
    if isinstance(value, str):
        match = PRODUCT.fullmatch(value)
        return _around(match[1]) if match else None
    whole = interval_of(value)
    return None if whole is None else whole.scale(1 / views)


def interval_of_count(count: int, *, about: bool) -> Interval:
    """What a printed number of things may stand for: itself, or ``about`` as much as its last digit but zeros says.

    >>> interval_of_count(240_000, about=True)
    Interval(low=235000.0, high=245000.0)
    """
    if not about:
        return Interval(count, count)
    digit = 10 ** (len(str(count)) - len(str(count).rstrip("0")))
    return Interval(count - digit / 2, count + digit / 2)


def _around(text: str) -> Interval:
    printed = Decimal(text)
    exponent = printed.as_tuple().exponent
    half = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0) / 2
    return Interval(float(printed - half), float(printed + half))
