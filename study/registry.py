"""Names to factories. An unknown name says what is known; a duplicate one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Generic, TypeVar, cast

from study.errors import StudyError, suggest

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to objects that are imported when they are first asked for.

    Entries are written as ``"package.module:attribute"``, so that listing names costs no import and a trial
    imports only the modules it uses, which is also what its code fingerprint covers.
    """

    def __init__(self, kind: str, entries: dict[str, str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, str] = {}
        for name, target in (entries or {}).items():
            self.register(name, target)

    def register(self, name: str, target: str) -> None:
        """Add ``name`` for ``target`` ("package.module:attribute"); a name can be taken only once."""
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered already, as {self._entries[name]}")
        if target.count(":") != 1:
            raise ValueError(f"{self.kind} '{name}': expected 'package.module:attribute', got '{target}'")
        self._entries[name] = target

    def target(self, name: str) -> str:
        """Where ``name`` lives, as "package.module:attribute"."""
        if name not in self._entries:
            raise StudyError(f"unknown {self.kind} '{name}': {suggest(name, self._entries)}")
        return self._entries[name]

    def module(self, name: str) -> str:
        """The module that ``name`` lives in."""
        return self.target(name).split(":")[0]

    def get(self, name: str) -> T:
        """Import and return what ``name`` stands for."""
        module, attribute = self.target(name).split(":")
        return cast(T, getattr(import_module(module), attribute))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
