"""Names that stand for different things in different places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from math import prod

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper, PrintedRow, label
from study.analysis.lint.rounding import interval_of

Signature = tuple[int, str]


def check_same_row(paper: Paper, result: RuleResult) -> None:
    """A network that stands in two tables about one data set: does it have the same numbers and the same source?"""
    for first, second in _iter_pairs(paper):
        if first.method != second.method or not first.method or not _same_setup(first, second):
            continue
        common = [name for name in _numeric(first) if name in _numeric(second)]
        result.checked += len(common) + 1
        if first.reference != second.reference:
            result.add(
                "doubt",
                f"{first.place}; {second.place}",
                f"{first.spec.printed}; {second.spec.printed}",
                "one row is credited to two works",
                evidence=", ".join(
                    f"{second.table.columns[n].header}: {second.spec.values[n]}" for n in common
                ),
            )
        for name in common:
            _compare(paper, result, name, first, second)


def _compare(paper: Paper, result: RuleResult, name: str, first: PrintedRow, second: PrintedRow) -> None:
    ours, theirs = interval_of(second.spec.values[name]), interval_of(first.spec.values[name])
    if ours is None or theirs is None or ours.meets(theirs):
        return
    value = second.spec.values[name]
    shifted = [
        row.spec.row
        for row in paper.rows_of(first.table)
        if row.spec.row != first.spec.row and row.spec.values[name] == value
    ]
    found = f"; {value} stands there beside {', '.join(shifted)}" if shifted else ""
    result.add(
        "error",
        f"{second.place}, {second.table.columns[name].header}",
        str(value),
        f"{label(first.table)} prints {first.spec.values[name]} for the same row{found}",
        evidence=f"the rows agree in frames and in {_agreement(first, second, name)}",
    )


def _agreement(first: PrintedRow, second: PrintedRow, but: str) -> str:
    equal = [
        f"{second.table.columns[name].header} ({second.spec.values[name]})"
        for name in _numeric(second)
        if name != but and first.spec.values.get(name) == second.spec.values[name]
    ]
    return ", ".join(equal) or "nothing else"


def check_meanings(paper: Paper, result: RuleResult) -> None:
    """One accuracy of two models of the authors, and one name of two networks of others."""
    groups: dict[tuple[object, ...], list[PrintedRow]] = defaultdict(list)
    for row in paper.iter_rows():
        top1 = row.spec.values.get("top1")
        if not row.reference and row.frames is not None and top1 is not None:
            groups[row.protocol.datasets, prod(row.frames), top1].append(row)
    for (*_, accuracy), rows in groups.items():
        result.checked += len(rows)
        unlike = [
            name
            for name in _MEANINGS
            if any(_differ(first, second, name) for first, second in combinations(rows, 2))
        ]
        if not unlike:
            continue
        result.add(
            "warning",
            "; ".join(row.place for row in rows),
            str(accuracy),
            f"one accuracy, two models or protocols: {' and '.join(_MEANINGS[name] for name in unlike)} differ",
            evidence="; ".join(f"{row.place}: {_describe(row)}" for row in rows),
        )
    _check_signatures(paper, result)


_MEANINGS = {"top5": "the top-5 accuracies", "params_m": "the parameters"}


def _describe(row: PrintedRow) -> str:
    parts = {
        "top-5": row.spec.values.get("top5"),
        "parameters (M)": row.spec.values.get("params_m"),
        "clips": row.protocol.clips,
    }
    return ", ".join(f"{name}: {value}" for name, value in parts.items() if value is not None)


def _check_signatures(paper: Paper, result: RuleResult) -> None:
    """A name whose frames and cost are, in another table, those of another name of the same work."""
    for row in paper.iter_rows():
        mine = _signature(row)
        if mine is None or not row.reference:
            continue
        same_work = [
            r for r in paper.iter_rows() if r.reference == row.reference and r.table is not row.table
        ]
        namesakes = [r for r in same_work if r.method == row.method and _signature(r)]
        others = [r for r in same_work if r.method != row.method and _signature(r) == mine]
        if not namesakes:
            continue
        result.checked += 1
        if others and all(_signature(r) != mine for r in namesakes):
            shown = ", ".join(f"{r.place}: {r.spec.values['frames']} frames, {r.cost} G" for r in namesakes)
            result.add(
                "warning",
                row.place,
                f"{row.spec.printed}: {row.spec.values['frames']} frames, {row.cost} G",
                f"this is {others[0].spec.printed} of {label(others[0].table)}, "
                "where the name stands for another network",
                evidence=f"{others[0].place}: the same frames and cost; {shown}",
            )


def check_backbones(paper: Paper, result: RuleResult) -> None:
    """Does a method of one work have the same backbone wherever it stands?"""
    groups: dict[tuple[str, str], dict[str, list[PrintedRow]]] = defaultdict(lambda: defaultdict(list))
    for row in paper.iter_rows():
        if row.backbone and row.reference:
            groups[row.method, row.reference][row.table.name].append(row)
    for (method, reference), by_table in groups.items():
        for first, second in combinations(by_table.values(), 2):
            result.checked += 1
            if {row.backbone for row in first} & {row.backbone for row in second}:
                continue
            same = [(a, b) for a in first for b in second if _signature(a) and _signature(a) == _signature(b)]
            a, b = same[0] if same else (first[0], second[0])
            cost = f": {a.spec.values['frames']} frames and {a.cost} G both" if same else ""
            result.add(
                "warning" if same else "doubt",
                f"{a.place}; {b.place}",
                f"{a.spec.values['backbone']}; {b.spec.values['backbone']}",
                f"two backbones of {method} [{reference}]{' at one cost' if same else ''}",
                evidence=f"{label(a.table)} and {label(b.table)}{cost}",
            )


def _iter_pairs(paper: Paper) -> Iterator[tuple[PrintedRow, PrintedRow]]:
    """Rows of different tables that share a data set, in the order of the paper."""
    for first, second in combinations(paper.iter_rows(), 2):
        shared = set(first.protocol.datasets) & set(second.protocol.datasets)
        if first.table is not second.table and shared:
            yield first, second


def _same_setup(first: PrintedRow, second: PrintedRow) -> bool:
    """The same number of frames in all, and no two backbones."""
    if first.frames is None or second.frames is None or prod(first.frames) != prod(second.frames):
        return False
    return not first.backbone or not second.backbone or first.backbone == second.backbone


def _signature(row: PrintedRow) -> Signature | None:
    if row.frames is None or row.cost is None or "frames" not in row.spec.values:
        return None
    return prod(row.frames), f"{row.cost}" if isinstance(row.cost, str) else f"{row.cost:g}"


def _numeric(row: PrintedRow) -> list[str]:
    return [
        name
        for name, column in row.table.columns.items()
        if column.unit != "text" and row.spec.values[name] is not None
    ]


def _differ(first: PrintedRow, second: PrintedRow, name: str) -> bool:
    one, two = interval_of(first.spec.values.get(name)), interval_of(second.spec.values.get(name))
    return one is not None and two is not None and not one.meets(two)
