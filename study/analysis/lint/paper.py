"""A paper as the rules see it: its tables, its statements, and what its networks cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from study.analysis.lint.text import CellRef, PublishedText, load_text
from study.analysis.published import (
    PRODUCT,
    ProtocolSpec,
    PublishedTable,
    RowSpec,
    Unit,
    Value,
    find_reports,
    load_published,
)
from study.errors import SpecError, suggest

REFERENCE = re.compile(r"\s*\[(\d+)\]\s*")
FRAMES = re.compile(r"(\d+)(?:\s*×\s*(\d+))?")


@dataclass(frozen=True)
class CountedNetwork:
    """What the network of a row costs.

    Attributes:
        params_m: parameters in millions, by the number of classes.
        gmacs: operations for one view in billions, by the convention of counting them.
    """

    params_m: Mapping[int, float]
    gmacs: Mapping[str, float]


@dataclass(frozen=True)
class PrintedRow:
    """A row with the table that it stands in."""

    table: PublishedTable
    spec: RowSpec

    @property
    def reference(self) -> str:
        """Number of the work that the print names beside the row; "" for the authors' own rows."""
        match = REFERENCE.search(self.spec.printed)
        return match[1] if match else ""

    @property
    def method(self) -> str:
        """The printed name without its reference."""
        return REFERENCE.sub("", self.spec.printed)

    @property
    def place(self) -> str:
        """For people: the table and the row."""
        return f"{label(self.table)}, {self.spec.row}"

    @property
    def protocol(self) -> ProtocolSpec:
        """What the table says of its rows."""
        return self.table.protocol

    def columns(self, *units: Unit) -> list[str]:
        """The columns with these units."""
        return [name for name, column in self.table.columns.items() if column.unit in units]

    @property
    def cost_column(self) -> str | None:
        """The column of operations."""
        found = self.columns("GMAC per view", "GMAC per video")
        return found[0] if found else None

    @property
    def cost(self) -> Value:
        """The printed operations."""
        return self.spec.values[self.cost_column] if self.cost_column else None

    @property
    def accuracies(self) -> dict[str, Value]:
        """The accuracies that are printed."""
        values = {name: self.spec.values[name] for name in self.columns("percent")}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def pretraining(self) -> frozenset[str] | None:
        """The sets that it was trained on before, None where the paper does not say. Rows with a reference have
        what stands beside them; the authors' own, else what the text says.
        """
        printed = self.spec.values.get("pretrain") or ("" if self.reference else self.protocol.pretrain)
        return (
            frozenset(part.strip().replace("-", "") for part in str(printed).split("+")) if printed else None
        )

    @property
    def frames(self) -> tuple[int, int] | None:
        """Frames, and what they are multiplied by; None where nothing or a sum ("16+16") is printed."""
        printed = self.spec.values.get("frames") or ("" if self.reference else self.protocol.frames)
        match = FRAMES.fullmatch(str(printed)) if printed else None
        return (int(match[1]), int(match[2] or 1)) if match else None

    @property
    def views(self) -> int | None:
        """Views of a video that the row's cost covers; None where the frames are multiplied and it is not said
        whether by views ("16 × 3" may be three frames in one view).
        """
        match = PRODUCT.fullmatch(str(self.cost))
        if match:
            return int(float(match[2]))
        unsaid = self.frames is not None and self.frames[1] not in (1, self.spec.views)
        return None if unsaid else self.spec.views

    @property
    def backbone(self) -> str:
        """The printed backbone, spelled alike everywhere; "" where there is none."""
        printed = str(self.spec.values.get("backbone") or "").lower()
        return re.sub(r"\b[23]d\b|[\s-]", "", printed)


@dataclass(frozen=True)
class Paper:
    """What there is to check.

    Attributes:
        tables: by name, in the order of the paper.
        text: its statements.
        counted: by table and row, where the cost of the row's network is known.
    """

    tables: Mapping[str, PublishedTable]
    text: PublishedText
    counted: Mapping[tuple[str, str], CountedNetwork] = field(default_factory=dict)

    def iter_rows(self) -> Iterator[PrintedRow]:
        """Every row of every table."""
        for table in self.tables.values():
            for row in table.rows:
                yield PrintedRow(table, row)

    def rows_of(self, table: PublishedTable) -> list[PrintedRow]:
        """The rows of one table."""
        return [PrintedRow(table, row) for row in table.rows]

    def count_of(self, row: PrintedRow) -> CountedNetwork | None:
        """What the network of ``row`` costs, if that is known."""
        return self.counted.get((row.table.name, row.spec.row))

    def row(self, ref: CellRef) -> PrintedRow:
        """The row of a cell. Raises SpecError when there is no such table, row or column."""
        table, row, column = ref
        if table not in self.tables:
            raise SpecError(f"text: cell {', '.join(ref)}: no such table: {suggest(table, self.tables)}")
        found = PrintedRow(self.tables[table], self.tables[table].row(row))
        if column not in found.table.columns:
            raise SpecError(
                f"text: cell {', '.join(ref)}: no such column: {suggest(column, found.table.columns)}"
            )
        return found

    def value(self, ref: CellRef) -> Value:
        """What is printed in a cell."""
        return self.row(ref).spec.values[ref[2]]

    def name_cell(self, ref: CellRef) -> str:
        """A cell for people: its table, its row, and its column's heading."""
        row = self.row(ref)
        return f"{row.place}, {row.table.columns[ref[2]].header}"


def label(table: PublishedTable) -> str:
    """How the paper calls a table: the end of its source.

    "STH (arXiv 2003.08042), Table 2" is Table 2.
    """
    return table.source.rsplit(", ", 1)[-1]


def load_paper(
    counted: Mapping[tuple[str, str], CountedNetwork] | None = None, folder: Path | None = None
) -> Paper:
    """All tables and the text of ``folder``, ``reports/published`` when None.

    Raises:
        SpecError: when a file is wrong, or a statement speaks of a cell that there is not.
    """
    folder = folder or find_reports() / "published"
    names = sorted(path.stem for path in folder.glob("table*.yaml"))
    names.sort(key=lambda name: int(name.removeprefix("table")) if name[5:].isdigit() else 0)
    paper = Paper({name: load_published(name, folder) for name in names}, load_text(folder), counted or {})
    refs = [ref for statement in paper.text.statements for ref in statement.cells]
    for network in paper.text.architectures:
        stages = [(network.table, row, name) for row in network.stages for name in _WIDTHS]
        refs += [*stages, network.params]
    for ref in refs:
        paper.row(ref)
    return paper


_WIDTHS = ("first", "hybrid", "last", "blocks")
