"""Columns of parameters against the number of classes: the classifier is part of them."""

from __future__ import annotations

from collections import defaultdict

from study.analysis.lint.costs import CLEAR
from study.analysis.lint.finding import RuleResult, Severity
from study.analysis.lint.paper import CountedNetwork, Paper, PrintedRow, label
from study.analysis.lint.rounding import Interval, interval_of
from study.analysis.lint.text import CellRef, StatementSpec
from study.analysis.published import PublishedTable

Cell = tuple[PrintedRow, Interval, CountedNetwork]


def check_classes(paper: Paper, result: RuleResult) -> None:
    """Are the printed parameters those with the classes of the table's data set, and are compared ones alike?"""
    for table in paper.tables.values():
        own: list[Cell] = []
        quoted: dict[str, list[Cell]] = defaultdict(list)
        for cell in _collect(paper, table, result):
            if cell[0].reference:
                quoted[_describe(cell)].append(cell)
            else:
                own.append(cell)
        for cells in ([own] if own else []) + list(quoted.values()):
            result.checked += len(cells)
            _check_cells(paper, result, table, cells)
    for statement in paper.text.statements:
        _check_statement(paper, result, statement)


def _collect(paper: Paper, table: PublishedTable, result: RuleResult) -> list[Cell]:
    cells: list[Cell] = []
    for row in paper.rows_of(table):
        for column in row.columns("million"):
            interval = interval_of(row.spec.values[column])
            if interval is None or row.spec.parts:
                continue
            counted = paper.count_of(row)
            if counted is None:
                result.skipped += 1
            else:
                cells.append((row, interval, counted))
    return cells


def _describe(cell: Cell) -> str:
    """Quoted cells that print the same and are counted the same are one finding."""
    _, at, counted = cell
    return f"{at} {sorted(counted.params_m.items())}"


def _fitting(cells: list[Cell]) -> list[int]:
    """Class counts with which every cell is what was counted."""
    known = set.intersection(*(set(counted.params_m) for _, _, counted in cells))
    return sorted(k for k in known if all(at.holds(counted.params_m[k]) for _, at, counted in cells))


def _check_cells(paper: Paper, result: RuleResult, table: PublishedTable, cells: list[Cell]) -> None:
    wanted = {
        paper.text.datasets[name].classes for name in table.protocol.datasets if name in paper.text.datasets
    }
    fitting = _fitting(cells)
    if not wanted or wanted & set(fitting):
        return
    first, _, any_count = cells[0]
    place = f"{label(table)}, {', '.join(row.spec.row for row, _, _ in cells)}"
    printed = " M, ".join(dict.fromkeys(_print(row) for row, _, _ in cells)) + " M"
    misses = {k: max(_miss(at, counted.params_m[k]) for _, at, counted in cells) for k in any_count.params_m}
    nearest = min(misses, key=lambda k: misses[k])
    counts = "; ".join(
        f"{k} classes: {', '.join(f'{counted.params_m[k]:.2f}' for _, _, counted in cells)}"
        for k in sorted(wanted & set(misses) | set(fitting) | {nearest})
    )
    evidence = f"counted, in millions, with {counts}"
    if fitting:
        k = " or ".join(map(str, sorted(wanted)))
        message = f"the count with {_or(fitting)} classes; the table is about {k}"
        result.add("warning", place, printed, message, evidence=evidence)
        return
    severity: Severity = "error" if not first.reference and misses[nearest] > CLEAR else "doubt"
    result.add(severity, place, printed, "no number of classes explains these parameters", evidence=evidence)


def _miss(at: Interval, counted: float) -> float:
    """Relative distance of a count to what rounds to the print."""
    return max(at.low - counted, counted - at.high, 0.0) / counted


def _check_statement(paper: Paper, result: RuleResult, statement: StatementSpec) -> None:
    """A network with fewer classes has fewer parameters; a comparison of sizes must not profit from that."""
    if statement.relation not in ("above", "below", "difference"):
        return
    cells = [cell for ref in statement.cells if (cell := _cell(paper, ref)) is not None]
    for other in cells[1:]:
        result.checked += 1
        ours, theirs = _fitting([cells[0]]), _fitting([other])
        if not ours or not theirs or set(ours) & set(theirs):
            continue
        k = ours[0]
        alike = (cells[0][2].params_m[k], other[2].params_m[k])
        result.add(
            "warning",
            statement.place,
            f"“{statement.quote}”",
            f"{_print(cells[0][0])} M counts {_or(ours)} classes and {_print(other[0])} M counts {_or(theirs)}",
            evidence=f"{cells[0][0].place} and {other[0].place}: with {k} classes both, {alike[0]:.2f} and "
            f"{alike[1]:.2f} M, {alike[1] - alike[0]:+.2f} M",
        )


def _cell(paper: Paper, ref: CellRef) -> Cell | None:
    row = paper.row(ref)
    interval, counted = interval_of(row.spec.values[ref[2]]), paper.count_of(row)
    if ref[2] not in row.columns("million") or interval is None or counted is None:
        return None
    return row, interval, counted


def _print(row: PrintedRow) -> str:
    return ", ".join(str(row.spec.values[column]) for column in row.columns("million"))


def _or(counts: list[int]) -> str:
    return " or ".join(map(str, counts))
