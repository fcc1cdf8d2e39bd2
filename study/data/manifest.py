"""What a data set consists of: its videos by split, its classes, and what a flip does to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from study.data.readers import find_decoder
from study.data.readers.base import Reading
from study.spec.trial import derive_digest


@dataclass(frozen=True)
class VideoEntry:
    """One video with its label.

    Attributes:
        video_id: unique in the data set; random crops and stored scores are keyed by it.
        path: file, relative to the root of the manifest, with forward slashes.
        label: index into the classes.
        reverse: whether the sampled frames are shown in reverse order.
        frames: frames that can be decoded, where a check has counted them; 0 where it is left to the reader.
        in_order: whether a check found that seeking in the file gives wrong frames, so that it is read in order.
        digest: SHA-256 of the content, where a check has computed it.
    """

    video_id: str
    path: str
    label: int
    reverse: bool = False
    frames: int = 0
    in_order: bool = False
    digest: str = ""


@dataclass(frozen=True)
class Manifest:
    """The videos of a data set.

    Attributes:
        root: folder that the paths of the entries are relative to.
        classes: class names in label order.
        flip_map: label of a horizontally flipped video, for the labels that a flip changes.
        train: training videos.
        val: validation videos.
        excluded: videos left out, by id, with the reason.
        content: identifies what the files hold where that is known without reading them (the generator and
            its options); empty otherwise.
        reading: how the files are read.
        checked: whether ``data check`` has looked at the files.
    """

    root: Path
    classes: tuple[str, ...]
    flip_map: dict[int, int]
    train: tuple[VideoEntry, ...]
    val: tuple[VideoEntry, ...]
    excluded: dict[str, str] = field(default_factory=dict)
    content: str = ""
    reading: Reading = field(default_factory=Reading)
    checked: bool = False

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides what a network is shown. Moving the root changes nothing."""
        parts: dict[str, object] = {
            "classes": self.classes,
            "flip_map": sorted(self.flip_map.items()),
            "train": [_describe(entry) for entry in self.train],
            "val": [_describe(entry) for entry in self.val],
            "content": self.content,
        }
        if self.reading != Reading():
            parts["reading"] = asdict(self.reading)
        if not self.content and find_decoder(self.reading) == "pyav":
            # Where decord is not installed; of videos that were made the decoders give the same frames.
            parts["decoder"] = "pyav"
        return derive_digest(parts)

    def path(self, entry: VideoEntry) -> Path:
        """Where the file of ``entry`` lies."""
        return self.root / entry.path


def _describe(entry: VideoEntry) -> list[object]:
    """What identifies an entry: its content where a check has read it, and else the path."""
    if entry.digest:
        return [entry.video_id, entry.label, entry.reverse, entry.frames, entry.in_order, entry.digest]
    return [entry.video_id, entry.path, entry.label, entry.reverse]
