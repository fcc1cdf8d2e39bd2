"""Statements of the text against the cells that they speak of."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper
from study.analysis.lint.rounding import Interval, interval_of
from study.analysis.lint.text import NUMERIC, CellRef, StatementSpec


def check_arithmetic(paper: Paper, result: RuleResult) -> None:
    """Numbers of the text: can they come from the printed cells, before these and they were rounded?"""
    for statement in paper.text.statements:
        if statement.relation not in NUMERIC:
            continue
        intervals = _find_intervals(paper, statement, result)
        printed = interval_of(statement.value)
        if intervals is None or printed is None:
            continue
        result.checked += 1
        slack = statement.tolerance
        found = _combine(statement, intervals)
        if found.meets(Interval(printed.low - slack, printed.high + slack)):
            continue
        exact = _combine(statement, [_middle(interval) for interval in intervals])
        result.add(
            "error",
            statement.place,
            f"“{statement.quote}”",
            f"the {_WORDS[statement.relation]} {exact.low:.4g}, not {statement.value:g}",
            evidence=f"{_list_cells(paper, statement.cells) or statement.terms}; with their rounding {found}",
        )


_WORDS = {
    "equals": "table prints",
    "difference": "difference of the printed cells is",
    "ratio": "ratio of the printed cells is",
    "product_sum": "formula gives",
}


def check_comparisons(paper: Paper, result: RuleResult) -> None:
    """Orders that the text claims: do the printed cells have them?"""
    for statement in paper.text.statements:
        if statement.relation in NUMERIC or _find_intervals(paper, statement, result, silent=False) is None:
            continue
        first, *others = statement.cells
        match statement.relation:
            case "best":
                _check_best(paper, result, statement)
            case "decreasing":
                pairs = list(pairwise(statement.cells))
                _check_pairs(paper, result, statement, pairs, sign=1)
            case "above" | "below":
                sign = 1 if statement.relation == "above" else -1
                _check_pairs(paper, result, statement, [(first, other) for other in others], sign=sign)
            case _:
                result.checked += 1


def _check_pairs(
    paper: Paper,
    result: RuleResult,
    statement: StatementSpec,
    pairs: list[tuple[CellRef, CellRef]],
    sign: int,
) -> None:
    for first, second in pairs:
        left, right = interval_of(paper.value(first)), interval_of(paper.value(second))
        if left is None or right is None:
            continue
        result.checked += 1
        gap = sign * (_middle(left).low - _middle(right).low)
        if gap > 0:
            continue
        both = _list_cells(paper, (first, second))
        result.add(
            "error" if gap < 0 else "doubt",
            statement.place,
            f"“{statement.quote}”",
            "the tables print the opposite" if gap < 0 else "the tables print equal numbers",
            evidence=both,
        )


def _check_best(paper: Paper, result: RuleResult, statement: StatementSpec) -> None:
    ref = statement.cells[0]
    table, _, column = ref
    own = interval_of(paper.value(ref))
    for row in paper.tables[table].rows:
        other = interval_of(row.values[column])
        if own is None or other is None or row.row == ref[1]:
            continue
        result.checked += 1
        if _middle(other).low > _middle(own).low:
            result.add(
                "error",
                statement.place,
                f"“{statement.quote}”",
                f"{row.row} has more",
                evidence=_list_cells(paper, (ref, (table, row.row, column))),
            )


def _find_intervals(
    paper: Paper, statement: StatementSpec, result: RuleResult, *, silent: bool = True
) -> list[Interval] | None:
    """What the cells may stand for. A statement about cells that print nothing is a finding of the comparisons, and
    stops a statement from being checked when no two cells are left.
    """
    cells = {ref: interval_of(paper.value(ref)) for ref in statement.cells}
    empty = [ref for ref, interval in cells.items() if interval is None]
    if empty:
        result.skipped += len(empty)
        if not silent:
            result.add(
                "doubt",
                statement.place,
                f"“{statement.quote}”",
                "nothing is printed that it could be checked against",
                evidence="a dash: " + "; ".join(paper.name_cell(ref) for ref in empty),
            )
    found = [interval for interval in cells.values() if interval is not None]
    return None if statement.cells and (len(found) < min(2, len(cells)) or (silent and empty)) else found


def _combine(statement: StatementSpec, intervals: list[Interval]) -> Interval:
    match statement.relation:
        case "difference":
            return intervals[0] - intervals[1]
        case "ratio":
            return intervals[0] / intervals[1]
        case "product_sum":
            value = sum(prod(factors) for factors in statement.terms)
            return Interval(value, value)
        case _:
            return intervals[0]


def _middle(interval: Interval) -> Interval:
    """The printed number itself."""
    value = (interval.low + interval.high) / 2
    return Interval(value, value)


def _list_cells(paper: Paper, cells: tuple[CellRef, ...]) -> str:
    return "; ".join(f"{paper.name_cell(ref)}: {paper.value(ref)}" for ref in cells)
