"""The table of an experiment as it is shown: what was measured, what the paper prints, what its cost comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from study.analysis.frames import table_frame
from study.analysis.published import RowSpec
from study.analysis.repeats import NOT_DONE, RepeatResult, Spread, describe_problems
from study.analysis.tables import Accuracy, ArmResult, TableResult
from study.reporting.details import build_details
from study.reporting.display import (
    Cell,
    Column,
    Details,
    Display,
    Footnotes,
    show_number,
    show_sentence,
    show_signed,
)
from study.reporting.legends import write_legend
from study.reporting.signs import ABSENT, DONE, SIGNS
from study.spec.resolved import UsedDataset

MEASURED, PUBLISHED, COST_CHECK = "measured here", "published", "cost at the paper's scale"
SIGNIFICANT = 0.05
"""A corrected p-value below it gets a star."""
MOST_FACTORS = 3
"""Confounding factors that a footnote names."""
NONE_HERE = Cell(SIGNS["not applicable"].sign, state="not applicable")


def build_display(table: TableResult) -> Display:
    """``table`` as it is shown."""
    spec = table.experiment.spec
    notes = Footnotes()
    with_published = any(row.published for row in table.rows)
    with_counted = with_published and any(row.counted for row in table.rows)
    rows = []
    for number, row in enumerate(table.rows):
        cells = [_label_cell(row, notes)]
        for place, accuracy in enumerate(row.accuracies):
            details = build_details(table, row, place, f"{spec.name}-{number}-{place}")
            cells += _accuracy_cells(table, row, accuracy, details, notes)
        cells += _measured_cost_cells(row)
        if with_published:
            cells += _published_cells(table, row.published, notes)
        if with_counted:
            cells += _cost_cells(row, notes)
        rows.append(tuple(cells))
    return Display(
        name=spec.name,
        title=spec.title,
        columns=_columns(table, with_published, with_counted),
        rows=tuple(rows),
        baseline=next(index for index, row in enumerate(table.rows) if row.is_baseline),
        notes=tuple(notes.texts),
        legend=write_legend(table, with_published),
        frame=table_frame(table),
    )


def _columns(table: TableResult, with_published: bool, with_counted: bool) -> tuple[Column, ...]:
    columns = [Column("", table.experiment.spec.row_header, text=True)]
    for dataset in table.datasets:
        columns += [
            Column(_group(MEASURED, table, dataset), name) for name in ("top-1, %", "Δ, points", "top-5, %")
        ]
    columns += [Column(MEASURED, name) for name in ("params, M", "GMACs")]
    if with_published:
        for dataset in table.datasets:
            columns += [
                Column(_group(PUBLISHED, table, dataset), name, published=True)
                for name in ("top-1, %", "top-5, %")
            ]
        columns += [Column(PUBLISHED, name, published=True) for name in ("params, M", "GFLOPs")]
    if with_counted:
        columns += [Column(COST_CHECK, name) for name in ("params, M", "GMACs")]
        columns += [Column(COST_CHECK, "published", text=True)]
    return tuple(
        replace(column, first=index > 0 and column.group != columns[index - 1].group)
        for index, column in enumerate(columns)
    )


def _group(kind: str, table: TableResult, dataset: UsedDataset) -> str:
    """The heading of a data set's columns; with one data set they need none of their own."""
    label = dataset.shown if kind == MEASURED else dataset.label
    return f"{kind}, {label}" if len(table.datasets) > 1 else kind


def _label_cell(row: ArmResult, notes: Footnotes) -> Cell:
    spec = row.arm.spec
    about = f"Mean of the scores of {', '.join(spec.fuse)}." if spec.fuse else ""
    about = f"Not built: {spec.published_only}" if spec.published_only else about
    label = row.arm.label + (" (baseline)" if row.is_baseline else "")
    return Cell(label, notes.add(spec.note.strip(), about.strip(), _describe_parent(row)))


def _describe_parent(row: ArmResult) -> str:
    """Where the weights that a row starts from come from."""
    parent = next((arm.parent for arm in row.arm.arms if arm.parent), None)
    if parent is None:
        return ""
    same = parent.row == row.arm.name
    return (
        f"Starts, repeat by repeat, from the weights of {'the same arm' if same else parent.row} of "
        f"{parent.experiment}."
    )


def _accuracy_cells(
    table: TableResult, row: ArmResult, accuracy: Accuracy, details: Details, notes: Footnotes
) -> list[Cell]:
    """Top-1, difference and top-5 on one data set."""
    if row.arm.spec.published_only:
        return [NONE_HERE] * 3
    repeats, top1 = accuracy.repeats, accuracy.top1
    states = _judge(repeats, measured=top1 is not None)
    marks = notes.add(*map(show_sentence, describe_problems(repeats)), _describe_repeated(repeats))
    if top1 is None:
        state = states[0]
        absent = Cell(SIGNS[state].sign, state=state, details=details)
        return [Cell(SIGNS[state].word, marks, state, details=details), absent, absent]
    planned = len(repeats)
    shown = Cell(_accuracy(top1, planned), marks, states[0], states[1:], details, 100 * top1.mean)
    top5 = accuracy.top5
    return [
        shown,
        _delta_cell(table, row, accuracy, details, notes),
        replace(shown, text=_accuracy(top5, planned), notes=(), number=100 * top5.mean)
        if top5
        else replace(NONE_HERE, notes=notes.add("Top-5 is not measured with fewer than six classes.")),
    ]


