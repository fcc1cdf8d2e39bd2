"""The files of a data set, each once: what checking, preparing and computing flow work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from study.data.catalog import FileSource
from study.data.folders import walk_folders
from study.data.readers.base import Reading
from study.errors import DataError

FAILURES_SUFFIX = ".failures.csv"
"""Ending of the lists that ``data prepare`` and ``data flow`` write of what they could not make."""
MANIFEST_SUFFIX = ".manifest.csv"
"""Ending of the manifests that ``data check`` writes."""
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg"})
"""Endings of names by which one expects a video."""


@dataclass(frozen=True)
class ListedVideo:
    """One file, or folder of frames.

    Attributes:
        path: relative to the root, with forward slashes.
        label: name of its class; "" where no list says.
        splits: where it is used: "train", "val", or with folds "1:train 2:val 3:train".
    """

    path: str
    label: str = ""
    splits: str = ""


@dataclass(frozen=True)
class FileListing:
    """The files of a data set.

    Attributes:
        name: type of the data set; "folder" for any folder of videos.
        root: folder that the paths are relative to.
        reading: how the files are read.
        videos: the files in the order of the lists, each once.
        excluded: videos that the lists name and that are left out, by path, with the reason.
        problems: what is wrong with the lists as a whole: sizes that differ from the official ones.
    """

    name: str
    root: Path
    reading: Reading
    videos: tuple[ListedVideo, ...]
    excluded: dict[str, str]
    problems: tuple[str, ...] = ()

    def path(self, video: ListedVideo) -> Path:
        """Where the file of ``video`` lies."""
        return self.root / video.path


def list_dataset(name: str, source: FileSource) -> FileListing:
    """Every file that ``source`` lists in any split of any fold.

    Raises:
        DataError: when the lists cannot be read.
    """
    labels, splits = dict[str, list[str]](), dict[str, list[str]]()
    excluded, problems = dict[str, str](), list[str]()
    listings = source.fold_listings()
    for fold, listing in listings.items():
        official, prefix = source.official_sizes(fold), f"{fold}:" if len(listings) > 1 else ""
        for split, entries in (("train", listing.train), ("val", listing.val)):
            for entry in entries:
                _add(labels.setdefault(entry.path, []), listing.classes[entry.label])
                _add(splits.setdefault(entry.path, []), f"{prefix}{split}")
            count = len({entry.path for entry in entries})
            if official.get(split, count) != count:
                problems.append(
                    f"{prefix}{split}: {count} videos are listed and there, the official lists have {official[split]}"
                )
        excluded |= listing.excluded
    first = next(iter(listings.values()))
    # A video of ``arrow_of_time`` has two labels.
    videos = tuple(ListedVideo(path, " / ".join(labels[path]), " ".join(splits[path])) for path in labels)
    return FileListing(name, first.root, first.reading, videos, excluded, tuple(problems))


def _add(known: list[str], value: str) -> None:
    if value not in known:
        known.append(value)


def list_folder(root: Path, reading: Reading | None = None) -> FileListing:
    """Every file below ``root`` but manifests and hidden ones; or every folder of frames.

    Args:
        root: where to look, at any depth, links followed.
        reading: how the files are read; where it names a template, folders that hold the first frame are meant.

    Raises:
        DataError: when there is no such folder, or nothing in it, or a link leads in a circle.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (--root)")
    how = reading or Reading()
    paths: list[str] = []
    for prefix, contents in walk_folders(root):
        contents.folders = {name for name in contents.folders if not name.startswith(".")}
        if how.image_template:
            paths += [prefix.rstrip("/") or "."] if how.image_template.format(1) in contents.files else []
            continue
        files = [name for name in contents.files | contents.broken if not _is_ours(name)]
        # A folder with the name of a video is told of, not passed over.
        named = [name for name in contents.folders if Path(name).suffix.lower() in VIDEO_SUFFIXES]
        paths += [f"{prefix}{name}" for name in sorted([*files, *named])]
    if not paths:
        what = f"no folder with a frame {how.image_template.format(1)}" if how.image_template else "no files"
        raise DataError(f"{root}: holds {what} (--root)")
    return FileListing("folder", root, how, tuple(ListedVideo(path) for path in paths), {})


def _is_ours(name: str) -> bool:
    """Whether it is no video of the user's: hidden, a manifest, finished or under way, or a list of failures."""
    return name.startswith(".") or MANIFEST_SUFFIX in name or name.endswith(FAILURES_SUFFIX)
