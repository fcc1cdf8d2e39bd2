"""YAML files with the line of every key, so that an error can say where it stands.

A file may come from anybody, so it can only spell out values: size, depth and number of values are limited, and what
makes a small file large (anchors, aliases, merge keys) or names a type to construct (tags) is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from study.errors import SpecError

MAX_BYTES = 250_000
MAX_DEPTH = 32
MAX_NODES = 20_000
"""Keys and values of one file. The largest of this repository has about 1,500."""
Path_ = tuple[str | int, ...]
MERGE = "tag:yaml.org,2002:merge"
# What ruamel.yaml raises on text that is no YAML; the latter ones on malformed directives, numbers and dates.
FAULTS = (
    YAMLError, ValueError, RecursionError, AssertionError, AttributeError, IndexError, KeyError, TypeError,
    NotImplementedError, OverflowError,
)  # fmt: skip


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
        SpecError: when it cannot be read, is no YAML, is too large or too deep, repeats a key, has anchors or tags,
            or is not a mapping at the top.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise SpecError(f"{str(path)!r}: no name of a file") from None
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{path}: more than {MAX_BYTES} bytes, the most that a specification has")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text (byte {error.start})") from None
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> Document:
    """Parse YAML ``text``; ``source`` names it in errors. Raises SpecError like :func:`load_document`."""
    parsed = _parse(text, source)
    # Overlays change what they are given.
    return replace(parsed, data=copy.deepcopy(parsed.data))


@lru_cache(maxsize=256)
def _parse(text: str, source: str) -> Document:
    """One file is read many times in a process: at the study's scale, at the paper's, for claims."""
    try:
        return _Construction(source).build(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = str(error.problem or error.context or "not YAML").split("\n")[0]
        raise SpecError(f"{source}{line}: {problem}") from None
    except FAULTS as error:
        first = (str(error) or type(error).__name__).split("\n")[0]
        raise SpecError(f"{source}: not YAML: {first}") from None


def parse_scalar(text: str) -> Any:
    """The value of ``text`` read as YAML, as ``--set`` does; text that is no YAML stays text."""
    try:
        return _reader().load(StringIO(text))
    except FAULTS:
        return text


class _StrictComposer(Composer):
    """Composes plain values only, and not too many of them."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        self.count += 1
        # The values of _plain begin one level below the top.
        if self.depth > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        if self.count > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES} keys and values, the most that a specification has")
        if isinstance(event, AliasEvent) or event.anchor is not None:
            self._refuse(
                event, f"anchors and aliases are not allowed ('{event.anchor}'); write the values out"
            )
        if event.tag is not None:
            self._refuse(event, f"tags are not allowed ('{event.tag}'); write a plain value")
        return super().compose_node(parent, index)

    def _refuse(self, event: Any, problem: str) -> None:
        raise ComposerError(None, None, problem, event.start_mark)


def _reader() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.Composer = _StrictComposer
    return reader


class _Construction:
    """Makes plain values of a file's nodes, which know their lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Path_, int] = {}
        self.reader = _reader()

    def build(self, text: str) -> Document:
        top = self.reader.compose(StringIO(text))
        if not isinstance(top, MappingNode):
            raise SpecError(f"{self.source}: expected keys and values at the top, got {self._kind(top)}")
        return Document(self.source, self._mapping(top, ()), self.lines)

    def _value(self, node: Node, path: Path_) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*path, index)] = _line(item)
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.reader.constructor.construct_object(node)

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, item in node.value:
            name, line = self._key(key_node), _line(key_node)
            if name in result:
                first = self.lines[(*path, name)]
                raise SpecError(f"{self.source}:{line}: found duplicate key {name!r}, first in line {first}")
            self.lines[(*path, name)] = line
            result[name] = self._value(item, (*path, name))
        return result

    def _key(self, node: Node) -> str:
        line = _line(node)
        if str(node.tag) == MERGE:
            raise SpecError(f"{self.source}:{line}: merge keys are not allowed ('<<'); write the values out")
        key = [] if isinstance(node, MappingNode | SequenceNode) else self._value(node, ())
        if not isinstance(key, str | int | float | None):
            raise SpecError(f"{self.source}:{line}: a key is a word or a number, not {node.tag}")
        return str(key)

    def _kind(self, node: Node | None) -> str:
        if node is None:
            return "an empty file"
        if isinstance(node, SequenceNode):
            return "a list"
        value = self._value(node, ())
        return f"{type(value).__name__} {value!r:.80}"


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
