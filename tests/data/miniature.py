"""Writes the official data sets in miniature: their formats and folders, invented names, tiny real videos.

Every ``write_`` function makes the tree below ``root`` as the archives unpack to it, with a full class list, and
returns settings for ``data``. The first ``classes`` of a data set have videos; where flips matter, the first two
of them are a mirrored pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from study.data.datasets.hmdb51 import CLASSES as HMDB51_CLASSES
from study.data.datasets.jester import JesterDataset
from study.data.datasets.something import MIRRORED

Settings = dict[str, Any]
CODECS = {".avi": "mpeg4", ".webm": "libvpx", ".mp4": "libx264"}


@dataclass(frozen=True)
class Size:
    """How much is written.

    Attributes:
        classes: classes that have videos.
        train: training videos of each.
        val: validation videos of each.
        frames: frames of a video.
        height: of a frame, pixels.
        width: of a frame, pixels.
        kept_as: ``official``, ``mp4`` or ``frames``.
    """

    classes: int = 3
    train: int = 2
    val: int = 1
    frames: int = 12
    height: int = 24
    width: int = 32
    kept_as: str = "official"

    def per_class(self) -> range:
        """Numbers of the videos of a class, training videos first."""
        return range(self.train + self.val)


TINY = Size()


def make_frames(size: Size, label: int, number: int) -> np.ndarray:
    """A video (T, H, W, 3) that tells its class and number by brightness, with time running from left to right."""
    frames = np.full((size.frames, size.height, size.width, 3), 20 + 25 * label + 5 * number, dtype=np.uint8)
    for time in range(size.frames):
        left = time * (size.width - 4) // max(1, size.frames - 1)
        frames[time, :, left : left + 4] = 230
    return frames


def write_frames(folder: Path, template: str, frames: np.ndarray) -> None:
    """Write ``frames`` as JPEGs named by ``template``, counted from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        assert cv2.imwrite(str(folder / template.format(number)), frame[..., ::-1])


