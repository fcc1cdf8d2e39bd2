"""Reading the claims, and checking that everything they name exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from study.analysis.claims.spec import AnyTest, ClaimsFile, ClaimSpec, CostTest
from study.analysis.lint.rounding import Interval, interval_of, interval_per_view
from study.analysis.lint.text import CellRef, StatementSpec, load_text
from study.analysis.published import PublishedCell, PublishedTable, find_reports, load_published
from study.errors import SpecError, suggest
from study.spec.arms import expand_axes
from study.spec.experiment import ExperimentSpec
from study.spec.loading import find_experiments, list_names, validate
from study.spec.yaml import Document, load_document

UNITS = {
    "percent": " %",
    "percentage points": " points",
    "million": " M",
    "GMAC per view": " GMACs a view",
    "GMAC per video": " GMACs a video",
    "times": "x",
}
"""How the units of the published numbers are written behind them."""


@dataclass(frozen=True)
class Claim:
    """A claim with what the published tables and the text say of it.

    Attributes:
        spec: as written.
        place: where the paper makes it.
        quote: a few words of the paper; "" without.
        published: the paper's own numbers, with units; "" where it prints none.
        printed: all numbers that round to the one that a claim of value is about (percentage points, or a ratio);
            None for a claim of direction.
        unbuilt: rows of the test that are published only, with the reason.
    """

    spec: ClaimSpec
    place: str
    quote: str
    published: str
    printed: Interval | None = None
    unbuilt: Mapping[str, str] = field(default_factory=dict)

    @property
    def test(self) -> AnyTest:
        """How it is tested."""
        return self.spec.test


def load_claims(path: Path | None = None, experiments: Path | None = None) -> tuple[Claim, ...]:
    """The claims of ``path``, in its order.

    Args:
        path: the file; ``claims.yaml`` of :func:`~study.analysis.published.find_reports` when None, and no claims
            where that folder has none.
        experiments: where experiments are looked up first; :func:`~study.spec.loading.find_experiments` when None.
            Those beside the reports are looked up next.

    Raises:
        SpecError: with every problem: the file, line and key, and what is allowed.
    """
    if path is None:
        path = find_reports() / "claims.yaml"
        if not path.is_file():
            return ()
    document = load_document(path)
    file = validate(ClaimsFile, document)
    folders = (experiments or find_experiments(), path.parent.parent / "experiments")
    reader = _Reader(document, path.parent / "published", folders)
    claims = [reader.read(number, claim) for number, claim in enumerate(file.claims)]
    if reader.problems:
        raise SpecError(reader.problems)
    return tuple(claim for claim in claims if claim is not None)


class _Reader:
    """Resolves what claims refer to; what does not exist is noted.

    Attributes:
        problems: a line for each.
    """

    def __init__(self, document: Document, published: Path, experiments: Sequence[Path]) -> None:
        self.problems: list[str] = []
        self._document = document
        folder = published if published.is_dir() else find_reports() / "published"
        self._statements = {one.name: one for one in load_text(folder).statements}
        self._table: Callable[[str], PublishedTable] = cache(lambda name: load_published(name, folder))
        self._experiment = cache(lambda name: _load_experiment(name, experiments))

    def read(self, number: int, claim: ClaimSpec) -> Claim | None:
        """``claim``, the ``number``-th of the file, or None where it names what does not exist."""
        before = len(self.problems)
        statement = self._find_statement(number, claim)
        cells = self._find_cells(number, claim, statement)
        self._check_test(number, claim)
        if len(self.problems) > before:
            return None
        try:
            printed = self._find_printed(claim, statement, cells)
        except ValueError as error:
            self._note(number, ("cells",), str(error))
            return None
        return Claim(
            spec=claim,
            place=claim.place or (statement.place if statement else ""),
            quote=claim.quote or (statement.quote if statement else ""),
            published=describe_published(cells, statement),
            printed=printed,
            unbuilt=self._list_unbuilt(claim.test),
        )

    def _note(self, number: int, keys: Sequence[str | int], problem: str) -> None:
        path = ("claims", number, *keys)
        self.problems.append(f"{self._document.where(path)}: {'.'.join(map(str, path))}: {problem}")

    def _find_statement(self, number: int, claim: ClaimSpec) -> StatementSpec | None:
        if claim.statement is None:
            return None
        statement = self._statements.get(claim.statement)
        if statement is None:
            hint = suggest(claim.statement, self._statements)
            self._note(number, ("statement",), f"text.yaml has no statement '{claim.statement}'; {hint}")
        return statement

    def _find_cells(
        self, number: int, claim: ClaimSpec, statement: StatementSpec | None
    ) -> list[PublishedCell]:
        cells = []
        for index, reference in enumerate(claim.cells or (statement.cells if statement else ())):
            try:
                cells.append(find_cell(self._table(reference[0]), reference))
            except SpecError as error:
                self._note(number, ("cells", index), str(error))
        return cells

    def _list_unbuilt(self, test: AnyTest) -> dict[str, str]:
        reasons = self._experiment(test.experiment)[0]
        return {row: reasons[row].strip().rstrip(".") for row in test.rows if reasons[row]}

    def _check_test(self, number: int, claim: ClaimSpec) -> None:
        test = claim.test
        try:
            rows, datasets = self._experiment(test.experiment)
        except SpecError as error:
            self._note(number, ("test", "experiment"), str(error))
            return
        for row in test.rows:
            if row not in rows:
                self._note(number, ("test",), f"'{test.experiment}' has no row '{row}': {suggest(row, rows)}")
        for name in test.named_datasets:
            if name not in datasets:
                self._note(
                    number,
                    ("test",),
                    f"'{test.experiment}' has no data set '{name}': {suggest(name, datasets)}",
                )

    def _find_printed(
        self, claim: ClaimSpec, statement: StatementSpec | None, cells: Sequence[PublishedCell]
    ) -> Interval | None:
        """What the number of a claim of value may be before rounding."""
        if claim.matter != "value":
            return None
        if statement is not None and statement.value is not None:
            around = interval_of(statement.value)
            assert around is not None
            low, high = statement.value - statement.tolerance, statement.value + statement.tolerance
            return Interval(min(around.low, low), max(around.high, high))
        if len(cells) != 2:
            raise ValueError(
                f"a claim of value needs two cells or a statement with a value, got {len(cells)}"
            )
        first, second = (interval_of_cell(cell, self._table(cell.table)) for cell in cells)
        return first / second if isinstance(claim.test, CostTest) else first - second


def find_cell(table: PublishedTable, reference: CellRef) -> PublishedCell:
    """The cell that ``reference`` names; raises SpecError with what there is otherwise."""
    _, row, column = reference
    table.row(row)
    if column not in table.columns:
        raise SpecError(
            f"published table '{table.name}' has no column '{column}': {suggest(column, table.columns)}"
        )
    return next(cell for cell in table.iter_cells() if (cell.row, cell.column) == (row, column))


def interval_of_cell(cell: PublishedCell, table: PublishedTable) -> Interval:
    """What may have been rounded to a printed cell; a cost is that of one view. Raises ValueError for a dash."""
    if cell.unit == "GMAC per video":
        around = interval_per_view(cell.value, table.row(cell.row).views)
    else:
        around = interval_of(cell.value)
    if around is None:
        raise ValueError(f"{cell.table} prints no number for {cell.row}, {cell.column}")
    return around


def describe_published(cells: Sequence[PublishedCell], statement: StatementSpec | None) -> str:
    """The paper's numbers in words: the prose's, then those of the tables, with what is quoted from elsewhere."""
    texts = []
    if statement is not None and statement.value is not None and statement.relation != "equals":
        texts.append(f"{statement.value}{UNITS.get(statement.unit or '', f' {statement.unit}')} (text)")
    for cell in cells:
        if cell.value is None:
            texts.append(f"{cell.row}: none printed")
            continue
        cited = ", cited" if cell.origin == "cited" else ""
        texts.append(f"{cell.row}: {cell.value}{UNITS.get(cell.unit, f' {cell.unit}')}{cited}")
    return "; ".join(texts)


def _load_experiment(name: str, folders: Sequence[Path]) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The rows of an experiment, each with the reason why it is published only ("" for others), and its data sets."""
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            document = load_document(path)
            spec = validate(ExperimentSpec, document)
            arms = expand_axes(spec.axes, document.where(("axes",)))[0] if spec.axes else spec.arms
            return {arm.name: arm.published_only for arm in arms}, spec.datasets
    known = {stem for folder in folders for stem in list_names(folder)}
    raise SpecError(f"experiment '{name}' is unknown: {suggest(name, known)} (looked in {folders[0]})")
