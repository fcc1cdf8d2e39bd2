"""Which file belongs to which line of an official list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from study.data.folders import walk_folders
from study.data.list_file import MAX_SHOWN, raise_problems
from study.data.manifest import VideoEntry

DEEPEST = 3
"""Levels of folders below the root that are searched: an archive's own, a split's and a class's."""


class Listed(NamedTuple):
    """A video as an official list names it.

    Attributes:
        source: the list.
        line: where in the list.
        video_id: official id; the same whatever the videos are kept as.
        name: what its file is called, without an ending.
        label: index into the classes.
    """

    source: Path
    line: int
    video_id: str
    name: str
    label: int


def check_unique(listed: Iterable[Listed]) -> None:
    """Raise DataError when a video is listed twice, in one split or in both."""
    first: dict[str, Listed] = {}
    again = [one for one in listed if first.setdefault(one.video_id, one) is not one]
    raise_problems(
        f"{one.source}:{one.line}: '{one.video_id}' stands in {first[one.video_id].source}:"
        f"{first[one.video_id].line} already"
        for one in again
    )


class VideoSearch:
    """The videos below a folder, found by name, in whatever folders they lie; each folder is listed once.

    Args:
        root: the folder.
        kinds: ending of the files for each kind of video; "" for folders of frames.
        names: names of videos without ending.
        key: what a name is recognized by.
    """

    def __init__(
        self, root: Path, kinds: Mapping[str, str], names: Iterable[str], key: Callable[[str], str]
    ) -> None:
        self.root = root
        self.kinds = dict(kinds)
        self.unreadable: list[str] = []
        self._key = key
        self._wanted = {key(name) for name in names}
        self._found: dict[str, dict[str, list[str]]] = {suffix: {} for suffix in kinds.values()}
        self._broken: dict[str, str] = {}
        for prefix, contents in walk_folders(root, DEEPEST, self.unreadable):
            self._keep(prefix, contents.files, [suffix for suffix in self._found if suffix])
            self._keep(prefix, contents.folders, [suffix for suffix in self._found if not suffix])
            self._broken |= {name: f"{prefix}{name}" for name in contents.broken}
            # Where one folder of frames lies, its neighbors are others, and frames are not videos.
            if not self._wanted.isdisjoint(map(key, contents.folders)):
                contents.folders.clear()

    def _keep(self, prefix: str, names: set[str], suffixes: Sequence[str]) -> None:
        for suffix in suffixes:
            found = self._found[suffix]
            for name in names:
                key = self._key(name.removesuffix(suffix))
                if name.endswith(suffix) and key in self._wanted:
                    found.setdefault(key, []).append(f"{prefix}{name}")

    def paths(self, name: str, kind: str) -> list[str]:
        """Where the video ``name`` lies, relative to the root."""
        return self._found[self.kinds[kind]].get(self._key(name), [])

    def count(self, kind: str) -> int:
        """How many of the videos are there."""
        return len(self._found[self.kinds[kind]])

    def choose(self, kind: str, names: Iterable[str]) -> str:
        """``kind``; where that is ``auto``, the one that the first of ``names`` that is there at all is found as."""
        if kind != "auto":
            return kind
        there = (one for name in names for one in self.kinds if self.paths(name, one))
        return next(there, next(iter(self.kinds)))

    def explain(self, name: str, kind: str) -> str:
        """Why the video ``name`` is not there."""
        file = f"{name}{self.kinds[kind]}"
        if file in self._broken:
            return f"'{self._broken[file]}' is a link that leads nowhere or in a circle, or no file"
        return f"no {'file' if self.kinds[kind] else 'folder'} '{file}'"


class Pairing:
    """Listed videos with their files.

    Attributes:
        missing: the listed videos that are not there, with the reason.

    Args:
        search: the files.
        kind: what the videos are kept as.
        classes: class names that folders may have; a file in the folder of another class is another video.
    """

    def __init__(self, search: VideoSearch, kind: str, classes: Sequence[str]) -> None:
        self.missing: list[tuple[Listed, str]] = []
        self._search = search
        self._kind = kind
        self._labels = {_plain(name): label for label, name in enumerate(classes)}
        self._listed = 0

    def pair(self, listed: Sequence[Listed]) -> tuple[VideoEntry, ...]:
        """The entries of those that are there, in the order of the list.

        Raises:
            DataError: when a video lies in several places.
        """
        self._listed += len(listed)
        entries, several = list[VideoEntry](), list[str]()
        for one in listed:
            paths = self._search.paths(one.name, self._kind)
            fitting = [path for path in paths if self._folder_label(path) in (None, one.label)]
            if len(fitting) == 1:
                entries.append(VideoEntry(one.video_id, fitting[0], one.label))
            elif fitting:
                places = ", ".join(f"'{self._search.root / path}'" for path in fitting)
                several.append(f"{one.source}:{one.line}: '{one.video_id}' lies in several places: {places}")
            elif paths:
                self.missing.append((one, f"'{paths[0]}' lies in the folder of another class"))
            else:
                self.missing.append((one, self._search.explain(one.name, self._kind)))
        raise_problems(several)
        return tuple(entries)

    def describe_missing(self) -> str:
        """How many videos are missing, which are the first, and what is there instead."""
        search, kind = self._search, self._kind
        what = f"{search.kinds[kind]} files" if search.kinds[kind] else "folders of frames"
        lines = [
            f"{search.root}: {len(self.missing)} of {self._listed} videos are missing (looked for {what}):"
        ]
        lines += [f"{one.source}:{one.line}: {reason}" for one, reason in self.missing[:MAX_SHOWN]]
        if len(self.missing) > MAX_SHOWN:
            lines.append(f"and {len(self.missing) - MAX_SHOWN} more")
        others = {
            search.kinds[other]: other for other in search.kinds if search.kinds[other] != search.kinds[kind]
        }
        lines += [
            f"{search.count(other)} of them are there as {suffix or 'folders of frames'} (data.files: {other})"
            for suffix, other in others.items()
            if search.count(other)
        ]
        lines.append("data.missing: exclude leaves them out by name")
        return "\n".join(lines + search.unreadable)

    def _folder_label(self, path: str) -> int | None:
        """The class that the folder of ``path`` is named after, if it is."""
        if not self._labels:
            return None
        return self._labels.get(_plain(path.rpartition("/")[0].rpartition("/")[2]))


def _plain(name: str) -> str:
    """A class name as folders may write it: with underscores for spaces, or in another case."""
    return name.replace("_", " ").casefold()