def write_video(path: Path, frames: np.ndarray, fps: int = 12) -> None:
    """Write ``frames`` to a file whose ending says what it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_something_v1(root: Path, size: Size = TINY) -> Settings:
    """Frame folders below ``20bn-something-something-v1``, lists of ``id;label``; the labels are not sorted."""
    classes = [*(name for pair in MIRRORED for name in pair), *_invent(168)]
    lists = _write_by_id(root / "20bn-something-something-v1", size, classes, ".frames", "{:05d}.jpg")
    _write_id_lists(root, "something-something-v1", classes, lists)
    return _settings("something_v1", root, size)


def write_jester(root: Path, size: Size = TINY) -> Settings:
    """Frame folders below ``20bn-jester-v1``, lists of ``id;label``; the labels are not sorted."""
    classes = [*(name for pair in JesterDataset.mirrored for name in pair), *_invent(21)]
    lists = _write_by_id(root / "20bn-jester-v1", size, classes, ".frames", "{:05d}.jpg")
    _write_id_lists(root, "jester-v1", classes, lists)
    return _settings("jester", root, size)


def write_something_v2(root: Path, size: Size = TINY) -> Settings:
    """Webm files below ``20bn-something-something-v2``, lists in JSON below ``labels``."""
    classes = [*(name for pair in MIRRORED for name in pair), *_invent(168)]
    lists = _write_by_id(root / "20bn-something-something-v2", size, classes, ".webm", "{:06d}.jpg")
    labels = {name: str(number) for number, name in enumerate(sorted(classes))}
    content: dict[str, object] = {"labels": labels, "test": [{"id": "999999"}]}
    for split, videos in lists.items():
        content[split] = [
            {
                "id": video_id,
                "label": name.replace("something", "a cup").lower(),
                "template": name.replace("something", "[something]"),
                "placeholders": ["a cup"],
            }
            for video_id, name in videos
        ]
    (root / "labels").mkdir(parents=True)
    for part, value in content.items():
        (root / "labels" / f"something-something-v2-{part}.json").write_text(json.dumps(value, indent=0))
    return _settings("something_v2", root, size)


def write_kinetics400(root: Path, size: Size = TINY) -> Settings:
    """mp4 files by split and class, lists in CSV below ``annotations``; one video of every other class is listed
    and missing, as most are after some years.
    """
    classes = [f"doing thing {number} (not a cat's)" for number in range(400)]
    rows: dict[str, list[str]] = {"train": [], "validate": []}
    for label, name in enumerate(classes):
        for number in size.per_class() if label < size.classes else [0]:
            split = "train" if number < size.train else "validate"
            youtube_id, start = f"-{label:03d}_{number:06d}", 7 * number
            rows[split].append(f'"{name}",{youtube_id},{start},{start + 10},{split}')
            folder = root / split / (name if split == "train" else name.replace(" ", "_"))
            if label < size.classes:
                path = folder / f"{youtube_id}_{start:06d}_{start + 10:06d}.mp4"
                _write(path, size, make_frames(size, label, number), "img_{:05d}.jpg")
    (root / "annotations").mkdir()
    for split, lines in rows.items():
        text = "\n".join(["label,youtube_id,time_start,time_end,split", *lines, ""])
        (root / "annotations" / f"{split}.csv").write_text(text)
    return _settings("kinetics400", root, size)


def write_ucf101(root: Path, size: Size = TINY) -> Settings:
    """Avi files below ``UCF-101``, lists below ``ucfTrainTestlist``; class 1 is HandstandPushups, whose files are
    spelled otherwise.
    """
    classes = ["HandstandPushups", *(f"Sport{number:03d}" for number in range(100))]
    videos = {}
    for label, name in enumerate(classes[: size.classes]):
        file = "HandStandPushups" if label == 0 else name
        videos[name] = [f"v_{file}_g{number + 1:02d}_c01.avi" for number in size.per_class()]
        for number, video in enumerate(videos[name]):
            frames = make_frames(size, label, number)
            _write(root / "UCF-101" / name / video, size, frames, "img_{:05d}.jpg")
    folder = root / "ucfTrainTestlist"
    folder.mkdir()
    _write_crlf(folder / "classInd.txt", (f"{number} {name}" for number, name in enumerate(classes, 1)))
    for fold in (1, 2, 3):
        train, test = [], []
        for name, names in videos.items():
            for number, video in enumerate(names):
                if _is_held_out(size, number, fold):
                    test.append(f"{name}/{video}")
                else:
                    train.append(f"{name}/{video} {classes.index(name) + 1}")
        _write_crlf(folder / f"trainlist{fold:02d}.txt", train)
        _write_crlf(folder / f"testlist{fold:02d}.txt", test)
    return _settings("ucf101", root, size)


def write_hmdb51(root: Path, size: Size = TINY) -> Settings:
    """Avi files below ``hmdb51_org`` under odd names, a list for each class and fold below
    ``testTrainMulti_7030_splits``; lines end in a space, and each class has one video that no split uses.
    """
    folder = root / "testTrainMulti_7030_splits"
    folder.mkdir(parents=True)
    for label, name in enumerate(HMDB51_CLASSES):
        videos = []
        if label < size.classes:
            videos = [
                f"#{n}_(Rad)_Don't!_[{n}]_&_so;on_{name}_f_nm_np1_fr_med_{n}.avi" for n in size.per_class()
            ]
        for number, video in enumerate(videos):
            frames = make_frames(size, label, number)
            _write(root / "hmdb51_org" / name / video, size, frames, "img_{:05d}.jpg")
        for fold in (1, 2, 3):
            codes = [2 if _is_held_out(size, number, fold) else 1 for number in range(len(videos))]
            lines = [f"{video} {code} \n" for video, code in zip(videos, codes, strict=True)]
            (folder / f"{name}_test_split{fold}.txt").write_text(
                "".join([*lines, f"unused_{name}_0.avi 0 \n"])
            )
    return _settings("hmdb51", root, size)


WRITERS: dict[str, Callable[[Path, Size], Settings]] = {
    "something_v1": write_something_v1,
    "something_v2": write_something_v2,
    "jester": write_jester,
    "kinetics400": write_kinetics400,
    "ucf101": write_ucf101,
    "hmdb51": write_hmdb51,
}
"""All of them, by the type of the data set."""


def _settings(name: str, root: Path, size: Size) -> Settings:
    return {"type": name, "root": str(root), "files": size.kept_as}


def _invent(count: int) -> list[str]:
    """Class names in no order."""
    return [f"Doing {number} things, then something" for number in range(count, 0, -1)]


def _is_held_out(size: Size, number: int, fold: int) -> bool:
    total = size.train + size.val
    return (number - (fold - 1) * size.val) % total >= size.train


def _write(path: Path, size: Size, frames: np.ndarray, template: str) -> None:
    """Write a video, whose official path is ``path``, as what it is kept as."""
    if size.kept_as == "frames" or (size.kept_as == "official" and path.suffix == ".frames"):
        write_frames(path.with_suffix(""), template, frames)
    else:
        write_video(path if size.kept_as == "official" else path.with_suffix(".mp4"), frames)


def _write_by_id(
    folder: Path, size: Size, classes: list[str], ending: str, template: str
) -> dict[str, list[tuple[str, str]]]:
    """Write videos named by numbers; return their ids and classes by split."""
    lists: dict[str, list[tuple[str, str]]] = {"train": [], "validation": []}
    for label, name in enumerate(classes[: size.classes]):
        for number in size.per_class():
            video_id = str(1000 * (number + 1) + 7 * label)
            lists["train" if number < size.train else "validation"].append((video_id, name))
            _write(folder / f"{video_id}{ending}", size, make_frames(size, label, number), template)
    return lists


def _write_id_lists(
    root: Path, prefix: str, classes: list[str], lists: dict[str, list[tuple[str, str]]]
) -> None:
    (root / f"{prefix}-labels.csv").write_text("".join(f"{name}\n" for name in classes))
    (root / f"{prefix}-test.csv").write_text("999999\n")
    for split, videos in lists.items():
        (root / f"{prefix}-{split}.csv").write_text("".join(f"{one};{name}\n" for one, name in videos))


def _write_crlf(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\r\n" for line in lines), newline="")
