"""Numbers that were had in different ways and stand beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper, PrintedRow, label

COMPARING = ("difference", "ratio", "above", "below")
MIN_EQUAL = 2
"""Accuracies that two rows must share before one is taken for a copy of the other: one may be chance."""


def check_alike(paper: Paper, result: RuleResult) -> None:
    """Accuracies that the text compares: by the tables' own columns, were the networks trained and tested alike?"""
    for statement in paper.text.statements:
        rows = [paper.row(ref) for ref in statement.cells if ref[2] in paper.row(ref).columns("percent")]
        if statement.relation not in COMPARING or len(rows) < 2:
            continue
        unlike = []
        for row in rows[1:]:
            result.checked += 1
            differences = list(_iter_differences(rows[0], row))
            if differences:
                unlike.append(f"{row.spec.row}: {', '.join(differences)}")
        if unlike:
            result.add(
                "warning",
                statement.place,
                f"“{statement.quote}”",
                "accuracies are compared as if alike",
                evidence=f"{rows[0].place}, against {'; '.join(unlike)}",
            )


def _iter_differences(ours: PrintedRow, other: PrintedRow) -> Iterator[str]:
    if ours.pretraining and other.pretraining and ours.pretraining != other.pretraining:
        yield f"pre-trained on {_name(other.pretraining)}, not {_name(ours.pretraining)}"
    per_video = [row.columns("GMAC per video") for row in (ours, other)]
    if all(per_video) and ours.cost is not None and other.cost is not None:
        views = ours.views, other.views
        if None not in views and views[0] != views[1]:
            yield f"{other.views} view{'s' * (other.views != 1)} of a video, not {ours.views}"


def check_quoted(paper: Paper, result: RuleResult) -> None:
    """Rows that are printed as the authors' own: are their accuracies another paper's?"""
    quoted = [row for row in paper.iter_rows() if row.reference]
    for row in paper.iter_rows():
        if row.reference:
            continue
        for other in quoted:
            if row.table is other.table or not _share_dataset(row, other):
                continue
            common = row.accuracies.keys() & other.accuracies.keys()
            if len(common) < MIN_EQUAL:
                continue
            result.checked += 1
            if all(row.accuracies[name] == other.accuracies[name] for name in common):
                _report_quoted(paper, result, row, other)


def _report_quoted(paper: Paper, result: RuleResult, row: PrintedRow, other: PrintedRow) -> None:
    equal = ", ".join(str(value) for value in row.accuracies.values())
    unlike = [
        f"{heading}: {theirs} there, {ours} here"
        for heading, ours, theirs in (
            ("pre-training", _name(row.pretraining), _name(other.pretraining)),
            ("clips", row.protocol.clips or "", other.protocol.clips or ""),
            ("operations (G)", row.cost, other.cost),
            ("parameters (M)", row.spec.values.get("params_m"), other.spec.values.get("params_m")),
        )
        if ours and theirs and ours != theirs
    ]
    used = [
        s.place
        for s in paper.text.statements
        if any(ref[:2] == (row.table.name, row.spec.row) for ref in s.cells)
    ]
    uses = f"; used in {', '.join(dict.fromkeys(used))}" if used else ""
    result.add(
        "warning",
        row.place,
        equal,
        f"not a run of this table: the accuracies are those of {other.spec.printed} in {label(other.table)}",
        evidence=f"{other.place}: {equal}{''.join(f'; {difference}' for difference in unlike)}{uses}",
    )


def check_chronology(paper: Paper, result: RuleResult) -> None:
    """Rows that are quoted from a paper: is that paper younger than the data that the row is about?"""
    if not paper.text.citing:
        return
    seen: dict[tuple[str, str], list[str]] = {}
    for row in paper.iter_rows():
        year = paper.text.years.get(row.reference)
        if year is None:
            continue
        for name, reference in _iter_data(paper, row):
            known = paper.text.years.get(reference)
            if known is None:
                continue
            result.checked += 1
            if year < known:
                reasons = seen.setdefault((label(row.table), row.spec.printed), [])
                reasons.append(f"{name} is of {known} [{reference}], [{row.reference}] is of {year}")
    for (place, printed), reasons in seen.items():
        result.add(
            "doubt",
            place,
            printed,
            "the work referred to is older than the data, so the numbers are from elsewhere",
            evidence=f"{'; '.join(dict.fromkeys(reasons))}; {paper.text.citing}",
        )


def _iter_data(paper: Paper, row: PrintedRow) -> Iterator[tuple[str, str]]:
    for dataset in row.protocol.datasets:
        if dataset in paper.text.datasets:
            yield paper.text.datasets[dataset].name, paper.text.datasets[dataset].reference
    for name in row.pretraining or ():
        yield name, paper.text.pretraining.get(name, "")


def _share_dataset(row: PrintedRow, other: PrintedRow) -> bool:
    return bool(set(row.protocol.datasets) & set(other.protocol.datasets))


def _name(pretraining: frozenset[str] | None) -> str:
    return "+".join(sorted(pretraining or ()))
