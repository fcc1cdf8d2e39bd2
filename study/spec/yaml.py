"""YAML files with the line of every key, so that an error can say where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from study.errors import SpecError

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A parsed file: plain values, and the line of each path of keys."""

    source: str
    data: dict[str, Any]
    lines: Mapping[Path_, int] = field(default_factory=dict)

    def where(self, path: Sequence[str | int]) -> str:
        """``file:line`` of the key at ``path``, or of the nearest key above it."""
        for end in range(len(path), 0, -1):
            line = self.lines.get(tuple(path[:end]))
            if line is not None:
                return f"{self.source}:{line}"
        return self.source


def load_document(path: Path) -> Document:
    """Parse the YAML file at ``path``.

    Raises:
        SpecError: when it cannot be read, is no YAML, is too large or too deep, repeats a key, or is not a
            mapping at the top.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{path}: {len(raw)} bytes; a specification has at most {MAX_BYTES}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> Document:
    """Parse YAML ``text``; ``source`` names it in errors. Raises SpecError like :func:`load_document`."""
    try:
        loaded = YAML(typ="rt", pure=True).load(StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = str(error.problem or error.context or "not YAML").split("\n")[0]
        raise SpecError(f"{source}{line}: {problem}") from None
    except (YAMLError, ReaderError, RecursionError, ValueError) as error:
        first = (str(error) or type(error).__name__).split("\n")[0]
        raise SpecError(f"{source}: not YAML: {first}") from None
    if not isinstance(loaded, CommentedMap):
        raise SpecError(f"{source}: expected keys and values at the top, got {_kind(loaded)}")
    lines: dict[Path_, int] = {}
    data = _plain(loaded, (), lines, source)
    return Document(source, data, lines)


def parse_scalar(text: str) -> Any:
    """The value of ``text`` read as YAML, as ``--set`` does; text that is no YAML stays text."""
    try:
        return YAML(typ="safe", pure=True).load(StringIO(text))
    except YAMLError:
        return text


def _plain(value: Any, path: Path_, lines: dict[Path_, int], source: str) -> Any:
    if len(path) > MAX_DEPTH:
        raise SpecError(f"{source}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, CommentedMap):
        result = {}
        for key, item in value.items():
            name = str(key)
            lines[(*path, name)] = value.lc.key(key)[0] + 1 if key in value.lc.data else 0
            result[name] = _plain(item, (*path, name), lines, source)
        return result
    if isinstance(value, CommentedSeq):
        for index in range(len(value)):
            lines[(*path, index)] = value.lc.item(index)[0] + 1
        return [_plain(item, (*path, index), lines, source) for index, item in enumerate(value)]
    if isinstance(value, bool):
        return bool(value)
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _kind(value: Any) -> str:
    return {type(None): "an empty file", CommentedSeq: "a list"}.get(
        type(value), f"{type(value).__name__} {value!r}"
    )
