"""A table as it is shown, before it becomes Markdown, LaTeX or HTML: texts, footnotes, links.

Measured and published numbers stand in columns of their own, under headings that say which is which.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby

from study.analysis.published import RowSpec
from study.analysis.tables import (
    NOT_DONE,
    Accuracy,
    ArmResult,
    RepeatResult,
    Spread,
    TableResult,
    describe_problems,
)
from study.spec.resolved import UsedDataset

MEASURED, PUBLISHED, COST_CHECK = "measured here", "published", "cost at the paper's scale"
NOTHING = "—"
SIGNIFICANT = 0.05
"""A corrected p-value below it gets a star."""
MOST_FACTORS = 3
"""Confounding factors that a footnote names."""


@dataclass(frozen=True)
class Link:
    """A text that leads to a run in MLflow; ``fragment`` is empty where there is none. ``dataset`` says on which
    data set it was, where the table has several.
    """

    text: str
    fragment: str
    state: str = "done"
    dataset: str = ""


@dataclass(frozen=True)
class Cell:
    """What one cell shows.

    Attributes:
        text: the value.
        notes: numbers of its footnotes, from 1.
        links: the runs behind it.
        state: "done", or what is wrong with it.
    """

    text: str
    notes: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    state: str = "done"


@dataclass(frozen=True)
class Column:
    """Heading of a column and of the group it belongs to; ``first`` where a group begins beside another,
    ``published`` where its numbers are the paper's.
    """

    group: str
    header: str
    first: bool = False
    published: bool = False


@dataclass(frozen=True)
class Display:
    """A table to be shown.

    Attributes:
        name: file name without extension.
        title: its title.
        columns: the columns.
        rows: the cells, one list a row.
        baseline: index of the baseline's row.
        notes: the footnotes; number 1 comes first.
        legend: what the numbers are.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    baseline: int
    notes: tuple[str, ...]
    legend: str

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Name and number of columns of each group, in order."""
        return [
            (name, len(list(members))) for name, members in groupby(column.group for column in self.columns)
        ]


@dataclass
class Footnotes:
    """Numbers footnotes in the order they are first used; equal texts share a number."""

    texts: list[str] = field(default_factory=list)

    def add(self, *texts: str) -> tuple[int, ...]:
        """The numbers of ``texts``; empty ones are left out."""
        numbers = []
        for text in texts:
            if text and text not in self.texts:
                self.texts.append(text)
            if text:
                numbers.append(self.texts.index(text) + 1)
        return tuple(numbers)


def build_display(table: TableResult) -> Display:
    """``table`` as it is shown."""
    spec = table.experiment.spec
    notes = Footnotes()
    with_published = any(row.published for row in table.rows)
    with_counted = with_published and any(row.counted for row in table.rows)
    rows = []
    for row in table.rows:
        cells = [_label_cell(row, notes)]
        for accuracy in row.accuracies:
            cells += _accuracy_cells(row, accuracy, notes)
        cells += [Cell(_number(row.params_m, 3)), Cell(_number(row.gmacs_per_view, 4))]
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
        legend=_legend(table, with_published),
    )


def _columns(table: TableResult, with_published: bool, with_counted: bool) -> tuple[Column, ...]:
    columns = [Column("", table.experiment.spec.row_header)]
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
        columns += [Column(COST_CHECK, name) for name in ("params, M", "GMACs", "published")]
    return tuple(
        replace(column, first=index > 0 and column.group != columns[index - 1].group)
        for index, column in enumerate(columns)
    )


def _group(kind: str, table: TableResult, dataset: UsedDataset) -> str:
    """The heading of a data set's columns; with one data set they need none of their own."""
    return f"{kind}, {dataset.label}" if len(table.datasets) > 1 else kind


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


