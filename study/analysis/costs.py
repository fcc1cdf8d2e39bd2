"""Published cost against counted cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from study.analysis.published import RowSpec, Value, per_view

GMACS_TOLERANCE = 0.01
"""Relative. The paper names no counting tool; BatchNorm, ReLU and pooling, which we leave out, are 0.9 %."""

VerdictKind = Literal[
    "agrees", "explained", "disagrees", "other scale", "not counted", "not published", "published only"
]


@dataclass(frozen=True)
class CountedCost:
    """Cost of one view at the paper's scale: parameters in millions, multiply-accumulates in billions."""

    params_m: float
    gmacs_per_view: float


@dataclass(frozen=True)
class Verdict:
    """Whether a published cost is ours. ``reason`` says why not, or what was compared; ``known`` what else is
    known of cells that disagree without a known cause.
    """

    kind: VerdictKind
    reason: str
    known: str = ""


def judge_cost(row: RowSpec, counted: CountedCost | None) -> Verdict:
    """Compare the cost that the paper prints in ``row`` with what was counted at the same scale.

    Returns:
        ``agrees`` when parameters and multiply-accumulates round to the print or, for the latter, lie within
        1 % of it; ``explained`` when the cause is known for every cell that does not; else ``disagrees``,
        with both numbers.
        ``not published`` where the row prints neither, ``not counted`` where nothing was counted.
    """
    printed = {"params_m": row.values.get("params_m"), "gflops": row.values.get("gflops")}
    if all(value is None for value in printed.values()):
        return Verdict("not published", "the paper prints no cost in this row")
    if counted is None:
        return Verdict("not counted", "not counted at the paper's scale")
    off: dict[str, str] = {}
    params, gmacs = printed["params_m"], per_view(printed["gflops"], row.views)
    if isinstance(params, int | float) and abs(params - counted.params_m) > _half_a_digit(params):
        off["params_m"] = f"{params} M printed, {counted.params_m:.2f} M counted"
    if gmacs is not None:
        tolerance = max(GMACS_TOLERANCE * gmacs, _half_a_digit(printed["gflops"]) / row.views)
        if abs(gmacs - counted.gmacs_per_view) > tolerance:
            off["gflops"] = f"{gmacs:g} GMACs printed for a view, {counted.gmacs_per_view:.2f} counted"
    if not off:
        return Verdict("agrees", "both to the printed digit, or multiply-accumulates within 1 %")
    if set(off) <= set(row.explained):
        return Verdict("explained", " ".join(row.doubts[name] for name in off))
    known = " ".join(row.doubts[name] for name in off if name in row.doubts)
    return Verdict("disagrees", "; ".join(off.values()), known)


def _half_a_digit(printed: Value) -> float:
    """Half a unit of the last printed digit; the paper prints costs to units or to tenths."""
    return (0.05 if "." in str(printed).split(" × ")[0] else 0.5) + 1e-9


def add_costs(parts: list[CountedCost]) -> CountedCost:
    """The cost of networks that all run, as a fusion of their scores needs."""
    return CountedCost(sum(part.params_m for part in parts), sum(part.gmacs_per_view for part in parts))
