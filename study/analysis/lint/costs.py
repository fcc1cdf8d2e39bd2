"""Columns of operations against what the networks cost, by every convention of counting."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog

from study.analysis.lint.finding import RuleResult, Severity
from study.analysis.lint.paper import CountedNetwork, Paper, PrintedRow, label
from study.analysis.lint.rounding import EPSILON, Interval, interval_of, interval_per_view
from study.analysis.published import PublishedTable

CLEAR = 0.01
"""Relative deviation beyond which a cell is wrong under every convention; below, something small may be counted."""

SLACK = 0.0005
"""Relative. What counters of one convention differ by: biases, softmax, the inside of small blocks."""

Cell = tuple[PrintedRow, Interval, CountedNetwork]


def check_conventions(paper: Paper, result: RuleResult) -> None:
    """Does one convention explain the cells that the authors counted, and some convention each that they quote?"""
    for table in paper.tables.values():
        own, quoted = _collect(paper, table, result)
        for cells in ([own] if own else []) + [[cell] for cell in quoted]:
            result.checked += len(cells)
            _check_cells(result, table, cells)


def _collect(paper: Paper, table: PublishedTable, result: RuleResult) -> tuple[list[Cell], list[Cell]]:
    own: list[Cell] = []
    quoted: list[Cell] = []
    for row in paper.rows_of(table):
        interval = interval_per_view(row.cost, row.views or row.spec.views)
        if interval is None or row.spec.parts:
            continue
        counted = paper.count_of(row)
        if counted is None:
            result.skipped += 1
            continue
        (quoted if row.reference else own).append((row, interval, counted))
    return own, quoted


def _check_cells(result: RuleResult, table: PublishedTable, cells: list[Cell]) -> None:
    conventions = sorted(set.intersection(*(set(counted.gmacs) for _, _, counted in cells)))
    fits = {
        name: sum(_miss(at, counted.gmacs[name]) <= SLACK for _, at, counted in cells) for name in conventions
    }
    if not fits or max(fits.values()) == len(cells):
        return
    misses = {name: max(_miss(at, counted.gmacs[name]) for _, at, counted in cells) for name in conventions}
    # Of the conventions that explain most cells, the one whose worst cell is nearest.
    best = min(conventions, key=lambda name: (-fits[name], misses[name]))
    first = cells[0][0]
    heading = table.columns[first.cost_column].header if first.cost_column else ""
    several = len(cells) > 1
    result.add(
        _severity(first, misses),
        f"{label(table)}, {heading}" if several else f"{first.place}, {heading}",
        ", ".join(str(row.cost) for row, _, _ in cells),
        "no single convention of counting explains these cells" if several else "no convention gives it",
        evidence="; ".join(
            f"{name} fits {fits[name]} of {len(cells)} ({_list(cells, name)})"
            for name in sorted(conventions, key=lambda name: (name != best, name))
        ),
    )


def _severity(first: PrintedRow, misses: dict[str, float]) -> Severity:
    """Of quoted rows we know a public implementation at best, so there it is a doubt."""
    return "error" if not first.reference and min(misses.values()) > CLEAR else "doubt"


def _miss(at: Interval, counted: float) -> float:
    return max(at.low - counted, counted - at.high, 0.0) / counted


def _list(cells: list[Cell], convention: str) -> str:
    return ", ".join(f"{row.spec.row}: {counted.gmacs[convention]:.2f}" for row, _, counted in cells)


def check_linear(paper: Paper, result: RuleResult) -> None:
    """Columns that the paper's formula makes linear in the number that names a row: does a line pass the cells?

    It does whatever else is counted, as long as that is the same in every row.
    """
    for table in paper.tables.values():
        for column in table.linear:
            points = [
                (Fraction(row.row), at, str(row.values[column]))
                for row in table.rows
                if (at := interval_of(row.values[column])) is not None
            ]
            if len(points) < 3:
                result.skipped += 1
                continue
            result.checked += len(points)
            miss = _fit([float(x) for x, _, _ in points], [at for _, at, _ in points])
            if miss <= EPSILON:
                continue
            result.add(
                "error",
                f"{label(table)}, {table.columns[column].header}",
                ", ".join(printed for _, _, printed in points),
                f"not linear in {_axis(points)}, as the paper's formula has it, whatever is counted",
                evidence=f"{_list_steps(points)}; the best line misses a cell by {miss:.2g} more than rounding allows; "
                f"{table.linear_source}",
            )


def _list_steps(points: list[tuple[Fraction, Interval, str]]) -> str:
    steps = []
    for (x0, _, y0), (x1, _, y1) in pairwise(points):
        rise = float(y1) - float(y0)
        steps.append(f"from {x0} to {x1}: {rise:+.3g}, {rise / float(x1 - x0):+.3g} per unit")
    return "; ".join(steps)


def _axis(points: list[tuple[Fraction, Interval, str]]) -> str:
    return f"the rows' number ({', '.join(str(x) for x, _, _ in points)})"


def _fit(x: list[float], at: list[Interval]) -> float:
    """By how much the best line leaves the worst of the intervals, at least."""
    # Variables: offset, slope, miss. offset + slope x - miss <= high, -(offset + slope x) - miss <= -low.
    ones = np.ones(len(x))
    upper = np.column_stack([ones, x, -ones])
    lower = np.column_stack([-ones, -np.asarray(x), -ones])
    bounds = [(None, None), (None, None), (0, None)]
    limits = np.array([interval.high for interval in at] + [-interval.low for interval in at])
    solved = linprog([0, 0, 1], A_ub=np.vstack([upper, lower]), b_ub=limits, bounds=bounds)
    return float(solved.x[2])