def _accuracy_cells(row: ArmResult, accuracy: Accuracy, notes: Footnotes) -> list[Cell]:
    repeats = accuracy.repeats
    dataset = accuracy.dataset.label if len(row.accuracies) > 1 else ""
    problems = [trial for trial in repeats if trial.state != "done"]
    state = "done"
    if problems:
        state = problems[0].state if accuracy.top1 is None else "partial"
    texts = [f"{text[:1].upper()}{text[1:]}." for text in describe_problems(repeats)]
    planned = len(repeats)
    absence = NOTHING if row.arm.spec.published_only else _absence(problems)
    top1 = accuracy.top1
    shown = _accuracy(top1, planned) if top1 else absence
    return [
        Cell(shown, notes.add(*texts, _describe_repeated(repeats)), _links(repeats, dataset), state),
        _delta_cell(row, accuracy, notes),
        Cell(_accuracy(accuracy.top5, accuracy.top5.n if accuracy.top5 else planned)),
    ]


def _delta_cell(row: ArmResult, accuracy: Accuracy, notes: Footnotes) -> Cell:
    """The difference to the baseline; with an interval where scores by video are at hand."""
    if row.is_baseline:
        return Cell("0" if accuracy.top1 else NOTHING)
    marks = notes.add(_describe_confounders(accuracy), _describe_refusal(accuracy))
    state = "confounded" if accuracy.confounders else "done"
    delta = accuracy.evidence
    if delta is None:
        return Cell(_delta(accuracy.delta, len(accuracy.repeats)), marks, state=state)
    star = "*" if delta.p_holm is not None and delta.p_holm < SIGNIFICANT else ""
    text = f"{_signed(delta.points)}{star} [{_signed(delta.low)}, {_signed(delta.high)}]"
    missing = len(accuracy.repeats) - len(delta.repeats)
    return Cell(text + (f" (n = {len(delta.repeats)})" if missing else ""), marks, state=state)


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


def _published_cells(table: TableResult, published: RowSpec | None, notes: Footnotes) -> list[Cell]:
    names = [table.published_key(dataset, name) for dataset in table.datasets for name in ("top1", "top5")]
    if published is None:
        return [Cell(NOTHING)] * (len(names) + 2)
    cells = []
    for name in (*names, "params_m", "gflops"):
        value = published.values.get(name)
        quoted = f"Quoted: {published.source}." if published.origin == "cited" and "top" in name else ""
        marks = notes.add(
            published.doubts.get(name, ""), quoted, published.note if name == "params_m" else ""
        )
        cells.append(Cell(NOTHING if value is None else str(value), marks))
    return cells


def _cost_cells(row: ArmResult, notes: Footnotes) -> list[Cell]:
    counted, verdict = row.counted, row.verdict
    if verdict is None:
        judged = Cell(NOTHING)
    elif verdict.kind == "disagrees":
        judged = Cell("disagrees", notes.add(_capital(verdict.reason)), state="disagrees")
    else:  # what is explained has its footnotes at the published cells
        judged = Cell(verdict.kind)
    return [
        Cell(_number(counted.params_m, 2) if counted else NOTHING),
        Cell(_number(counted.gmacs_per_view, 2) if counted else NOTHING),
        judged,
    ]


def _links(repeats: tuple[RepeatResult, ...], dataset: str) -> tuple[Link, ...]:
    """The runs behind a cell."""
    links = []
    for result in repeats:
        for number, trial in enumerate(result.trials, start=1):
            fold = f" fold {number}" if result.folds else ""
            value = f"{100 * trial.top1:.1f}" if trial.top1 is not None else trial.state
            links.append(Link(f"r{result.repeat}{fold} {value}", trial.fragment, trial.state, dataset))
    return tuple(links)


def _absence(problems: list[RepeatResult]) -> str:
    """Why there is no number: failed, stopped and not measured are three things."""
    states = {trial.state for trial in problems}
    return next((state for state in NOT_DONE if state in states), "missing")


def _accuracy(spread: Spread | None, planned: int) -> str:
    return NOTHING if spread is None else f"{100 * spread.mean:.1f}{_deviation(spread, 100, planned)}"


