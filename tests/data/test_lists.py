"""List files: what is read from them, and what is said about their defects."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.data.catalog import open_dataset
from study.data.datasets.video_list import VideoListDataset
from study.data.manifest import Manifest, VideoEntry
from study.data.opening import build_opener
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.clip import RgbModality
from study.spec.datasets import VideoList
from tests.data.miniature import write_frames

BOM = "\N{BYTE ORDER MARK}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files under the names of videos; nothing opens them."""
    for name in ("a.mp4", "b.mp4", "c.mp4", "deep/d e.mp4", "deep/f.avi"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "videos"


def open_lists(root: Path, train: str, val: str = "c.mp4 0\n", **options: object) -> VideoListDataset:
    lists = {"train_list": root.parent / "train.txt", "val_list": root.parent / "val.txt"}
    lists["train_list"].write_text(train, encoding="utf-8", newline="")
    lists["val_list"].write_text(val, encoding="utf-8", newline="")
    return VideoListDataset(
        VideoList.model_validate({"type": "video_list", "root": root, **lists, **options}), root
    )


def entries(manifest: Manifest) -> list[tuple[str, int]]:
    return [(entry.path, entry.label) for entry in manifest.train]


@pytest.mark.parametrize(
    "text",
    [
        "a.mp4 0\ndeep/d e.mp4 1\n",
        "a.mp4 24 0\r\ndeep/d e.mp4  31 1\r\n\r\n",
        BOM + "a.mp4 0\ndeep/d e.mp4\t1",
    ],
)
def test_tsn_lists_have_paths_with_spaces_counts_and_either_line_end(root: Path, text: str) -> None:
    assert entries(open_lists(root, text).listing()) == [("a.mp4", 0), ("deep/d e.mp4", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.mp4,0\ndeep/d e.mp4,1\n",
        BOM + 'label,extra, path\r\n0,"x,y",a.mp4\r\n1,,"deep/d e.mp4"\r\n',
    ],
)
def test_csv_lists_take_their_columns_by_name(root: Path, text: str) -> None:
    source = open_lists(root, text, "path,label\nc.mp4,1\n")
    assert entries(source.listing()) == [("a.mp4", 0), ("deep/d e.mp4", 1)]
    assert source.classes == ("0", "1")


def test_one_list_with_a_column_split(root: Path) -> None:
    listing = root.parent / "all.csv"
    listing.write_text(
        "path,label,split\na.mp4,run,train\nb.mp4,jump,val\nc.mp4,jump,train\ndeep/f.avi,run,test\n"
    )
    spec = VideoList(type="video_list", root=root, train_list=listing, val_list=listing)
    manifest = VideoListDataset(spec, root).listing()
    assert manifest.classes == ("jump", "run")
    assert entries(manifest) == [("a.mp4", 1), ("c.mp4", 0)]
    assert [(entry.path, entry.label) for entry in manifest.val] == [("b.mp4", 0)]


def test_absolute_paths_below_the_root_are_the_same_videos(root: Path) -> None:
    absolute = open_lists(root, f"{root / 'a.mp4'} 0\nb.mp4 0\n").listing()
    assert absolute.digest == open_lists(root, "a.mp4 0\nb.mp4 0\n").listing().digest


def test_class_names_give_labels_and_flip_pairs(root: Path) -> None:
    names = root.parent / "classes.txt"
    names.write_text(BOM + "to the left\r\nto the right\r\nup \r\n\r\n", encoding="utf-8", newline="")
    csv = "path,label\na.mp4,up\nb.mp4,1\n"
    source = open_lists(
        root,
        csv,
        "path,label\nc.mp4,to the left\n",
        classes=names,
        num_classes=3,
        flip_pairs=[("to the right", "to the left")],
    )
    assert source.classes == ("to the left", "to the right", "up")
    manifest = source.listing()
    assert entries(manifest) == [("a.mp4", 2), ("b.mp4", 1)]
    assert manifest.flip_map == {0: 1, 1: 0}
    with pytest.raises(DataError, match="'downward' is no class"):
        open_lists(root, csv, classes=names, flip_pairs=[("downward", "up")]).listing()
    with pytest.raises(DataError, match="one partner"):
        open_lists(root, csv, classes=names, flip_pairs=[("up", "up")]).listing()
    with pytest.raises(DataError, match="3 classes, but num_classes is 4"):
        open_lists(root, csv, classes=names, num_classes=4).listing()


def test_the_number_of_classes_needs_no_disk_where_it_is_stated(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    spec = VideoList(type="video_list", root=gone, train_list=gone, val_list=gone, num_classes=174)
    source = open_dataset(spec, tmp_path)
    assert isinstance(source, VideoListDataset)
    assert source.num_classes == 174
    source.prepare()
    with pytest.raises(DataError, match=r"gone: no such folder"):
        source.listing()


DEFECTS = [
    ("a.mp4\n", r"train\.txt:1: expected 'path \[num_frames\] label', got 'a\.mp4'"),
    ("a.mp4 0\nmissing.mp4 0\n", r"train\.txt:2: no file or folder '.*missing\.mp4'"),
    ("a.mp4 0\n\nb.mp4 0\na.mp4 0\n", r"train\.txt:4: 'a\.mp4' stands in line 1 already"),
    ("a.mp4 0\nb.mp4 x\n", r"train\.txt:2: label 'x'"),
    ("a.mp4 0\nb.mp4 -1\n", r"train\.txt:2: label '-1'"),
    ("deep 0\n", r"deep: no frame 'img_00001\.jpg', its first file is 'd e\.mp4'"),
    ("a.mp4 0\nc.mp4 0\n", r"val\.txt:1: 'c\.mp4' is a training video too \(.*train\.txt:2\)"),
    ("a.mp4 0\n./a.mp4 0\n", r"train\.txt:2: 'a\.mp4' stands in line 1 already"),
    ('path,label\n"a.mp4,0\nb.mp4,0\n', r"train\.txt:3: not CSV: unexpected end of data"),
    ("", r"train\.txt: is empty"),
    ("a.mp4 0\0\n", r"train\.txt: not a list: it holds zero bytes"),
    ("path,label\na.mp4,0,1\n", r"train\.txt:2: 3 columns, the header has 2"),
    ("path,class\na.mp4,0\n", r"train\.txt:1: the header has no column label; it has path, class"),
    ("path,label\n", r"train\.txt: no videos for the split 'train'"),
    ("path,label\n,0\n", r"train\.txt:2: no path"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), DEFECTS)
def test_a_defect_is_named_by_file_and_line(root: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_lists(root, text).listing()


def test_a_label_beyond_the_classes_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt:2: label 5; the labels are 0 to 3"):
        open_lists(root, "a.mp4 0\nb.mp4 5\n", num_classes=4).listing()


def test_all_defects_of_a_list_are_told_at_once_up_to_ten(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_lists(root, "".join(f"gone{n}.mp4 0\n" for n in range(15))).listing()
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[2].endswith("gone2.mp4'")
    assert lines[-1].endswith("and 5 more")


def test_lists_that_cannot_be_read_are_named(root: Path) -> None:
    source = open_lists(root, "a.mp4 0\n")
    (root.parent / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train\.txt: not UTF-8"):
        source.listing()
    (root.parent / "train.txt").unlink()
    with pytest.raises(DataError, match=r"train\.txt: cannot be read: No such file"):
        source.listing()


def test_the_digest_follows_content_and_not_the_place(root: Path, tmp_path: Path) -> None:
    text = "a.mp4 0\nb.mp4 1\n"
    digest = open_lists(root, text).listing().digest
    shutil.copytree(root, tmp_path / "moved" / "videos")
    assert open_lists(tmp_path / "moved" / "videos", text).listing().digest == digest
    changed = [
        open_lists(root, "a.mp4 1\nb.mp4 0\n").listing().digest,
        open_lists(root, "b.mp4 1\na.mp4 0\n").listing().digest,
        open_lists(root, text, "c.mp4 1\n").listing().digest,
        open_lists(root, text, flip_pairs=[("0", "1")]).listing().digest,
    ]
    assert len({digest, *changed}) == 5


def test_an_entry_shown_backward_is_another_entry() -> None:
    one = Manifest(Path(), ("a",), {}, (VideoEntry("v", "v.mp4", 0),), ())
    other = Manifest(Path(), ("a",), {}, (VideoEntry("v", "v.mp4", 0, reverse=True),), ())
    assert one.digest != other.digest


def test_a_video_that_cannot_be_decoded_is_named(root: Path, write_video: Callable[..., Path]) -> None:
    write_video(root / "a.mp4")
    listing = open_lists(root, "a.mp4 0\nb.mp4 0\n").listing()
    open_frames = build_opener(listing, RgbModality())
    assert open_frames(listing.train[0]).read([0, 11]).shape == (2, 24, 32, 3)
    with pytest.raises(DataError, match=r"b\.mp4: cannot be opened"):
        open_frames(listing.train[1])


FRAME_LISTS = [
    ("20bn/85 2 30\n20bn/a b 2 56\n", ["20bn/85", "20bn/a b"]),
    ("/home/x/20bn/85/ 2 30\r\n/home/x/20bn/a b/ 2 56\r\n", ["20bn/85", "20bn/a b"]),
]


@pytest.mark.parametrize(("text", "paths"), FRAME_LISTS)
def test_lists_of_frame_folders_are_read_with_their_template(
    tmp_path: Path, text: str, paths: list[str]
) -> None:
    root = tmp_path / "frames"
    for name in ("85", "a b", "val"):
        write_frames(root / "20bn" / name, "{:05d}.jpg", np.full((2, 8, 8, 3), 200, dtype=np.uint8))
    prefix = "/home/x" if text.startswith("/") else ""
    options = {"strip_prefix": prefix, "num_classes": 174, "image_template": "{:05d}.jpg"}
    listing = open_lists(
        root, text, f"{prefix}/20bn/val 2 0\n".removeprefix("" if prefix else "/"), **options
    ).listing()
    assert [(entry.path, entry.label) for entry in listing.train] == list(zip(paths, (30, 56), strict=True))
    assert listing.reading == Reading(image_template="{:05d}.jpg")
    assert build_opener(listing, RgbModality())(listing.train[1]).read([1]).mean() == pytest.approx(
        200, abs=2
    )


def test_a_frame_list_with_another_template_is_named(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    for name in ("85", "86"):
        (root / name).mkdir(parents=True)
        (root / name / "00001.jpg").touch()
    with pytest.raises(DataError, match=r"85: no frame 'img_00001\.jpg', its first file is '00001\.jpg'"):
        open_lists(root, "85 1 0\n", "86 1 0\n").listing()
    for template in ("frame.jpg", "{}_{}.jpg", "{name}.jpg", "{:05d"):
        with pytest.raises(DataError, match=r"data\.image_template .*: expected one number"):
            open_lists(root, "85 1 0\n", "86 1 0\n", image_template=template).listing()


def test_files_and_folders_do_not_mix(root: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt:3: 'deep' is a folder, line 1 names a file"):
        open_lists(root, "a.mp4 0\nb.mp4 0\ndeep 0\n").listing()
    (root / "deep" / "img_00001.jpg").touch()
    with pytest.raises(DataError, match=r"val\.txt: names video files, but .*train\.txt names folders"):
        open_lists(root, "deep 1 0\n").listing()


def test_a_prefix_that_is_not_there_is_named(root: Path) -> None:
    text = "/data/a.mp4 0\n/other/b.mp4 0\n"
    with pytest.raises(
        DataError, match=r"train\.txt:2: '/other/b\.mp4' does not begin with data\.strip_prefix"
    ):
        open_lists(root, text, "/data/c.mp4 0\n", strip_prefix="/data").listing()


def test_links_that_lead_nowhere_and_paths_in_other_scripts(root: Path) -> None:
    (root / "circle.mp4").symlink_to("circle.mp4")
    (root / "gone.mp4").symlink_to("nowhere.mp4")
    (root / "übung — 視頻 1.mp4").symlink_to("a.mp4")
    with pytest.raises(DataError) as caught:
        open_lists(root, "a.mp4 0\ncircle.mp4 0\ngone.mp4 0\n").listing()
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "train.txt:2:" in lines[0]
    assert "circle.mp4' is a link that leads nowhere or in a circle" in lines[0]
    assert "gone.mp4' is a link" in lines[1]
    assert entries(open_lists(root, "übung — 視頻 1.mp4 0\n").listing()) == [("übung — 視頻 1.mp4", 0)]


def test_each_folder_is_listed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (root / "deep" / f"{number}.mp4").touch()
    listed, scan = list[str](), os.scandir

    def spy(path: Path) -> Any:
        listed.append(path.name)
        return scan(path)

    monkeypatch.setattr(os, "scandir", spy)
    text = "a.mp4 0\n" + "".join(f"deep/{number}.mp4 0\n" for number in range(200))
    assert len(open_lists(root, text).listing().train) == 201
    assert sorted(listed) == ["deep", "videos"]
