"""List files: TSN's ``path [num_frames] label`` lines, and CSV with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

from study.data.folders import EntryKind, FolderIndex
from study.errors import DataError

Format = Literal["auto", "tsn", "csv"]
MAX_SHOWN = 10
"""Defects of one file that a message lists."""


class Row(NamedTuple):
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

    @property
    def many(self) -> bool:
        """Whether there are more than are shown, so that nobody will read the next one."""
        return len(self._found) > MAX_SHOWN

    def add(self, line: int, text: str) -> None:
        """Note a defect in ``line``."""
        self._found.append((line, text))

    def raise_if_any(self) -> None:
        """Raise DataError with a line for each defect, the first ones if there are many."""
        raise_problems(f"{self.source}:{line}: {text}" for line, text in sorted(self._found))


def raise_problems(lines: Iterable[str]) -> None:
    """Raise DataError with ``lines``, the first ones if there are many; nothing if there are none."""
    found = list(lines)
    if not found:
        return
    if len(found) > MAX_SHOWN:
        found[MAX_SHOWN:] = [f"and {len(found) - MAX_SHOWN} more"]
    raise DataError("\n".join(found))


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


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list file that are not empty, with their numbers; spaces at both ends are dropped.

    Raises:
        DataError: when the file cannot be read, is not UTF-8 or is empty.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        stripped = line.strip()
        if stripped:
            yield number, stripped


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line; spaces around them and empty lines are dropped.

    Raises:
        DataError: when the file cannot be read or a name is repeated.
    """
    problems, seen = Problems(path), dict[str, int]()
    for number, name in read_lines(path):
        if name in seen:
            problems.add(number, f"class '{name}' stands in line {seen[name]} already")
        seen.setdefault(name, number)
    problems.raise_if_any()
    return tuple(seen)


def read_rows(path: Path, layout: Format, columns: Sequence[str] = ("path", "label")) -> list[Row]:
    """The rows of a list file.

    Args:
        path: the file.
        layout: ``tsn``, ``csv``, or ``auto``: CSV if the first line has a field ``path`` between commas.
        columns: columns a CSV must have.

    Raises:
        DataError: naming the line, when a line has the wrong number of columns, or the header lacks one.
    """
    if layout == "csv" or (layout == "auto" and _has_header(path)):
        optional = [name for name in Row._fields[1:] if name not in columns]
        names = (*columns, *optional)
        table = read_table(path, columns, optional)
        return [Row(line, **dict(zip(names, values, strict=True))) for line, values in table]
    return _read_tsn(path)


def _has_header(path: Path) -> bool:
    try:
        first = next(csv.reader([read_text(path).split("\n", 1)[0]]), [])
    except csv.Error:
        return False  # a lone carriage return, say; whoever reads the rows says what is wrong
    names = [name.strip() for name in first]
    return len(names) > 1 and "path" in names


def read_table(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, tuple[str, ...]]]:
    """The rows of a CSV with a header, each with the number of its line; empty rows are dropped.

    Args:
        path: the file.
        columns: columns that it must have.
        optional: columns that are empty where the file has them not.

    Returns:
        The values of ``columns`` and ``optional``, in this order; other columns are ignored.

    Raises:
        DataError: naming the line, when a line has the wrong number of columns, or the header lacks one.
    """
    problems, rows = Problems(path), list[tuple[int, tuple[str, ...]]]()
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader)]
        missing = [name for name in columns if name not in names]
        if missing:
            raise DataError(
                f"{path}:1: the header has no column {', '.join(missing)}; it has {', '.join(names)}"
            )
        # One empty value behind each row stands for the columns that are not there.
        places = [names.index(name) if name in names else len(names) for name in (*columns, *optional)]
        pick = itemgetter(*places, -1)
        for fields in reader:
            if len(fields) == len(names):
                rows.append((reader.line_num, pick([*map(str.strip, fields), ""])[:-1]))
            elif any(field.strip() for field in fields):
                problems.add(reader.line_num, f"{len(fields)} columns, the header has {len(names)}")
    except csv.Error as error:
        problems.add(reader.line_num, f"not CSV: {error}")
    problems.raise_if_any()
    return [(line, values) for line, values in rows if any(values)]


def _read_tsn(path: Path) -> list[Row]:
    problems, rows = Problems(path), []
    for number, line in read_lines(path):
        # From the right, since a path may hold spaces.
        parts = line.rsplit(None, 1)
        if len(parts) < 2:
            problems.add(number, f"expected 'path [num_frames] label', got '{line}'")
            continue
        head = parts[0].rsplit(None, 1)
        has_count = len(head) == 2 and head[1].isdecimal()
        rows.append(Row(number, head[0] if has_count else parts[0], parts[1]))
    problems.raise_if_any()
    return rows


def relative_path(root: Path, path: str) -> str:
    """``path`` relative to ``root`` where it lies below it, with forward slashes; else as it is."""
    if not path:
        return ""
    given = Path(path)
    if given.is_absolute() and given.is_relative_to(root):
        given = given.relative_to(root)
    return given.as_posix()


def check_files(
    index: FolderIndex, rows: Iterable[Row], problems: Problems, *, folders: bool = False
) -> bool:
    """Note every row whose file is missing, and every path that stands in the list twice.

    Args:
        index: the disk; the paths of ``rows`` are relative to its root, or absolute.
        rows: the list.
        problems: where defects are noted.
        folders: whether rows may name folders of frames; all of them or none.

    Returns:
        Whether the rows name folders.
    """
    first: dict[str, int] = {}
    kinds: dict[EntryKind, int] = {}
    for row in rows:
        if not row.path:
            problems.add(row.line, "no path")
            continue
        line = first.setdefault(row.path, row.line)
        if line != row.line:
            problems.add(row.line, f"'{row.path}' stands in line {line} already")
            continue
        kind = index.kind(row.path)
        fault = _explain(index.root / row.path, kind, folders)
        if not fault and kinds and kind not in kinds:
            ((other, line),) = kinds.items()
            fault = f"'{row.path}' is a {kind}, line {line} names a {other}; a list names one or the other"
        if fault:
            problems.add(row.line, fault)
        else:
            kinds.setdefault(kind, row.line)
    return "folder" in kinds


def _explain(path: Path, kind: EntryKind, folders: bool) -> str:
    """What is wrong with finding ``kind`` at ``path``; "" when nothing is."""
    if kind == "missing":
        return f"no file or folder '{path}'" if folders else f"no file '{path}'"
    if kind == "broken":
        return f"'{path}' is a link that leads nowhere or in a circle, or no file"
    return f"'{path}' is a folder, not a video file" if kind == "folder" and not folders else ""
