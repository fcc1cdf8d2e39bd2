"""The numbers that the paper prints, as typed rows: ``reports/published/*.yaml``.

They are transcribed as printed, in the units of the print (accuracies in percent), and are never mixed with
measured ones. A cell that cannot be right, or that was quoted from elsewhere, says so beside its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from study.errors import SpecError, suggest
from study.spec.base import Spec
from study.spec.experiment import Name
from study.spec.loading import validate
from study.spec.yaml import load_document

Unit = Literal["percent", "million", "GMAC per view", "GMAC per video", "videos per second", "count", "text"]
PRODUCT = re.compile(r"(\d+(?:\.\d+)?) × (\d+(?:\.\d+)?)")


def _keep_scalar(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float | str | None):
        raise ValueError(f"expected a number, text or null, got {value!r}")
    return value


Value = Annotated[int | float | str | None, BeforeValidator(_keep_scalar)]
"""A number, a text, or null where the paper prints a dash. ``33 × 6`` is views times cost."""


Sentence = Annotated[str, StringConstraints(strip_whitespace=True)]


class ColumnSpec(Spec):
    """A column of a printed table."""

    header: str
    """As printed."""
    unit: Unit
    """Unit of its values. What the paper calls FLOPs are multiply-accumulates, one each."""


class RowSpec(Spec):
    """A row of a printed table."""

    row: str
    """Key, unique in the table; ``published`` of an arm names it."""
    printed: str
    """The row's name as printed, without markup."""
    values: dict[str, Value]
    """One value a column."""
    origin: Literal["measured", "cited"]
    """Whether the authors ran it, or quote it from another paper."""
    source: str = ""
    """The paper quoted, by its number in the paper's references."""
    classes: int | None = None
    """Class count that the printed parameters assume, as far as it can be told."""
    views: int = 1
    """Views of a video that the printed cost covers, where it is not printed as a product."""
    doubts: dict[str, Sentence] = Field(default_factory=dict)
    """Cells that cannot be right or are not what they seem, and what is known of them."""
    explained: tuple[str, ...] = ()
    """Those of the doubtful cells whose doubt names the cause of the difference, not the difference alone."""
    note: Sentence = ""
    """A footnote on the row."""
    bold: tuple[str, ...] = ()
    """Columns whose value is printed in bold."""
    parts: tuple[str, ...] = ()
    """Rows of this table that this one fuses; one that runs twice is named twice."""


class ProtocolSpec(Spec):
    """What the paper says of the rows of a table that are its own. Empty and null: it does not say."""

    datasets: tuple[str, ...] = ()
    """What it evaluates on, by the names of the text's data sets. With several, columns begin with the name."""
    pretrain: str = ""
    """What its own rows were trained on before, where the table has no such column."""
    frames: str = ""
    """Frames of its own rows, where the table has no such column."""
    clips: int | None = None
    """Clips of a video at test time."""
    source: Sentence = ""
    """Where the paper says so."""


class PublishedTable(Spec):
    """A table of the paper."""

    name: Name
    """Name of its file."""
    title: str
    """Caption as printed."""
    source: str
    """Paper and number of the table."""
    setting: str
    """Data set and protocol behind the accuracies, as far as the paper tells."""
    protocol: ProtocolSpec = ProtocolSpec()
    """The same for programs."""
    linear: tuple[str, ...] = ()
    """Columns that are, by the paper's own formula, linear in the number that names a row."""
    linear_source: Sentence = ""
    """Where that formula stands."""
    columns: dict[str, ColumnSpec] = Field(min_length=1)
    """Columns in order."""
    rows: tuple[RowSpec, ...] = Field(min_length=1)
    """Rows in order."""

    @model_validator(mode="after")
    def _check(self) -> PublishedTable:
        keys = [row.row for row in self.rows]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"rows named twice: {', '.join(twice)}")
        if unknown := sorted(set(self.linear) - set(self.columns)):
            raise ValueError(f"linear: no columns: {', '.join(unknown)}")
        for row in self.rows:
            if list(row.values) != list(self.columns):
                raise ValueError(
                    f"row '{row.row}': expected the columns {', '.join(self.columns)}, in this order"
                )
            if not set(row.explained) <= set(row.doubts):
                raise ValueError(
                    f"row '{row.row}': explained: {', '.join(row.explained)}: no doubt says by what"
                )
            for field, names in (("doubts", row.doubts), ("bold", row.bold)):
                unknown = sorted(set(names) - set(self.columns))
                if unknown:
                    raise ValueError(f"row '{row.row}': {field} about no column: {', '.join(unknown)}")
            missing = sorted(set(row.parts) - set(keys))
            if missing:
                raise ValueError(f"row '{row.row}': parts are no rows: {', '.join(missing)}")
            for name, value in row.values.items():
                wants_text = self.columns[name].unit == "text"
                is_text = isinstance(value, str) and not PRODUCT.fullmatch(value)
                if value is not None and wants_text != isinstance(value, str) and (wants_text or is_text):
                    raise ValueError(f"row '{row.row}': {name}: {value!r} is no {self.columns[name].unit}")
        return self

    def row(self, key: str) -> RowSpec:
        """The row called ``key``; raises SpecError with what there is otherwise."""
        for row in self.rows:
            if row.row == key:
                return row
        raise SpecError(
            f"published table '{self.name}' has no row '{key}': {suggest(key, [r.row for r in self.rows])}"
        )

    def iter_cells(self) -> Iterator[PublishedCell]:
        """Every cell, row by row."""
        for row in self.rows:
            for name, value in row.values.items():
                column = self.columns[name]
                yield PublishedCell(
                    self.name,
                    row.row,
                    name,
                    value,
                    column.unit,
                    row.origin,
                    row.source,
                    row.doubts.get(name, ""),
                )


def per_view(value: Value, views: int) -> float | None:
    """The cost of one view from a printed cost: the first factor of a product, else the value by ``views``.

    >>> per_view("33 × 6", 1), per_view(306, 2)
    (33.0, 153.0)
    """
    if isinstance(value, str):
        match = PRODUCT.fullmatch(value)
        return float(match[1]) if match else None
    return None if value is None else value / views


@dataclass(frozen=True)
class PublishedCell:
    """One printed value with everything said about it."""

    table: str
    row: str
    column: str
    value: float | str | None
    unit: Unit
    origin: Literal["measured", "cited"]
    source: str
    doubt: str

    @property
    def number(self) -> float | None:
        """The value as a number, a product multiplied out; None for text and dashes.

        >>> PublishedCell("t", "r", "c", "33 × 6", "GMAC per video", "cited", "", "").number
        198.0
        """
        if isinstance(self.value, str):
            match = PRODUCT.fullmatch(self.value)
            return float(match[1]) * float(match[2]) if match else None
        return self.value


def find_reports() -> Path:
    """The folder ``reports``: below the working directory, else the one beside this code."""
    here = Path.cwd() / "reports"
    return here if (here / "published").is_dir() else Path(__file__).resolve().parents[2] / "reports"


def load_published(name: str, folder: Path | None = None) -> PublishedTable:
    """The published table ``name``; ``folder`` is ``reports/published`` when None.

    Raises:
        SpecError: when there is no such file or it is no table.
    """
    folder = folder or find_reports() / "published"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = [file.stem for file in folder.glob("*.yaml")]
        raise SpecError(f"published table '{name}' is unknown: {suggest(name, known)} (looked in {folder})")
    document = load_document(path)
    table = validate(PublishedTable, document)
    if table.name != name:
        raise SpecError(
            f"{document.where(('name',))}: name: '{table.name}' differs from its file, {path.name}"
        )
    return table
