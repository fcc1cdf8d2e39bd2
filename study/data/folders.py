"""What lies in folders, each listed once: to ask for 200,000 files one by one takes minutes on a network disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from study.errors import DataError

EntryKind = Literal["file", "folder", "broken", "missing"]
"""``broken``: a link that leads nowhere or in a circle, a pipe or a device."""


@dataclass
class Contents:
    """Names in one folder; links count as what they lead to."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)


def list_contents(folder: Path) -> Contents:
    """What lies in ``folder``.

    Raises:
        DataError: when it cannot be listed.
    """
    contents = Contents()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                getattr(contents, _kind(entry)).add(entry.name)
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror or error}") from None
    return contents


def _kind(entry: os.DirEntry[str]) -> Literal["files", "folders", "broken"]:
    try:
        if entry.is_file():
            return "files"
        return "folders" if entry.is_dir() else "broken"
    except OSError:
        return "broken"


class FolderIndex:
    """What lies at many paths below one root; each folder is listed once.

    Args:
        root: folder that relative paths begin at.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._contents: dict[str, Contents] = {}

    def kind(self, path: str) -> EntryKind:
        """What lies at ``path``, relative to the root or absolute, with forward slashes.

        Raises:
            DataError: when the folder that it is in cannot be listed.
        """
        parent, slash, name = path.rpartition("/")
        contents = self._list(f"{parent}{slash}")
        if name in contents.files:
            return "file"
        if name in contents.folders:
            return "folder"
        return "broken" if name in contents.broken else "missing"

    def _list(self, parent: str) -> Contents:
        if parent not in self._contents:
            folder = self.root / parent
            self._contents[parent] = list_contents(folder) if os.path.isdir(folder) else Contents()
        return self._contents[parent]


def walk_folders(
    root: Path, deepest: int | None = None, unreadable: list[str] | None = None
) -> Iterator[tuple[str, Contents]]:
    """The folders from ``root`` down, links followed, in the order of their names.

    Who iterates may remove names from ``folders`` of what it was given; those are not entered.

    Args:
        root: where to begin.
        deepest: levels below ``root`` that are entered; all when None.
        unreadable: takes what is wrong with folders below the root that cannot be listed; without it they are
            errors.

    Yields:
        The folder's path below the root, ending in a slash unless it is the root ("" then), and its contents.

    Raises:
        DataError: when a folder cannot be listed, or is reached twice because a link leads in a circle or to
            a neighbor: its videos would be there twice.
    """
    seen: dict[tuple[int, int], Path] = {}
    waiting = [("", 0)]
    while waiting:
        prefix, depth = waiting.pop()
        folder = root / prefix
        _enter(folder, seen)
        try:
            contents = list_contents(folder)
        except DataError as error:
            if unreadable is None or not prefix:
                raise
            unreadable.append(str(error))
            continue
        yield prefix, contents
        if deepest is None or depth < deepest:
            waiting += [(f"{prefix}{name}/", depth + 1) for name in sorted(contents.folders, reverse=True)]


def _enter(folder: Path, seen: dict[tuple[int, int], Path]) -> None:
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror or error}") from None
    first = seen.setdefault((status.st_dev, status.st_ino), folder)
    if first is not folder:
        raise DataError(f"{folder}: is the folder {first} again, through a symbolic link; remove the link")


def check_frames(folder: Path, template: str) -> None:
    """Raise DataError unless ``template`` names files by number, and ``folder`` holds the first of them."""
    try:
        names = (template.format(1), template.format(2))
    except (IndexError, KeyError, ValueError, AttributeError):
        names = ("", "")
    if names[0] == names[1]:
        raise DataError(f"data.image_template '{template}': expected one number, as in img_{{:05d}}.jpg")
    contents = list_contents(folder)
    if names[0] not in contents.files:
        first = min(contents.files, default="")
        found = f"its first file is '{first}'" if first else "it holds no files"
        raise DataError(
            f"{folder}: no frame '{names[0]}', {found}; data.image_template, '{template}', says how frames are named"
        )
