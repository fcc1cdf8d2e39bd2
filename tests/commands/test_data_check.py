"""``data check`` on lists, folders and official trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from study.commands.data_arguments import open_listing, open_source
from study.commands.data_check import CheckOptions, check_dataset
from study.data.catalog import FileSource, open_dataset
from study.data.synthetic import encode_video
from study.errors import DataError, SpecError
from study.spec.datasets import VideoList


def write_videos(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        encode_video(root / name, np.zeros((10, 24, 32, 3), np.uint8), 12)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Four videos with lists; the third is text."""
    write_videos(tmp_path, "a b/1.mp4", "ä/2.mp4", "4.mp4")
    (tmp_path / "3.mp4").write_text("no video\n" * 20)
    (tmp_path / "train.txt").write_text("a b/1.mp4 0\nä/2.mp4 1\n3.mp4 1\n")
    (tmp_path / "val.txt").write_text("4.mp4 1\n")
    return tmp_path


def options(root: Path, **more: object) -> CheckOptions:
    lists = (f"train_list={root / 'train.txt'}", f"data.val_list={root / 'val.txt'}")
    return CheckOptions(root, lists, limit_s=60.0, **more)  # type: ignore[arg-type]


def test_the_manifest_is_where_training_looks_for_it(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_dataset("video_list", options(listed, workers=1)) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "video_list: 4 videos below" in printed
    assert "3.mp4: unreadable: cannot be opened as a video: Invalid data found" in printed
    assert f"Manifest: {listed / 'video_list.manifest.csv'}" in printed
    spec = VideoList(
        type="video_list", root=listed, train_list=listed / "train.txt", val_list=listed / "val.txt"
    )
    source = open_dataset(spec, Path())
    assert isinstance(source, FileSource)
    manifest = source.manifest()
    assert [(entry.path, entry.frames) for entry in manifest.train] == [("a b/1.mp4", 10), ("ä/2.mp4", 10)]
    assert list(manifest.excluded) == ["3.mp4"]
    (listed / "5.mp4").write_bytes((listed / "4.mp4").read_bytes())
    (listed / "val.txt").write_text("4.mp4 1\n5.mp4 0\n")
    with pytest.raises(DataError, match=r"1 videos were never checked, the first is '5\.mp4'"):
        open_dataset(spec, Path()).manifest()


def test_a_sample_gives_a_verdict_and_no_manifest(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(listed.rglob("*"))
    # Of two halves: "a b/1.mp4" or "ä/2.mp4", and "3.mp4" or "4.mp4".
    code = check_dataset("video_list", options(listed, sample=2, workers=1))
    printed = " ".join(capsys.readouterr().out.split())
    assert code == ("1 of 2 videos are unfit" in printed)
    assert "Sample of 2: " in printed
    assert "No manifest was written, because training must not mix" in printed
    assert sorted(listed.rglob("*")) == before


def test_any_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, manifest = tmp_path / "[red]videos", tmp_path / "found.csv"
    write_videos(root, "[bold]x.mp4", "sub/y.mp4")
    assert check_dataset("folder", CheckOptions(root, ("decoder=pyav",), workers=1, manifest=manifest)) == 0
    assert "[bold]x.mp4,,,10,12.0,24,32,ok,," in manifest.read_text()
    assert '"decoder": "pyav"' in manifest.read_text()
    assert f"folder: 2 videos below {root}" in capsys.readouterr().out
    # The manifest lies beside the videos by default, and is none of them.
    assert check_dataset("folder", CheckOptions(root, workers=1)) == 0
    assert [video.path for video in open_listing("folder", root).videos] == ["[bold]x.mp4", "sub/y.mp4"]


def test_official_sizes_and_folds_are_told(tmp_path: Path) -> None:
    from tests.data.miniature import write_ucf101

    write_ucf101(tmp_path)
    listing = open_listing("ucf101", tmp_path)
    assert len(listing.problems) == 6
    assert listing.problems[0].startswith("1:train: ")
    assert listing.problems[0].endswith("the official lists have 9537")
    assert {len(video.splits.split()) for video in listing.videos} == {3}
    assert all(video.label in video.path for video in listing.videos if "HandstandPushups" not in video.label)


@pytest.mark.parametrize(
    ("name", "settings", "fault"),
    [
        ("ucf-101", (), "'ucf-101' is no data set; did you mean 'ucf101'?"),
        ("motion", (), "'motion': its videos are made from its options"),
        (
            "ucf101",
            ("fold=9",),
            "--set data.fold=9: data.fold: input should be less than or equal to 3, got 9",
        ),
        ("ucf101", ("data.fold=9",), "--set data.fold=9: data.fold: "),
        ("folder", ("decoder=ffmpeg",), "data.decoder: 'ffmpeg' is not allowed; Allowed: auto, decord, pyav"),
        ("folder", ("fold=1",), "data.fold: unknown key; Allowed: decoder, image_template"),
        ("folder", ("decoder",), "--set data.decoder: expected path=value"),
        ("video_list", (), "data.train_list: is required"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, name: str, settings: tuple[str, ...], fault: str) -> None:
    with pytest.raises(SpecError) as caught:
        open_listing(name, tmp_path, settings)
    assert fault in str(caught.value)


def test_a_data_set_over_another_has_its_root(listed: Path) -> None:
    settings = (
        "of.type=video_list",
        f"of.train_list={listed / 'train.txt'}",
        f"of.val_list={listed / 'val.txt'}",
    )
    listing = open_listing("arrow_of_time", listed, settings)
    assert [video.path for video in listing.videos] == ["a b/1.mp4", "ä/2.mp4", "3.mp4", "4.mp4"]
    assert listing.videos[0].label == "forward / reversed"
    assert open_source("arrow_of_time", listed, settings).root == listed


def test_an_empty_or_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no files"):
        check_dataset("folder", CheckOptions(tmp_path))
    with pytest.raises(DataError, match="gone: no such folder"):
        check_dataset("folder", CheckOptions(tmp_path / "gone"))
