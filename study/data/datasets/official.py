"""What the data sets with official annotation files share: finding the files, and pairing lists with videos."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from study.data.catalog import FileSource
from study.data.datasets.labels import build_flip_map, explain_unknown
from study.data.datasets.pairing import Listed, Pairing, VideoSearch, check_unique
from study.data.folders import check_frames
from study.data.list_file import Problems, read_names
from study.data.manifest import Manifest
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.datasets import OfficialDataset

OfficialSpec = TypeVar("OfficialSpec", bound=OfficialDataset)
SPLITS = ("train", "val")


class OfficialSource(FileSource, Generic[OfficialSpec]):
    """Base of the data sets of the paper.

    Attributes:
        title: its name in messages.
        extension: ending of a video as distributed; "" for a folder of frames.
        template: how frames are named, unless the specification says otherwise.
        subfolders: folders that the annotation archives unpack to.
        mirrored: pairs of classes that a horizontal flip turns into each other.
        sizes: official number of videos by split, for each fold.
        class_folders: whether videos may lie in folders named after the classes.
        complete: whether a missing video is an error; otherwise it is excluded by name.
    """

    title: ClassVar[str]
    extension: ClassVar[str]
    template: ClassVar[str]
    subfolders: ClassVar[tuple[str, ...]] = ("labels", "annotations")
    mirrored: ClassVar[tuple[tuple[str, str], ...]] = ()
    sizes: ClassVar[Mapping[int, Mapping[str, int]]]
    class_folders: ClassVar[bool] = False
    complete: ClassVar[bool] = True

    def __init__(self, spec: OfficialSpec, cache_dir: Path) -> None:
        super().__init__(spec, cache_dir)
        self.spec = spec

    @property
    def root(self) -> Path:
        return self.spec.root

    @property
    def num_classes(self) -> int:
        return self.spec.num_classes

    @property
    def fold(self) -> int:
        """Official split that the specification asks for; 1 where there is one only."""
        return 1

    @property
    def image_template(self) -> str:
        """How frames are named where the videos are folders of frames."""
        return self.spec.image_template or self.template

    @abstractmethod
    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        """The videos of ``train`` or ``val`` in the order of the official list.

        Raises:
            DataError: when a list is missing or has a defect; the message names file and line.
        """

    def listing(self) -> Manifest:
        return self._build_listing(self.fold)

    def fold_listings(self) -> Mapping[int, Manifest]:
        return {fold: self._build_listing(fold) for fold in self.sizes}

    def official_sizes(self, fold: int) -> Mapping[str, int]:
        return self.sizes[fold]

    def find_annotations(self, *wanted: tuple[str, ...]) -> tuple[Path, ...]:
        """The annotation files, each given by the names that it is distributed under.

        Raises:
            DataError: naming every file that is missing and the folders it was looked for in.
        """
        key = "data.annotations" if self.spec.annotations else "data.root"
        folder = self.spec.annotations or self.root
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder ({key})")
        places = [folder, *(folder / name for name in self.subfolders)]
        found = {
            names: next(
                (path for name in names for place in places if (path := place / name).is_file()), None
            )
            for names in wanted
        }
        missing = [" or ".join(names) for names, path in found.items() if path is None]
        if missing:
            raise DataError(
                f"{folder}: {len(missing)} annotation files of {self.title} are missing:\n"
                + "".join(f"  {name}\n" for name in missing)
                + "looked for in:\n"
                + "".join(f"  {place}\n" for place in places)
                + "data.annotations names another folder"
            )
        return tuple(path for path in found.values() if path is not None)

    def read_classes(self, path: Path) -> tuple[str, ...]:
        """Class names, one a line. Raises DataError as :meth:`check_classes` does."""
        return self.check_classes(path, read_names(path))

    def check_classes(self, path: Path, names: Sequence[str]) -> tuple[str, ...]:
        """``names``, which ``path`` gave.

        Raises:
            DataError: unless they are as many as the data set has, with every mirrored pair among them.
        """
        if len(names) != self.num_classes:
            raise DataError(f"{path}: {len(names)} classes; {self.title} has {self.num_classes}")
        build_flip_map(names, self.mirrored, path)
        return tuple(names)

    @cached_property
    def labels(self) -> dict[str, int]:
        """Label of each class name."""
        return {name: label for label, name in enumerate(self.classes)}

    def label(self, name: str, line: int, problems: Problems) -> int:
        """Label of the class ``name``; 0 with the defect noted when there is none."""
        if name in self.labels:
            return self.labels[name]
        problems.add(line, "" if problems.many else explain_unknown(name, self.classes))
        return 0

    def key(self, name: str) -> str:
        """What a file name, without its ending, is recognized by."""
        return name

    def _build_listing(self, fold: int) -> Manifest:
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder (data.root)")
        listed = {split: self.read_split(split, fold) for split in SPLITS}
        for split in SPLITS:
            if not listed[split]:
                raise DataError(f"{self.title}: the official lists name no video of '{split}' (fold {fold})")
        check_unique(chain(*listed.values()))
        search = VideoSearch(
            self.root, self._kinds(), (one.name for one in chain(*listed.values())), self.key
        )
        kind = search.choose(self.spec.files, (one.name for one in listed["train"]))
        pairing = Pairing(search, kind, self.classes if self.class_folders else ())
        train, val = (pairing.pair(listed[split]) for split in SPLITS)
        complete = self.complete and self.spec.missing == "error"
        if pairing.missing and (complete or not train or not val):
            raise DataError(pairing.describe_missing())
        frames = not search.kinds[kind]
        if frames:
            check_frames(self.root / train[0].path, self.image_template)
        return Manifest(
            self.root,
            self.classes,
            build_flip_map(self.classes, self.mirrored, self.title),
            train,
            val,
            excluded={one.video_id: reason for one, reason in pairing.missing},
            reading=Reading(self.spec.decoder, self.image_template if frames else ""),
        )

    def _kinds(self) -> dict[str, str]:
        return {"official": self.extension, "mp4": ".mp4", "frames": ""}
