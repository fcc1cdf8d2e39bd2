"""Any videos, forward and reversed: which are taken, and on which side of the split they stand."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from study.data.datasets.arrow_of_time import ArrowOfTimeDataset
from study.data.datasets.ucf101 import UCF101Dataset
from study.data.datasets.video_list import VideoListDataset
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.datasets import UCF101, ArrowOfTime, VideoList
from tests.data.miniature import Size, write_something_v1, write_ucf101


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files under the names of videos; nothing opens them."""
    for name in ("a.mp4", "b.mp4", "c.mp4", "deep/d e.mp4", "deep/f.avi"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "videos"


def open_arrow(root: Path, **options: object) -> ArrowOfTimeDataset:
    return ArrowOfTimeDataset(
        ArrowOfTime.model_validate({"type": "arrow_of_time", "root": root, **options}), root
    )


def test_every_video_of_a_folder_is_shown_both_ways(root: Path) -> None:
    (root / "notes.txt").touch()
    listing = open_arrow(root).listing()
    shown = defaultdict(set)
    for entry in (*listing.train, *listing.val):
        shown[entry.path].add((entry.label, entry.reverse))
    assert shown == {
        name: {(0, False), (1, True)} for name in ("a.mp4", "b.mp4", "c.mp4", "deep/d e.mp4", "deep/f.avi")
    }
    assert len(listing.val) == 2  # a quarter of five videos is one
    assert listing.classes == ("forward", "reversed")
    assert listing.flip_map == {}
    assert len({entry.video_id for entry in (*listing.train, *listing.val)}) == 10


def test_videos_of_a_group_stay_in_one_split(tmp_path: Path) -> None:
    for source in range(12):
        for part in range(3):
            path = tmp_path / f"film{source:02d}_part{part}.mp4"
            path.touch()
    arrow = open_arrow(tmp_path, group=r"(?P<group>film\d+)_", val_fraction=0.25)
    listing = arrow.listing()
    sides = [{entry.path[:6] for entry in split} for split in (listing.train, listing.val)]
    assert not sides[0] & sides[1]
    assert (len(sides[0]), len(sides[1])) == (9, 3)
    # Who is held out does not depend on the order in which a disk lists files, but on the names.
    assert listing.digest == open_arrow(tmp_path, group=r"(?P<group>film\d+)_").listing().digest


def test_a_list_gives_the_split(root: Path) -> None:
    (root / "split.csv").write_text("path,label,split\na.mp4,7,val\nb.mp4,7,train\ndeep/f.avi,7,test\n")
    listing = open_arrow(root, split_list="split.csv").listing()
    assert [(entry.path, entry.label) for entry in listing.train] == [("b.mp4", 0), ("b.mp4", 1)]
    assert [(entry.path, entry.reverse) for entry in listing.val] == [("a.mp4", False), ("a.mp4", True)]
    (root / "split.csv").write_text("path,split\na.mp4,validation\nb.mp4,train\n")
    with pytest.raises(DataError, match=r"split\.csv:2: split 'validation'; .*val"):
        open_arrow(root, split_list="split.csv").listing()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": r"(?P<group>film\d+)"}, r"a\.mp4: data\.group .* does not match"),
        ({"group": r"film(\d+"}, r"data\.group .*expected a regular expression"),
        ({"group": r"\w"}, r"data\.group .*expected a regular expression"),
        ({"group": r"(?P<group>\.)"}, r"1 groups of videos"),
        ({"split_list": "none.csv"}, r"none\.csv: cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_split_is_named(root: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_arrow(root, **options).listing()


def test_a_folder_without_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 groups of videos"):
        open_arrow(tmp_path).listing()
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_arrow(tmp_path / "nowhere").listing()


def test_linked_folders_are_searched_and_circles_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "g.mkv").touch()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    listing = open_arrow(root).listing()
    assert "linked/g.mkv" in {entry.path for entry in (*listing.train, *listing.val)}
    (root / "deep" / "back").symlink_to(root)
    with pytest.raises(DataError, match=r"deep/back: is the folder .*videos again, through a symbolic link"):
        open_arrow(root).listing()
    (root / "deep" / "back").unlink()
    (root / "same").symlink_to(root / "deep")
    with pytest.raises(DataError, match=r"same: is the folder .*deep again"):
        open_arrow(root).listing()


def test_the_videos_and_splits_of_another_data_set(tmp_path: Path) -> None:
    settings = write_ucf101(tmp_path) | {"fold": 2}
    other = UCF101Dataset(UCF101.model_validate(settings), tmp_path).listing()
    arrow = ArrowOfTimeDataset(
        ArrowOfTime.model_validate({"type": "arrow_of_time", "of": settings}), tmp_path
    )
    listing = arrow.listing()
    assert arrow.num_classes == 2
    assert listing.classes == ("forward", "reversed")
    assert listing.root == other.root
    for ours, theirs in ((listing.train, other.train), (listing.val, other.val)):
        assert [(one.path, one.label, one.reverse) for one in ours] == [
            (one.path, int(back), back) for one in theirs for back in (False, True)
        ]
        assert [one.video_id for one in ours[:2]] == [
            f"{theirs[0].video_id}#{name}" for name in listing.classes
        ]
    assert set(arrow.fold_listings()) == {1, 2, 3}
    assert arrow.manifest_path == tmp_path / "ucf101.manifest.csv"


def test_frame_folders_of_another_data_set_have_no_mirrored_classes(tmp_path: Path) -> None:
    settings = write_something_v1(tmp_path, Size(classes=2))
    arrow = ArrowOfTimeDataset(
        ArrowOfTime.model_validate({"type": "arrow_of_time", "of": settings}), tmp_path
    )
    assert arrow.listing().flip_map == {}
    assert arrow.listing().reading == Reading(image_template="{:05d}.jpg")


@pytest.mark.shared
def test_the_real_clips_split_by_source_video(shared_dir: Path) -> None:
    folder = shared_dir / "data" / "surveillance_fights"
    listing = open_arrow(folder, split_list="manifest.csv").listing()
    assert (len(listing.train), len(listing.val)) == (2 * 227, 2 * 73)
    both = VideoListDataset(
        VideoList(
            type="video_list",
            root=folder,
            train_list=folder / "manifest.csv",
            val_list=folder / "manifest.csv",
        ),
        folder,
    ).listing()
    assert {entry.path for entry in both.val} == {entry.path for entry in listing.val}
    assert both.classes == ("0", "1")
