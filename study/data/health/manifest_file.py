"""The manifest that ``data check`` writes and training reads.

A CSV file in UTF-8. Its first line is a comment: ``#`` and, as JSON, the version of the layout and how the files
were read. Then a header and a row for each video:

    path     relative to the root of the data set, with forward slashes
    label    name of its class; empty where no list says
    splits   where it is used: train, val, or with folds "1:train 2:val 3:train"
    frames   frames that decode
    fps      frames a second; 0 where the file does not say
    height   pixels, as shown
    width    pixels, as shown
    health   see study.data.health.Health
    reason   what is wrong; empty where nothing is
    digest   SHA-256 of the file, or of names and contents in a folder of frames
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

from study.data.health import Health
from study.data.list_file import Problems
from study.data.manifest import Manifest, VideoEntry
from study.data.readers import find_decoder
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.record import write_atomically

VERSION = 1


@dataclass(frozen=True)
class CheckedVideo:
    """One row; the attributes are the columns."""

    path: str
    label: str
    splits: str
    frames: int
    fps: float
    height: int
    width: int
    health: Health
    reason: str
    digest: str


COLUMNS = tuple(field.name for field in fields(CheckedVideo))


def describe_reading(reading: Reading) -> dict[str, Any]:
    """What the first line says of how the files were read."""
    return {"version": VERSION, "decoder": find_decoder(reading), "image_template": reading.image_template}


def write_manifest(path: Path, reading: Reading, rows: Iterable[CheckedVideo]) -> None:
    """Write a manifest, atomically.

    Raises:
        DataError: when it cannot be written.
    """
    text = io.StringIO(newline="")
    text.write(format_first_line(describe_reading(reading)))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(row) for row in rows)
    try:
        write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def read_manifest(path: Path) -> tuple[dict[str, Any], tuple[CheckedVideo, ...]]:
    """What the first line says, and the rows.

    Raises:
        DataError: naming file and line, when it cannot be read or is no manifest of this version.
    """
    head, lines = read_table(path, COLUMNS)
    problems, rows, first = Problems(path), list[CheckedVideo](), dict[str, int]()
    for number, values in lines:
        if values[0] in first:
            problems.add(number, f"'{values[0]}' stands in line {first[values[0]]} already")
            continue
        first[values[0]] = number
        try:
            rows.append(parse_row(values))
        except ValueError as error:
            problems.add(number, str(error))
    problems.raise_if_any()
    return head, tuple(rows)


def format_first_line(head: dict[str, Any]) -> str:
    """The comment that a manifest begins with."""
    return f"# {json.dumps(head, sort_keys=True)}\n"


def read_table(
    path: Path, columns: Sequence[str], *, torn: bool = False
) -> tuple[dict[str, Any], list[tuple[int, list[str]]]]:
    """A file whose first line is a comment in JSON and whose second one is the header ``columns``.

    Args:
        path: the file.
        columns: names of the columns.
        torn: leave out damaged rows; writing may have been interrupted.

    Returns:
        The comment, and the rows with the numbers of the lines that they end at.

    Raises:
        DataError: naming file and line, when it is something else.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    comment, _, table = text.partition("\n")
    head = _parse_first_line(path, comment)
    reader = csv.reader(io.StringIO(table, newline=""), strict=True)
    problems, rows = Problems(path), []
    try:
        names = next(reader, [])
        if tuple(names) != tuple(columns):
            raise DataError(
                f"{path}:2: the columns are {', '.join(names) or 'missing'}; expected {', '.join(columns)}"
            )
        for values in reader:
            if len(values) == len(columns):
                rows.append((reader.line_num + 1, values))
            elif values:
                problems.add(reader.line_num + 1, f"{len(values)} columns, the header has {len(columns)}")
    except csv.Error as error:
        problems.add(reader.line_num + 1, f"not CSV: {error}")
    if not torn:
        problems.raise_if_any()
    return head, rows


