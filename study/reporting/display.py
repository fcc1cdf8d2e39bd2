"""A table as it is shown, before it becomes HTML, Markdown, LaTeX, CSV or Parquet: texts, footnotes, signs, details.

Measured and published numbers stand in columns of their own, under headings that say which is which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import pandas as pd

from study.reporting.signs import ABSENT, DONE, SIGNS, Sign, explain_signs

NUMBER = re.compile(
    r"([+−-]?)(\d+(?:\.\d+)?)(?: × (\d+(?:\.\d+)?))?\*?(?: ± [\d.]+)?(?: %)?(?: \[[^\]]*\])?(?: \(n = \d+\))?"
)
"""A number as tables print it, with what may follow it; ``33 × 6`` is a product."""


@dataclass(frozen=True)
class RunLine:
    """One trial behind a cell.

    Attributes:
        repeat: number of the repeat.
        fold: number of the fold, from 1; None without folds.
        texts: what the trial gave, one text for each heading of :attr:`Details.headings`.
        state: "done", or what is wrong with it.
        reason: why.
        trial_id: the trial; "" for what several trials gave.
        fragment: its run in MLflow, as the part of the address after the server's; "" without a run.
    """

    repeat: int
    fold: int | None
    texts: tuple[str, ...]
    state: str = DONE
    reason: str = ""
    trial_id: str = ""
    fragment: str = ""

    @property
    def label(self) -> str:
        """What the run is called below a table."""
        parts = [f"r{self.repeat}", f"fold {self.fold}" if self.fold else "", *self.texts[:1]]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Facts:
    """Facts under one heading, each a label and a text."""

    title: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Details:
    """What opens behind a cell: how its number came about. Cells of one row and data set share it.

    Attributes:
        key: unique on the page; letters, digits and hyphens.
        title: of what.
        groups: the facts.
        headings: of the texts of ``runs``.
        runs: the trials.
    """

    key: str
    title: str
    groups: tuple[Facts, ...]
    headings: tuple[str, ...] = ()
    runs: tuple[RunLine, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What one cell shows.

    Attributes:
        text: the value.
        notes: numbers of its footnotes, from 1.
        state: "done", or what is wrong with it (:data:`study.reporting.signs.SIGNS`).
        also: further states.
        details: what opens behind it.
        number: what it is sorted by, where ``text`` does not say.
    """

    text: str
    notes: tuple[int, ...] = ()
    state: str = DONE
    also: tuple[str, ...] = ()
    details: Details | None = None
    number: float | None = None

    @property
    def states(self) -> tuple[str, ...]:
        """Everything that is wrong with it, each once."""
        return tuple(dict.fromkeys(state for state in (self.state, *self.also) if state in SIGNS))

    @property
    def signs(self) -> str:
        """The signs of its states, unless its text is one."""
        return "".join(SIGNS[state].sign for state in self.states if SIGNS[state].sign not in self.text)

    @property
    def shown(self) -> str:
        """Text and signs."""
        return f"{self.text} {self.signs}" if self.signs else self.text

    @property
    def sort_number(self) -> float | None:
        """The number that it is sorted by; None for texts.

        >>> Cell("−1.5* [−2.0, −1.0]").sort_number, Cell("33 × 6").sort_number, Cell("3D").sort_number
        (-1.5, 198.0, None)
        """
        return read_number(self.text) if self.number is None else self.number


@dataclass(frozen=True)
class Column:
    """Heading of a column and of the group it belongs to; ``first`` where a group begins beside another,
    ``published`` where its numbers are the paper's, ``text`` where it holds words, ``width`` the part of the page's
    width that a column of sentences takes in print; None for one as wide as its longest cell.
    """

    group: str
    header: str
    first: bool = False
    published: bool = False
    text: bool = False
    width: float | None = None


@dataclass(frozen=True)
class Display:
    """A table to be shown.

    Attributes:
        name: file name without extension.
        title: its title.
        columns: the columns; the first names the rows.
        rows: the cells, one tuple a row.
        baseline: index of the baseline's row; None without one.
        notes: the footnotes; number 1 comes first.
        legend: what the numbers are.
        frame: the same for programs, with units in the names of the columns; the texts themselves when None.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    baseline: int | None = None
    notes: tuple[str, ...] = ()
    legend: str = ""
    frame: pd.DataFrame | None = field(default=None, compare=False)

    @property
    def signs(self) -> tuple[Sign, ...]:
        """The signs that occur in it."""
        return explain_signs(state for row in self.rows for cell in row for state in cell.states)

    @property
    def has_groups(self) -> bool:
        """Whether columns stand under headings of groups."""
        return any(column.group for column in self.columns)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Name and number of columns of each group, in order."""
        return [
            (name, len(list(members))) for name, members in groupby(column.group for column in self.columns)
        ]

    def iter_details(self) -> Iterator[Details]:
        """What opens behind its cells, each once."""
        seen = set()
        for row in self.rows:
            for cell in row:
                if cell.details is not None and cell.details.key not in seen:
                    seen.add(cell.details.key)
                    yield cell.details

    def to_frame(self) -> pd.DataFrame:
        """What goes into CSV and Parquet: ``frame``, else the texts under their headings."""
        if self.frame is not None:
            return self.frame
        names = [
            f"{column.group}: {column.header}" if column.group else column.header for column in self.columns
        ]
        return pd.DataFrame([[cell.text for cell in row] for row in self.rows], columns=names)


@dataclass
class Footnotes:
    """Numbers footnotes in the order they are first used; equal texts share a number."""

    texts: dict[str, int] = field(default_factory=dict)

    def add(self, *texts: str) -> tuple[int, ...]:
        """The numbers of ``texts``, each once; empty ones are left out."""
        numbers = (self.texts.setdefault(text, len(self.texts) + 1) for text in texts if text)
        return tuple(dict.fromkeys(numbers))


def read_number(text: str) -> float | None:
    """The number that ``text`` begins with, where it is one as tables print them; None otherwise."""
    match = NUMBER.fullmatch(text)
    if match is None:
        return None
    value = float(match[2]) * float(match[3] or 1)
    return -value if match[1] in ("−", "-") else value


def show_number(value: float | None, digits: int) -> str:
    """``value`` with so many digits after the point; a dash for None."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def show_signed(points: float) -> str:
    """A difference with its sign, one digit after the point; what rounds to zero has none."""
    text = f"{abs(points):.1f}"
    return text if not float(text) else f"{'−' if points < 0 else '+'}{text}"


def show_sentence(text: str) -> str:
    """``text`` with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "?", "!")) else ".")
