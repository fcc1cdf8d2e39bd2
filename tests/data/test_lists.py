"""List files and folders of videos: what is read from them, and what is said about their defects."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from study.data.catalog import open_dataset
from study.data.dataset import ViewDataset
from study.data.datasets.arrow_of_time import ArrowOfTimeDataset
from study.data.datasets.video_list import VideoListDataset
from study.data.manifest import Manifest, VideoEntry
from study.errors import DataError
from study.spec.data import ArrowOfTime, ClipSpec, VideoList
from study.spec.training import ProtocolSpec

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
    assert entries(open_lists(root, text).manifest()) == [("a.mp4", 0), ("deep/d e.mp4", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.mp4,0\ndeep/d e.mp4,1\n",
        BOM + 'label,extra, path\r\n0,"x,y",a.mp4\r\n1,,"deep/d e.mp4"\r\n',
    ],
)
def test_csv_lists_take_their_columns_by_name(root: Path, text: str) -> None:
    source = open_lists(root, text, "path,label\nc.mp4,1\n")
    assert entries(source.manifest()) == [("a.mp4", 0), ("deep/d e.mp4", 1)]
    assert source.classes == ("0", "1")


def test_one_list_with_a_column_split(root: Path) -> None:
    listing = root.parent / "all.csv"
    listing.write_text(
        "path,label,split\na.mp4,run,train\nb.mp4,jump,val\nc.mp4,jump,train\ndeep/f.avi,run,test\n"
    )
    spec = VideoList(type="video_list", root=root, train_list=listing, val_list=listing)
    manifest = VideoListDataset(spec, root).manifest()
    assert manifest.classes == ("jump", "run")
    assert entries(manifest) == [("a.mp4", 1), ("c.mp4", 0)]
    assert [(entry.path, entry.label) for entry in manifest.val] == [("b.mp4", 0)]


def test_absolute_paths_below_the_root_are_the_same_videos(root: Path) -> None:
    absolute = open_lists(root, f"{root / 'a.mp4'} 0\nb.mp4 0\n").manifest()
    assert absolute.digest == open_lists(root, "a.mp4 0\nb.mp4 0\n").manifest().digest


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
    manifest = source.manifest()
    assert entries(manifest) == [("a.mp4", 2), ("b.mp4", 1)]
    assert manifest.flip_map == {0: 1, 1: 0}
    with pytest.raises(DataError, match="'downward' is no class"):
        open_lists(root, csv, classes=names, flip_pairs=[("downward", "up")]).manifest()
    with pytest.raises(DataError, match="one partner"):
        open_lists(root, csv, classes=names, flip_pairs=[("up", "up")]).manifest()
    with pytest.raises(DataError, match="3 classes, but num_classes is 4"):
        open_lists(root, csv, classes=names, num_classes=4).manifest()


def test_the_number_of_classes_needs_no_disk_where_it_is_stated(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    spec = VideoList(type="video_list", root=gone, train_list=gone, val_list=gone, num_classes=174)
    source = open_dataset(spec, tmp_path)
    assert source.num_classes == 174
    source.prepare()
    with pytest.raises(DataError, match=r"gone: no such folder"):
        source.manifest()


DEFECTS = [
    ("a.mp4\n", r"train\.txt:1: expected 'path \[num_frames\] label', got 'a\.mp4'"),
    ("a.mp4 0\nmissing.mp4 0\n", r"train\.txt:2: no file '.*missing\.mp4'"),
    ("a.mp4 0\n\nb.mp4 0\na.mp4 0\n", r"train\.txt:4: 'a\.mp4' stands in line 1 already"),
    ("a.mp4 0\nb.mp4 x\n", r"train\.txt:2: label 'x'"),
    ("a.mp4 0\nb.mp4 -1\n", r"train\.txt:2: label '-1'"),
    ("deep 0\n", r"train\.txt:1: '.*deep' is a folder"),
    ("a.mp4 0\nc.mp4 0\n", r"val\.txt: 1 videos stand in the training list too, the first is 'c\.mp4'"),
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
        open_lists(root, text).manifest()


def test_a_label_beyond_the_classes_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt:2: label 5; the labels are 0 to 3"):
        open_lists(root, "a.mp4 0\nb.mp4 5\n", num_classes=4).manifest()


def test_all_defects_of_a_list_are_told_at_once_up_to_ten(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_lists(root, "".join(f"gone{n}.mp4 0\n" for n in range(15))).manifest()
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[2].endswith("gone2.mp4'")
    assert lines[-1].endswith("and 5 more")


def test_lists_that_cannot_be_read_are_named(root: Path) -> None:
    source = open_lists(root, "a.mp4 0\n")
    (root.parent / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train\.txt: not UTF-8"):
        source.manifest()
    (root.parent / "train.txt").unlink()
    with pytest.raises(DataError, match=r"train\.txt: cannot be read: No such file"):
        source.manifest()


def test_the_digest_follows_content_and_not_the_place(root: Path, tmp_path: Path) -> None:
    text = "a.mp4 0\nb.mp4 1\n"
    digest = open_lists(root, text).manifest().digest
    shutil.copytree(root, tmp_path / "moved" / "videos")
    assert open_lists(tmp_path / "moved" / "videos", text).manifest().digest == digest
    changed = [
        open_lists(root, "a.mp4 1\nb.mp4 0\n").manifest().digest,
        open_lists(root, "b.mp4 1\na.mp4 0\n").manifest().digest,
        open_lists(root, text, "c.mp4 1\n").manifest().digest,
        open_lists(root, text, flip_pairs=[("0", "1")]).manifest().digest,
    ]
    assert len({digest, *changed}) == 5


def test_an_entry_shown_backward_is_another_entry() -> None:
    one = Manifest(Path(), ("a",), {}, (VideoEntry("v", "v.mp4", 0),), ())
    other = Manifest(Path(), ("a",), {}, (VideoEntry("v", "v.mp4", 0, reverse=True),), ())
    assert one.digest != other.digest


def open_arrow(root: Path, **options: object) -> ArrowOfTimeDataset:
    return ArrowOfTimeDataset(
        ArrowOfTime.model_validate({"type": "arrow_of_time", "root": root, **options}), root
    )


def test_every_video_of_a_folder_is_shown_both_ways(root: Path) -> None:
    (root / "notes.txt").touch()
    manifest = open_arrow(root).manifest()
    shown = defaultdict(set)
    for entry in (*manifest.train, *manifest.val):
        shown[entry.path].add((entry.label, entry.reverse))
    assert shown == {
        name: {(0, False), (1, True)} for name in ("a.mp4", "b.mp4", "c.mp4", "deep/d e.mp4", "deep/f.avi")
    }
    assert len(manifest.val) == 2  # a quarter of five videos is one
    assert manifest.classes == ("forward", "reversed")
    assert manifest.flip_map == {}
    assert len({entry.video_id for entry in (*manifest.train, *manifest.val)}) == 10


def test_videos_of_a_group_stay_in_one_split(tmp_path: Path) -> None:
    for source in range(12):
        for part in range(3):
            path = tmp_path / f"film{source:02d}_part{part}.mp4"
            path.touch()
    arrow = open_arrow(tmp_path, group=r"(?P<group>film\d+)_", val_fraction=0.25)
    manifest = arrow.manifest()
    sides = [{entry.path[:6] for entry in split} for split in (manifest.train, manifest.val)]
    assert not sides[0] & sides[1]
    assert (len(sides[0]), len(sides[1])) == (9, 3)
    # Who is held out does not depend on the order in which a disk lists files, but on the names.
    assert manifest.digest == open_arrow(tmp_path, group=r"(?P<group>film\d+)_").manifest().digest


def test_a_manifest_gives_the_split(root: Path) -> None:
    (root / "split.csv").write_text("path,label,split\na.mp4,7,val\nb.mp4,7,train\ndeep/f.avi,7,test\n")
    manifest = open_arrow(root, manifest="split.csv").manifest()
    assert [(entry.path, entry.label) for entry in manifest.train] == [("b.mp4", 0), ("b.mp4", 1)]
    assert [(entry.path, entry.reverse) for entry in manifest.val] == [("a.mp4", False), ("a.mp4", True)]
    (root / "split.csv").write_text("path,split\na.mp4,validation\nb.mp4,train\n")
    with pytest.raises(DataError, match=r"split\.csv:2: split 'validation'; .*val"):
        open_arrow(root, manifest="split.csv").manifest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": r"(?P<group>film\d+)"}, r"a\.mp4: data\.group .* does not match"),
        ({"group": r"film(\d+"}, r"data\.group .*expected a regular expression"),
        ({"group": r"\w"}, r"data\.group .*expected a regular expression"),
        ({"group": r"(?P<group>\.)"}, r"1 groups of videos"),
        ({"manifest": "none.csv"}, r"none\.csv: cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_split_is_named(root: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_arrow(root, **options).manifest()


def test_a_folder_without_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 groups of videos"):
        open_arrow(tmp_path).manifest()
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_arrow(tmp_path / "nowhere").manifest()


@pytest.mark.shared
def test_the_real_clips_split_by_source_video(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "surveillance_fights"
    manifest = open_arrow(folder, manifest="manifest.csv").manifest()
    assert (len(manifest.train), len(manifest.val)) == (2 * 227, 2 * 73)
    both = VideoListDataset(
        VideoList(
            type="video_list",
            root=folder,
            train_list=folder / "manifest.csv",
            val_list=folder / "manifest.csv",
        ),
        folder,
    ).manifest()
    assert {entry.path for entry in both.val} == {entry.path for entry in manifest.val}
    assert both.classes == ("0", "1")


@pytest.mark.shared
def test_both_directions_of_a_real_clip_hold_the_same_frames(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "surveillance_fights"
    manifest = open_arrow(folder, manifest="manifest.csv").manifest()
    clip = ClipSpec(frames=8, size=112, resize=(128, 170))
    dataset = ViewDataset(manifest, manifest.val, clip, ProtocolSpec(clips=2, crops=3))
    for index in range(0, 8, 2):
        (forward, zero, _), (backward, one, _) = dataset[index], dataset[index + 1]
        assert (zero, one) == (0, 1)
        assert (forward.flip(2) == backward).all()
        assert not (forward == backward).all()


def test_a_video_that_cannot_be_decoded_is_named(root: Path, write_video: Callable[..., Path]) -> None:
    write_video(root / "a.mp4")
    manifest = open_lists(root, "a.mp4 0\nb.mp4 0\n").manifest()
    clip = ClipSpec(frames=4, size=16, resize=None)
    dataset = ViewDataset(manifest, manifest.train, clip, ProtocolSpec())
    assert dataset[0][0].shape == (1, 3, 4, 16, 16)
    with pytest.raises(DataError, match=r"b\.mp4: cannot be opened"):
        dataset[1]
