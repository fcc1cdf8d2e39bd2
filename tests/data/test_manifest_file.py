"""The manifest of a check: what training makes of it, and what is said of a damaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.data.health import Health
from study.data.health.manifest_file import COLUMNS, CheckedVideo, apply_check, read_manifest, write_manifest
from study.data.manifest import Manifest, VideoEntry
from study.data.readers import Reading
from study.errors import DataError


def row(path: str, health: Health = Health.OK, frames: int = 30, reason: str = "") -> CheckedVideo:
    return CheckedVideo(path, "walk", "train", frames, 25.0, 24, 32, health, reason, f"digest of {path}")


def list_videos(*paths: str, val: str = "val.mp4", reading: Reading | None = None) -> Manifest:
    train = tuple(VideoEntry(f"id {path}", path, 0) for path in paths)
    return Manifest(
        Path("/data"),
        ("walk",),
        {},
        train,
        (VideoEntry(f"id {val}", val, 0),),
        {"old": "x"},
        reading=reading or Reading(),
    )


def test_fit_videos_get_what_was_found_and_unfit_ones_are_named(tmp_path: Path) -> None:
    rows = [
        row("val.mp4"),
        row('a, "b"\nä\udcff.mp4', Health.IN_ORDER, 31),
        row("short.mp4", Health.SHORT, 12, "12 of 30 frames decode"),
        row("bad.mp4", Health.UNREADABLE, 0, "is text, not a video"),
        row("slow.mp4", Health.TIMEOUT, 0),
        row("not listed.mp4"),
    ]
    write_manifest(tmp_path / "m.csv", Reading(), rows)
    assert read_manifest(tmp_path / "m.csv")[1] == tuple(rows)
    listing = list_videos("short.mp4", 'a, "b"\nä\udcff.mp4', "bad.mp4", "slow.mp4")
    checked = apply_check(listing, tmp_path / "m.csv")
    assert [(e.video_id, e.frames, e.in_order, e.digest) for e in checked.train] == [
        ("id short.mp4", 12, False, "digest of short.mp4"),
        ('id a, "b"\nä\udcff.mp4', 31, True, 'digest of a, "b"\nä\udcff.mp4'),
    ]
    assert [entry.frames for entry in checked.val] == [30]
    assert checked.excluded == {
        "old": "x",
        "id bad.mp4": "unreadable: is text, not a video",
        "id slow.mp4": "timeout: decoding did not end in time: left out",
    }
    assert checked.checked
    assert checked.digest != listing.digest


def test_videos_that_were_not_checked_and_empty_splits_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    write_manifest(path, Reading(), [row("a.mp4"), row("val.mp4", Health.WRONG, 0)])
    with pytest.raises(
        DataError, match=r"m\.csv: 2 videos were never checked, the first is 'b\.mp4'; run data check"
    ):
        apply_check(list_videos("a.mp4", "c.mp4", "b.mp4"), path)
    with pytest.raises(DataError, match=r"m\.csv: none of the 1 videos of the split 'val' is fit"):
        apply_check(list_videos("a.mp4"), path)


@pytest.mark.parametrize(
    ("checked", "read", "fits"),
    [
        (Reading("decord"), Reading("decord"), True),
        (Reading("auto"), Reading("decord"), True),
        (Reading("decord"), Reading("pyav"), True),  # never seeks, so that it is right wherever decord is
        (Reading("pyav"), Reading("decord"), False),
        (Reading(image_template="{:05d}.jpg"), Reading(image_template="{:05d}.jpg"), True),
        (Reading(image_template="{:05d}.jpg"), Reading(image_template="{:06d}.jpg"), False),
        (Reading("decord"), Reading(image_template="{:05d}.jpg"), False),
    ],
)
def test_a_manifest_holds_for_the_way_the_files_were_read(
    tmp_path: Path, checked: Reading, read: Reading, fits: bool
) -> None:
    write_manifest(tmp_path / "m.csv", checked, [row("a"), row("val.mp4")])
    listing = list_videos("a", reading=read)
    if fits:
        assert apply_check(listing, tmp_path / "m.csv").train[0].frames == 30
    else:
        with pytest.raises(
            DataError, match=r"m\.csv: the videos were checked through .* run data check again"
        ):
            apply_check(listing, tmp_path / "m.csv")


HEAD = '# {"decoder": "decord", "image_template": "", "version": 1}\n'
NAMES = ",".join(COLUMNS) + "\n"
GOOD = "a.mp4,walk,train,30,25.0,24,32,ok,,abc\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", ":1: not a manifest of data check: it begins with ''"),
        ("path,label\n", ":1: not a manifest of data check: it begins with 'path,label'"),
        ("# {}\n", ":1: not a manifest"),
        (HEAD.replace("1}", "9}") + NAMES, ":1: version 9; this code reads version 1"),
        (HEAD, ":2: the columns are missing; expected path, label"),
        (HEAD + "path,label\n", ":2: the columns are path, label; expected path, label, splits"),
        (HEAD + NAMES + GOOD + "b.mp4,walk\n", ":4: 2 columns, the header has 10"),
        (HEAD + NAMES + GOOD + GOOD, ":4: 'a.mp4' stands in line 3 already"),
        (HEAD + NAMES + GOOD.replace("ok", "fine"), ":3: health 'fine'; allowed: ok, in_order"),
        (HEAD + NAMES + GOOD.replace("30", "0"), ":3: frames '0'; expected a whole number from 1"),
        (HEAD + NAMES + GOOD.replace("30", "-3"), ":3: frames '-3'; expected a whole number from 1"),
        (HEAD + NAMES + GOOD.replace("25.0", "fast"), ":3: fps 'fast'; expected a number"),
        (HEAD + NAMES + GOOD.replace("a.mp4", ""), ":3: no path"),
        (HEAD + NAMES + '"a.mp4,walk', ":3: not CSV: "),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}{fault}")


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read: No such file or directory"):
        read_manifest(tmp_path / "gone.csv")
