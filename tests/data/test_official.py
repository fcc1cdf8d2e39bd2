"""The data sets of the paper, against miniature trees in the official formats."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from study.data.catalog import FileSource, open_dataset
from study.data.manifest import Manifest
from study.data.opening import build_opener
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.clip import RgbModality
from study.spec.datasets import AnyDataset
from tests.data.miniature import TINY, WRITERS, Size, make_frames

PARSE = TypeAdapter[AnyDataset](AnyDataset)
TEMPLATES = {
    "something_v1": "{:05d}.jpg",
    "something_v2": "{:06d}.jpg",
    "jester": "{:05d}.jpg",
    "kinetics400": "img_{:05d}.jpg",
    "ucf101": "img_{:05d}.jpg",
    "hmdb51": "img_{:05d}.jpg",
}
MIRRORED = (
    ("Pulling something from left to right", "Pulling something from right to left"),
    ("Pushing something from left to right", "Pushing something from right to left"),
    ("Turning the camera left while filming something", "Turning the camera right while filming something"),
)
FIRST_CLASSES = {
    "something_v1": [name for pair in MIRRORED for name in pair][:3],
    "something_v2": [name for pair in MIRRORED for name in pair][:3],
    "jester": ["Sliding Two Fingers Left", "Sliding Two Fingers Right", "Swiping Left"],
    "kinetics400": [f"doing thing {number} (not a cat's)" for number in range(3)],
    "ucf101": ["HandstandPushups", "Sport000", "Sport001"],
    "hmdb51": ["brush_hair", "cartwheel", "catch"],
}
"""The classes that have videos, as they were written."""
KEPT_AS_FRAMES = ("something_v1", "jester")
COUNTS = {
    "something_v1": 174,
    "something_v2": 174,
    "jester": 27,
    "kinetics400": 400,
    "ucf101": 101,
    "hmdb51": 51,
}


def open_source(settings: dict[str, Any], **options: object) -> FileSource:
    source = open_dataset(PARSE.validate_python(settings | options), Path("nowhere"))
    assert isinstance(source, FileSource)
    return source


@pytest.fixture
def open_mini(tmp_path: Path) -> Callable[..., FileSource]:
    """Writes a miniature data set by its name and opens it."""

    def make(name: str, size: Size = TINY, **options: object) -> FileSource:
        return open_source(WRITERS[name](tmp_path, size), **options)

    return make


def pairs(manifest: Manifest) -> set[tuple[str, str]]:
    names = manifest.classes
    return {
        (names[one], names[other]) for one, other in manifest.flip_map.items() if names[one] < names[other]
    }


@pytest.mark.parametrize("kept_as", ["official", "mp4", "frames"])
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_listed_video_is_found_with_its_label_however_it_is_kept(
    tmp_path: Path, name: str, kept_as: str
) -> None:
    settings = WRITERS[name](tmp_path, Size(classes=3, train=2, val=1, kept_as=kept_as))
    source = open_source(settings)
    listing = source.listing()
    assert source.num_classes == len(listing.classes) == COUNTS[name]
    assert list(listing.classes) == sorted(listing.classes)
    assert (len(listing.train), len(listing.val)) == (6, 3)
    assert len({entry.video_id for entry in (*listing.train, *listing.val)}) == 9
    folders = kept_as == "frames" or (kept_as == "official" and name in KEPT_AS_FRAMES)
    assert listing.reading == Reading(image_template=TEMPLATES[name] if folders else "")
    # Brightness says which class and which video of it was written: 20 + 25 label + 5 number.
    open_frames = build_opener(listing, RgbModality())
    written = FIRST_CLASSES[name]
    for number, entry in enumerate(listing.train):
        expected = 20 + 25 * written.index(listing.classes[entry.label]) + 5 * (number % 2)
        assert open_frames(entry).read([0])[0][:, 8:].mean() == pytest.approx(expected, abs=2.4), entry
    assert open_source(settings, files="auto").listing() == listing


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_ids_do_not_depend_on_place_or_format(tmp_path: Path, name: str) -> None:
    ids = []
    for kept_as in ("official", "mp4", "frames"):
        listing = open_source(WRITERS[name](tmp_path / kept_as / "deep", Size(kept_as=kept_as))).listing()
        ids.append([entry.video_id for entry in (*listing.train, *listing.val)])
    assert ids[0] == ids[1] == ids[2]
    (tmp_path / "moved").mkdir()
    shutil.copytree(tmp_path / "mp4" / "deep", tmp_path / "moved" / "here")
    moved = open_source({"type": name, "root": str(tmp_path / "moved" / "here"), "files": "mp4"}).listing()
    first = open_source({"type": name, "root": str(tmp_path / "mp4" / "deep"), "files": "mp4"}).listing()
    assert moved.digest == first.digest


def test_miniature_videos_differ_by_class_and_number() -> None:
    assert make_frames(Size(), 1, 0)[0, 0, 20, 0] == 45
    assert make_frames(Size(), 1, 1)[0, 0, 20, 0] == 50


MIRRORED_GESTURES = {
    ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
    ("Swiping Left", "Swiping Right"),
    ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("something_v1", {}, set(MIRRORED)),
        ("something_v1", {"label_order": "file"}, set(MIRRORED)),
        ("something_v2", {}, set(MIRRORED)),
        ("jester", {}, MIRRORED_GESTURES),
        ("kinetics400", {}, set()),
        ("ucf101", {}, set()),
        ("hmdb51", {}, set()),
    ],
)
def test_a_flip_exchanges_classes_by_name(
    open_mini: Callable[..., FileSource], name: str, options: dict[str, str], expected: set[tuple[str, str]]
) -> None:
    listing = open_mini(name, **options).listing()
    assert pairs(listing) == expected
    assert len(listing.flip_map) == 2 * len(expected)
    for label, other in listing.flip_map.items():
        assert listing.flip_map[other] == label != other


def test_both_label_orders_of_v1_give_every_video_the_same_class(tmp_path: Path) -> None:
    settings = WRITERS["something_v1"](tmp_path, Size())
    ordered, filed = (open_source(settings, label_order=order).listing() for order in ("sorted", "file"))
    assert list(ordered.classes) == sorted(filed.classes) != list(filed.classes)
    for one, other in zip(ordered.train, filed.train, strict=True):
        assert ordered.classes[one.label] == filed.classes[other.label]
        assert one.label != other.label
    assert filed.train[0].label == 0
    assert ordered.digest != filed.digest


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_three_folds_hold_out_each_video_once(tmp_path: Path, name: str) -> None:
    settings = WRITERS[name](tmp_path, Size(classes=2, train=2, val=1))
    folds = open_source(settings).fold_listings()
    assert list(folds) == [1, 2, 3]
    held_out = [entry.video_id for listing in folds.values() for entry in listing.val]
    assert len(held_out) == len(set(held_out)) == 6
    for fold, listing in folds.items():
        assert open_source(settings, fold=fold).listing() == listing
        assert not {entry.path for entry in listing.train} & {entry.path for entry in listing.val}


def test_official_sizes_add_up() -> None:
    def sizes(name: str, fold: int = 1) -> list[int]:
        return list(open_source({"type": name, "root": "nowhere"}).official_sizes(fold).values())

    assert sum(sizes("something_v1")) + 10_960 == 108_499
    assert sum(sizes("something_v2")) + 27_157 == 220_847
    assert sum(sizes("jester")) + 14_743 == 148_092
    assert [sum(sizes("ucf101", fold)) for fold in (1, 2, 3)] == [13_320] * 3
    assert [sum(sizes("hmdb51", fold)) for fold in (1, 2, 3)] == [51 * 100] * 3
    assert sum(sizes("kinetics400")) == 266_442


def test_the_number_of_classes_needs_no_disk() -> None:
    for name, count in COUNTS.items():
        assert open_source({"type": name, "root": "nowhere"}).num_classes == count


# Layouts that copies of the data sets have.


def test_kinetics_in_flat_split_and_class_folders(tmp_path: Path) -> None:
    settings = WRITERS["kinetics400"](tmp_path, Size(classes=2))
    known = [entry.video_id for entry in open_source(settings).listing().train]
    assert known[0] == "-000_000000_000000_000010"
    for video in list(tmp_path.rglob("*.mp4")):
        video.rename(tmp_path / video.name)
    flat = open_source(settings).listing()
    assert [entry.video_id for entry in flat.train] == known
    assert flat.train[0].path == f"{known[0]}.mp4"
    for video in list(tmp_path.glob("*.mp4")):
        (tmp_path / "all").mkdir(exist_ok=True)
        video.rename(tmp_path / "all" / video.name)
    assert open_source(settings).listing().train[0].path == f"all/{known[0]}.mp4"


def test_kinetics_videos_that_are_not_there_are_excluded_by_name(
    open_mini: Callable[..., FileSource],
) -> None:
    source = open_mini("kinetics400", Size(classes=2))
    gone = source.listing().train[0]
    (source.root / gone.path).unlink()
    listing = source.listing()
    assert len(listing.train) == 3
    assert listing.excluded[gone.video_id] == f"no file '{gone.video_id}.mp4'"
    assert len(listing.excluded) == 398 + 1
    for entry in listing.train:
        (source.root / entry.path).unlink()
    with pytest.raises(DataError, match=r"402 of 404 videos are missing"):
        source.listing()


def test_a_video_in_the_folder_of_another_class_is_another_video(tmp_path: Path) -> None:
    settings = WRITERS["hmdb51"](tmp_path, Size(classes=2))
    source = open_source(settings)
    entry = source.listing().train[0]
    moved = tmp_path / "hmdb51_org" / "cartwheel" / Path(entry.path).name
    (tmp_path / entry.path).rename(moved)
    with pytest.raises(DataError, match=r"cartwheel/.*' lies in the folder of another class"):
        source.listing()
    moved.rename(tmp_path / "hmdb51_org" / Path(entry.path).name)
    assert source.listing().train[0].video_id == entry.video_id


def test_kinetics_folders_with_underscores_are_classes_too(tmp_path: Path) -> None:
    settings = WRITERS["kinetics400"](tmp_path, Size(classes=2))
    (tmp_path / "train" / "doing thing 0 (not a cat's)").rename(
        tmp_path / "train" / "Doing_thing_1_(not_a_cat's)"
    )
    listing = open_source(settings).listing()
    assert len(listing.train) == 2
    video = "-000_000000_000000_000010"
    assert listing.excluded[video].endswith(f"{video}.mp4' lies in the folder of another class")


def test_handstand_pushups_in_either_spelling(tmp_path: Path) -> None:
    settings = WRITERS["ucf101"](tmp_path, Size(classes=1))
    before = open_source(settings).listing()
    assert before.classes[0] == "HandstandPushups"
    for video in list(tmp_path.rglob("*.avi")):
        video.rename(video.with_name(video.name.replace("HandStand", "Handstand")))
    (tmp_path / "UCF-101" / "HandstandPushups").rename(tmp_path / "UCF-101" / "HandStandPushups")
    after = open_source(settings).listing()
    assert [entry.video_id for entry in after.train] == [entry.video_id for entry in before.train]
    assert after.train[0].path == "UCF-101/HandStandPushups/v_HandstandPushups_g01_c01.avi"


def test_annotations_may_lie_elsewhere(tmp_path: Path) -> None:
    settings = WRITERS["something_v2"](tmp_path / "data", Size(classes=2))
    before = open_source(settings).listing()
    (tmp_path / "data" / "labels").rename(tmp_path / "lists")
    for name in ("labels", "train", "validation"):
        (tmp_path / "lists" / f"something-something-v2-{name}.json").rename(
            tmp_path / "lists" / f"{name}.json"
        )
    assert open_source(settings, annotations=tmp_path / "lists").listing() == before
    settings["root"] = str(tmp_path / "data" / "20bn-something-something-v2")
    assert len(open_source(settings, annotations=tmp_path / "lists").listing().train) == 4