def _parse_first_line(path: Path, comment: str) -> dict[str, Any]:
    try:
        head = json.loads(comment.removeprefix("#")) if comment.startswith("#") else None
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or "version" not in head:
        raise DataError(f"{path}:1: not a manifest of data check: it begins with '{comment[:60]}'")
    if head["version"] != VERSION:
        raise DataError(
            f"{path}:1: version {head['version']}; this code reads version {VERSION}: run data check again"
        )
    return head


def parse_row(values: Sequence[str]) -> CheckedVideo:
    """The row that ``values``, a text for each column, stand for.

    Raises:
        ValueError: naming the column whose value makes no sense.
    """
    text = dict(zip(COLUMNS, values, strict=True))
    if text["health"] not in set(Health):
        raise ValueError(f"health '{text['health']}'; allowed: {', '.join(Health)}")
    health = Health(text["health"])
    for name in ("frames", "height", "width"):
        if not (text[name].isascii() and text[name].isdecimal()) or (health.fit and int(text[name]) < 1):
            raise ValueError(
                f"{name} '{text[name]}'; expected a whole number{' from 1' if health.fit else ''}"
            )
    try:
        fps = float(text["fps"])
    except ValueError:
        raise ValueError(f"fps '{text['fps']}'; expected a number") from None
    if not text["path"]:
        raise ValueError("no path")
    return CheckedVideo(
        path=text["path"],
        label=text["label"],
        splits=text["splits"],
        frames=int(text["frames"]),
        fps=fps,
        height=int(text["height"]),
        width=int(text["width"]),
        health=health,
        reason=text["reason"],
        digest=text["digest"],
    )


def apply_check(listing: Manifest, path: Path) -> Manifest:
    """``listing`` with what a check has found: frame counts and digests, less the videos that are unfit.

    Args:
        listing: the videos as the lists name them.
        path: the manifest that ``data check`` wrote.

    Raises:
        DataError: when the manifest cannot be read, was made for another way of reading, lacks a listed video,
            or leaves nothing of a split.
    """
    head, rows = read_manifest(path)
    _check_reading(path, head, listing.reading)
    found = {row.path: row for row in rows}
    listed = (*listing.train, *listing.val)
    unknown = sorted({entry.path for entry in listed} - set(found))
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} videos were never checked, the first is '{unknown[0]}'; run data check again"
        )
    excluded = dict(listing.excluded)
    for entry in listed:
        row = found[entry.path]
        if not row.health.fit:
            excluded[entry.video_id] = f"{row.health}: {row.reason or row.health.sentence}"
    train, val = _keep(listing.train, found), _keep(listing.val, found)
    for split, entries, kept in (("train", listing.train, train), ("val", listing.val, val)):
        if entries and not kept:
            raise DataError(f"{path}: none of the {len(entries)} videos of the split '{split}' is fit")
    return replace(listing, train=train, val=val, excluded=excluded, checked=True)


def _keep(entries: Iterable[VideoEntry], found: dict[str, CheckedVideo]) -> tuple[VideoEntry, ...]:
    kept = []
    for entry in entries:
        row = found[entry.path]
        if row.health.fit:
            in_order = row.health is Health.IN_ORDER
            kept.append(replace(entry, frames=row.frames, in_order=in_order, digest=row.digest))
    return tuple(kept)


def _check_reading(path: Path, head: dict[str, Any], reading: Reading) -> None:
    """A check through decord serves PyAV too, which never seeks; not the other way round."""
    checked, now = head.get("decoder"), find_decoder(reading)
    template = head.get("image_template")
    if (checked, template) != (now, reading.image_template) and (checked, now) != ("decord", "pyav"):
        told = f" named {template}" if template else ""
        wanted = f" named {reading.image_template}" if reading.image_template else ""
        raise DataError(
            f"{path}: the videos were checked through {checked}{told}, but are to be read through {now}{wanted}; "
            "run data check again with the settings of this experiment"
        )