def _judge(repeats: Sequence[RepeatResult], measured: bool) -> tuple[str, ...]:
    """The states of a cell: with a number, what is wrong with it; without one, why there is none."""
    states = {trial.state for trial in repeats}
    if not measured:
        return (next((state for state in NOT_DONE if state in states), "missing"),)
    folded = {fold.state for trial in repeats for fold in trial.trials}
    found = ["partial"] if any(trial.top1 is None for trial in repeats) else []
    found += ["stale"] if "stale" in states | folded else []
    return tuple(found) or (DONE,)


def _delta_cell(
    table: TableResult, row: ArmResult, accuracy: Accuracy, details: Details, notes: Footnotes
) -> Cell:
    """The difference to the baseline; with an interval where scores by video are at hand."""
    if row.is_baseline:
        return Cell("0")
    marks = notes.add(_describe_confounders(accuracy), _describe_refusal(accuracy))
    states = ["confounded"] if accuracy.confounders else []
    baseline = next(one for one in table.rows if one.is_baseline)
    place = row.accuracies.index(accuracy)
    both = (*accuracy.repeats, *baseline.accuracies[place].repeats)
    states += ["stale"] if "stale" in {fold.state for trial in both for fold in trial.trials} else []
    planned, delta, spread = len(accuracy.repeats), accuracy.evidence, accuracy.delta
    if delta is not None:
        star = "*" if delta.p_holm is not None and delta.p_holm < SIGNIFICANT else ""
        text = f"{show_signed(delta.points)}{star} [{show_signed(delta.low)}, {show_signed(delta.high)}]"
        number, found = delta.points, len(delta.repeats)
        text += f" (n = {found})" if found != planned else ""
    elif spread is not None:
        text, number, found = (
            f"{show_signed(spread.mean)}{_deviation(spread, 1, planned)}",
            spread.mean,
            spread.n,
        )
    else:
        marks += notes.add("No difference: this row and the baseline have no finished repeat in common.")
        return Cell(SIGNS["missing"].sign, marks, "missing", details=details)
    states = (["partial"] if found != planned else []) + states
    return Cell(text, marks, states[0] if states else DONE, tuple(states[1:]), details, number)


def _describe_confounders(accuracy: Accuracy) -> str:
    if not accuracy.confounders:
        return ""
    shown = "; ".join(str(factor) for factor in accuracy.confounders[:MOST_FACTORS])
    more = len(accuracy.confounders) - MOST_FACTORS
    return f"Confounded: these trials and the baseline's also differ in {shown}" + (
        f"; and {more} more." if more > 0 else "."
    )


def _describe_refusal(accuracy: Accuracy) -> str:
    return f"No interval: {accuracy.refused}." if accuracy.refused else ""


def _describe_repeated(repeats: tuple[RepeatResult, ...]) -> str:
    count = max((result.repeated for result in repeats), default=0)
    return f"{count} videos are so short that some of their views show the same pixels." if count else ""


def _measured_cost_cells(row: ArmResult) -> list[Cell]:
    """Parameters and multiply-accumulates as counted for the trials; a fusion has none of its own."""
    if not row.arm.arms:
        return [NONE_HERE] * 2
    found = ((row.params_m, 3), (row.gmacs_per_view, 4))
    state = _judge([trial for accuracy in row.accuracies for trial in accuracy.repeats], measured=False)[0]
    missing = Cell(SIGNS[state].sign, state=state)
    return [missing if value is None else Cell(show_number(value, digits)) for value, digits in found]


def _published_cells(table: TableResult, published: RowSpec | None, notes: Footnotes) -> list[Cell]:
    names = [table.published_key(dataset, name) for dataset in table.datasets for name in ("top1", "top5")]
    if published is None:
        return [Cell(ABSENT)] * (len(names) + 2)
    cells = []
    for name in (*names, "params_m", "gflops"):
        value = published.values.get(name)
        quoted = f"Quoted: {published.source}." if published.origin == "cited" and "top" in name else ""
        marks = notes.add(
            published.doubts.get(name, ""), quoted, published.note if name == "params_m" else ""
        )
        cells.append(Cell(ABSENT if value is None else str(value), marks))
    return cells


def _cost_cells(row: ArmResult, notes: Footnotes) -> list[Cell]:
    counted, verdict = row.counted, row.verdict
    if verdict is None:
        judged = Cell(ABSENT)
    elif verdict.kind == "disagrees":
        judged = Cell(verdict.kind, notes.add(show_sentence(verdict.reason)), state="disagrees")
    else:  # what is explained has its footnotes at the published cells
        judged = Cell(verdict.kind)
    return [
        Cell(show_number(counted.params_m, 2) if counted else ABSENT),
        Cell(show_number(counted.gmacs_per_view, 2) if counted else ABSENT),
        judged,
    ]


def _accuracy(spread: Spread, planned: int) -> str:
    return f"{100 * spread.mean:.1f}{_deviation(spread, 100, planned)}"


def _deviation(spread: Spread, scale: float, planned: int) -> str:
    """The standard deviation where there is one, and the number of repeats where some are missing."""
    deviation = f" ± {scale * spread.std:.1f}" if spread.std is not None else ""
    return deviation + (f" (n = {spread.n})" if spread.n != planned else "")
