"""Rows against the other rows of their tables, and against themselves."""

from __future__ import annotations

from itertools import combinations

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper, PrintedRow, label
from study.analysis.lint.rounding import Interval, interval_of, interval_per_view
from study.analysis.published import PRODUCT

MIN_REPEATED = 3
"""Numbers that two rows must share, and nothing else differ, before one is taken for a copy of the other."""


def check_duplicates(paper: Paper, result: RuleResult) -> None:
    """Does a row repeat every number of another method's row?"""
    for table in paper.tables.values():
        for first, second in combinations(paper.rows_of(table), 2):
            result.checked += 1
            numbers, others = _numbers(first), _numbers(second)
            same = numbers == others and len(numbers) >= MIN_REPEATED and first.accuracies
            if not same or first.method == second.method:
                continue
            result.add(
                "error",
                second.place,
                ", ".join(map(str, numbers.values())),
                f"repeats every number of the row of {first.spec.printed}",
                evidence=f"{label(table)}, {first.spec.row} and {second.spec.row}: "
                f"{', '.join(table.columns[name].header for name in numbers)}",
            )


def _numbers(row: PrintedRow) -> dict[str, object]:
    """Frames and all numeric cells; costs and frames alone are often equal, so accuracies are part of it."""
    names = [name for name, column in row.table.columns.items() if column.unit != "text" or name == "frames"]
    return {name: row.spec.values[name] for name in names if row.spec.values[name] is not None}


def check_parts(paper: Paper, result: RuleResult) -> None:
    """Does a row that fuses others cost what they cost together?"""
    for row in paper.iter_rows():
        parts = [PrintedRow(row.table, row.table.row(name)) for name in row.spec.parts]
        for column in row.columns("million", "GMAC per view", "GMAC per video") if parts else ():
            whole = interval_of(row.spec.values[column])
            values = [interval_of(part.spec.values[column]) for part in parts]
            known = [value for value in values if value is not None]
            if whole is None or len(known) < len(parts):
                result.skipped += 1
                continue
            result.checked += 1
            total = sum(known, Interval(0, 0))
            if not total.meets(whole):
                result.add(
                    "error",
                    f"{row.place}, {row.table.columns[column].header}",
                    str(row.spec.values[column]),
                    f"its parts make {total}",
                    evidence="; ".join(f"{part.spec.row}: {part.spec.values[column]}" for part in parts),
                )


def check_frames(paper: Paper, result: RuleResult) -> None:
    """Do rows of one network with different numbers of frames cost the same for each frame?"""
    groups: dict[tuple[str, str, str], list[tuple[PrintedRow, Interval]]] = {}
    for row in paper.iter_rows():
        cost = _cost_per_frame(row)
        if cost is not None and row.backbone:
            groups.setdefault((row.method, row.reference, row.backbone), []).append((row, cost))
    for rows in groups.values():
        for position, (row, cost) in enumerate(rows):
            result.checked += position
            unlike = [(other, its) for other, its in rows[:position] if not its.meets(cost)]
            if not unlike:
                continue
            result.add(
                "doubt",
                f"{row.place}, against {', '.join(other.place for other, _ in unlike)}",
                "; ".join(_show_cost(r) for r in [row, *(other for other, _ in unlike)]),
                "the cost for each frame differs: not one network, or not one convention",
                evidence=f"{row.spec.printed}: {cost} GMACs a frame, against "
                f"{'; '.join(str(its) for _, its in unlike)}",
            )


def _show_cost(row: PrintedRow) -> str:
    return f"{row.cost} with {row.spec.values['frames']} frames"


def _cost_per_frame(row: PrintedRow) -> Interval | None:
    frames = row.frames
    if frames is None or "frames" not in row.spec.values:
        return None
    match = PRODUCT.fullmatch(str(row.cost))
    if match:  # of one view, whose frames stand alone or before the number of views
        per_view = interval_per_view(row.cost, 1)
        repeated = frames[1] not in (1, int(float(match[2])))
        return None if repeated or per_view is None else per_view.scale(1 / frames[0])
    cost = interval_of(row.cost)
    return None if cost is None else cost.scale(1 / (frames[0] * frames[1]))


def check_views(paper: Paper, result: RuleResult) -> None:
    """Are frames and operations of a row multiplied by the same number of views, a multiple of the clips?"""
    for row in paper.iter_rows():
        match = PRODUCT.fullmatch(str(row.cost))
        if match is None:
            continue
        views, frames, clips = int(float(match[2])), row.frames, row.protocol.clips
        where = f"{row.place}, {row.table.columns[row.cost_column or ''].header}"
        if frames and frames[1] != 1:
            result.checked += 1
            if frames[1] != views:
                printed = str(row.spec.values["frames"])
                result.add(
                    "error",
                    where,
                    str(row.cost),
                    f"{views} views of the cost, {frames[1]} of the frames",
                    evidence=printed,
                )
        if clips and not row.reference:
            result.checked += 1
            if views % clips:
                message = f"{views} views are no multiple of {clips} clips"
                result.add("error", where, str(row.cost), message, evidence=row.protocol.source)


def check_order(paper: Paper, result: RuleResult) -> None:
    """Is every accuracy between 0 and 100 %, and none within the top 5 below the one within the top 1?"""
    for row in paper.iter_rows():
        values = {name: value for name, value in row.accuracies.items() if isinstance(value, int | float)}
        for name, value in values.items():
            result.checked += 1
            five = values.get(name.replace("top1", "top5"), value)
            where = f"{row.place}, {row.table.columns[name].header}"
            if not 0 <= value <= 100:
                result.add("error", where, str(value), "no percentage", evidence="outside of 0 to 100")
            if five < value:
                result.add("error", where, f"{value} and {five}", "top-5 is below top-1", evidence=row.place)