def _delta(spread: Spread | None, planned: int) -> str:
    return NOTHING if spread is None else f"{_signed(spread.mean)}{_deviation(spread, 1, planned)}"


def _signed(points: float) -> str:
    return f"{'−' if points < 0 else '+'}{abs(points):.1f}"


def _deviation(spread: Spread, scale: float, planned: int) -> str:
    """The standard deviation where there is one, and the number of repeats where some are missing."""
    deviation = f" ± {scale * spread.std:.1f}" if spread.std is not None else ""
    return deviation + (f" (n = {spread.n})" if spread.n != planned else "")


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _legend(table: TableResult, with_published: bool) -> str:
    repeats = table.experiment.repeats
    profile = table.experiment.profile
    parts = [f"Measured here: profile {profile.name} ({profile.about.rstrip('.')}).", *_limits(table)]
    if repeats > 1:
        parts.append(
            f"Mean ± sample standard deviation over {repeats} repeats. (n = …): fewer repeats have finished."
        )
    else:
        parts.append("One repeat, so accuracies have no spread.")
    parts += [f"{dataset.label}: {dataset.about.rstrip('.')}." for dataset in table.datasets if dataset.about]
    folds = max(len(dataset.folds) for dataset in table.datasets)
    if folds > 1:
        parts.append("Accuracies are means over the folds.")
    parts += _evidence_legend(table)
    if with_published and table.view.published is not None:
        parts.append(f"Published: {table.view.published.source}; {table.view.published.setting}.")
        parts.append("GMACs and what the paper calls GFLOPs are multiply-accumulates of one view.")
    return " ".join(parts)


def _limits(table: TableResult) -> list[str]:
    """What the profile makes smaller than the rows' names say; nothing where it changes none of them."""
    profile = table.experiment.profile
    limits, arms = profile.limits, table.experiment.arms
    texts = []
    at_limit = any(arm.settings.clip.frames == limits.frames for arm in arms)
    if limits.frames is not None and table.experiment.datasets[0].name and at_limit:
        texts.append(f"Clips have at most {limits.frames} frames here, whatever a row is named.")
    small = {arm.settings.model.backbone for arm in arms} & set(limits.backbones.values())
    if small:
        texts.append(f"{', '.join(sorted(small))} stands for {', '.join(sorted(limits.backbones))}.")
    return texts


def _evidence_legend(table: TableResult) -> list[str]:
    """What the differences mean, and how sure they are."""
    evidence = table.view.evidence
    deltas = list(evidence.deltas.values())
    if not deltas:
        return ["Δ is the difference in top-1 to the baseline, repeat by repeat, ± its standard deviation."]
    texts = [
        "Δ is the difference in top-1 to the baseline with its 95 % interval, paired by video and repeat; * marks "
        "p < 0.05 after Holm's correction over the table."
    ]
    if any(delta.varies == "videos" for delta in deltas):
        texts.append(
            "With fewer than three repeats intervals and stars are about these trained networks on new videos, and "
            "say nothing about other seeds."
        )
    else:
        texts.append("Intervals and stars are about new videos and new repeats.")
    detectable = sorted(delta.detectable for delta in deltas)
    texts.append(
        f"A true difference of {detectable[len(detectable) // 2]:.1f} points (median over rows) would be found four "
        "times in five, before correction."
    )
    if any(len(dataset.folds) > 1 for dataset in table.datasets):
        texts.append("No intervals are given over folds.")
    for dataset in table.datasets:
        ranks = evidence.ranks.get(dataset.name)
        if ranks is not None:
            on = f" on {dataset.label}" if len(table.datasets) > 1 else ""
            texts.append(
                f"Agreement with the published order{on}: Kendall's tau {ranks.tau:+.2f} [{ranks.low:+.2f}, "
                f"{ranks.high:+.2f}] over {len(ranks.arms)} rows, {ranks.undecided} pairs undecided."
            )
    return texts
