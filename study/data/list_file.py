"""List files: TSN's ``path [num_frames] label`` lines, and CSV with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from study.errors import DataError

Format = Literal["auto", "tsn", "csv"]
MAX_SHOWN = 10
"""Defects of one file that a message lists."""


@dataclass(frozen=True)
class Row:
    """One line of a list: where it stands, and what it says. A CSV without a column leaves it empty."""

    line: int
    path: str
    label: str = ""
    split: str = ""


@dataclass
class Problems:
    """Defects of one file, collected so that all are told at once."""

    source: Path
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        """Note a defect in ``line``."""
        self._found.append((line, text))

    def raise_if_any(self) -> None:
        """Raise DataError with a line for each defect, the first ones if there are many."""
        if not self._found:
            return
        shown = [f"{self.source}:{line}: {text}" for line, text in sorted(self._found)[:MAX_SHOWN]]
        if len(self._found) > MAX_SHOWN:
            shown.append(f"{self.source}: and {len(self._found) - MAX_SHOWN} more")
        raise DataError("\n".join(shown))


def read_text(path: Path) -> str:
    """The text of a list file; a byte order mark is dropped.

    Raises:
        DataError: when the file cannot be read, is not UTF-8 or is empty.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from None
    if "\0" in text:
        raise DataError(f"{path}: not a list: it holds zero bytes")
    if not text.strip():
        raise DataError(f"{path}: is empty")
    return text


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line; spaces around them and empty lines are dropped.

    Raises:
        DataError: when the file cannot be read or a name is repeated.
    """
    problems, seen = Problems(path), dict[str, int]()
    for number, line in enumerate(read_text(path).split("\n"), 1):
        name = line.strip()
        if name in seen:
            problems.add(number, f"class '{name}' stands in line {seen[name]} already")
        elif name:
            seen[name] = number
    problems.raise_if_any()
    return tuple(seen)


def read_rows(path: Path, layout: Format, columns: Iterable[str] = ("path", "label")) -> list[Row]:
    """The rows of a list file.

    Args:
        path: the file.
        layout: ``tsn``, ``csv``, or ``auto``: CSV if the first line has a field ``path`` between commas.
        columns: columns a CSV must have.

    Raises:
        DataError: naming the line, when a line has the wrong number of columns, or the header lacks one.
    """
    text = read_text(path)
    header = next(csv.reader(io.StringIO(text.split("\n", 1)[0])), [])
    names = [name.strip() for name in header]
    if layout == "csv" or (layout == "auto" and len(names) > 1 and "path" in names):
        return _read_csv(path, text, names, columns)
    return _read_tsn(path, text)


def _read_csv(path: Path, text: str, names: list[str], columns: Iterable[str]) -> list[Row]:
    missing = [name for name in columns if name not in names]
    if missing:
        raise DataError(f"{path}:1: the header has no column {', '.join(missing)}; it has {', '.join(names)}")
    problems, rows = Problems(path), []
    reader = csv.reader(io.StringIO(text, newline=""))
    next(reader)
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(names):
            problems.add(reader.line_num, f"{len(fields)} columns, the header has {len(names)}")
            continue
        values = {name: value.strip() for name, value in zip(names, fields, strict=True)}
        picked = (values.get(name, "") for name in ("path", "label", "split"))
        rows.append(Row(reader.line_num, *picked))
    problems.raise_if_any()
    return rows


def _read_tsn(path: Path, text: str) -> list[Row]:
    problems, rows = Problems(path), []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2:
            problems.add(number, f"expected 'path [num_frames] label', got '{line.strip()}'")
            continue
        # From the right, since a path may hold spaces.
        rest, label = line.strip().rsplit(None, 1)
        parts = rest.rsplit(None, 1)
        has_count = len(parts) == 2 and parts[1].isdecimal()
        rows.append(Row(number, parts[0] if has_count else rest, label))
    problems.raise_if_any()
    return rows


def relative_path(root: Path, path: str) -> str:
    """``path`` relative to ``root`` where it lies below it, with forward slashes; as it is otherwise."""
    given = Path(path)
    if given.is_absolute() and given.is_relative_to(root):
        given = given.relative_to(root)
    return given.as_posix()


def check_files(root: Path, rows: Iterable[Row], problems: Problems) -> None:
    """Note every row whose file is missing, and every path that stands in the list twice."""
    first: dict[str, int] = {}
    for row in rows:
        path = relative_path(root, row.path)
        if path in first:
            problems.add(row.line, f"'{row.path}' stands in line {first[path]} already")
            continue
        first[path] = row.line
        if not row.path:
            problems.add(row.line, "no path")
        elif (root / path).is_dir():
            problems.add(row.line, f"'{root / path}' is a folder, not a video file")
        elif not (root / path).is_file():
            problems.add(row.line, f"no file '{root / path}'")
