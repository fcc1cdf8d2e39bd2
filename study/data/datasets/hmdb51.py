"""HMDB-51: avi files in folders by class, three folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from study.data.datasets.official import OfficialSource
from study.data.datasets.pairing import Listed
from study.data.list_file import Problems, read_lines
from study.spec.datasets import HMDB51

_NAMES = (
    "brush_hair cartwheel catch chew clap climb climb_stairs dive draw_sword dribble drink eat fall_floor "
    "fencing flic_flac golf handstand hit hug jump kick kick_ball kiss laugh pick pour pullup punch push "
    "pushup ride_bike ride_horse run shake_hands shoot_ball shoot_bow shoot_gun sit situp smile smoke "
    "somersault stand swing_baseball sword sword_exercise talk throw turn walk wave "
)
CLASSES = tuple(_NAMES.split())
"""Class names in alphabetical order; the official lists have no file of them, only one for each class."""
CODES = {"0": "", "1": "train", "2": "val"}
"""What the number behind a video says: in neither split, in training, in testing."""


class HMDB51Dataset(OfficialSource[HMDB51]):
    """The data set that an :class:`~study.spec.datasets.HMDB51` describes."""

    title = "HMDB-51"
    extension = ".avi"
    template = "img_{:05d}.jpg"
    subfolders = ("testTrainMulti_7030_splits", "test_train_splits", "splits", "labels", "annotations")
    sizes: ClassVar[Mapping[int, Mapping[str, int]]] = {
        fold: {"train": 3_570, "val": 1_530} for fold in (1, 2, 3)
    }
    class_folders = True

    @property
    def fold(self) -> int:
        return self.spec.fold

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def read_split(self, split: str, fold: int) -> Sequence[Listed]:
        """The videos of a fold; the official test videos are ``val``."""
        paths = self.find_annotations(*((f"{name}_test_split{fold}.txt",) for name in CLASSES))
        listed: list[Listed] = []
        for label, path in enumerate(paths):
            problems = Problems(path)
            for line, text in read_lines(path):
                file, _, code = text.rpartition(" ")
                name = file.strip().removesuffix(self.extension)
                if code not in CODES or not name or name == file.strip():
                    problems.add(line, f"expected 'name.avi' and 0, 1 or 2, got '{text}'")
                elif CODES[code] == split:
                    listed.append(Listed(path, line, f"{CLASSES[label]}/{name}", name, label))
            problems.raise_if_any()
        return listed
