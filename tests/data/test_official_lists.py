"""What is said about defects of official lists, and of the videos that they name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.errors import DataError
from tests.data.miniature import WRITERS, Size
from tests.data.test_official import open_source

BOM = "\N{BYTE ORDER MARK}"

Edit = Callable[[str], str]


def append(line: str) -> Edit:
    return lambda text: f"{text}{line}"


def replace(old: str, new: str, count: int = 1) -> Edit:
    return lambda text: text.replace(old, new, count)


V1_TRAIN, V1_LABELS = "something-something-v1-train.csv", "something-something-v1-labels.csv"
V2_TRAIN, V2_LABELS = (f"labels/something-something-v2-{part}.json" for part in ("train", "labels"))
K_TRAIN, K_VAL = "annotations/train.csv", "annotations/validate.csv"
U_TRAIN, U_TEST = (f"ucfTrainTestlist/{part}list01.txt" for part in ("train", "test"))
H_CHEW = "testTrainMulti_7030_splits/chew_test_split1.txt"
CLASS = "Doing 3 things, then something"
THING = "doing thing 9 (not a cat's)"

# Two classes have two training videos and one for validation each: four lines and two.
DEFECTS = [
    (
        "something_v1",
        V1_TRAIN,
        append("12;Holding\n"),
        r"train\.csv:5: label 'Holding': none of the 174 classes",
    ),
    (
        "something_v1",
        V1_TRAIN,
        append("12;Pushing something from left to rigth\n"),
        r"train\.csv:5: .*did you mean 'Pushing something from left to right'\?",
    ),
    ("something_v1", V1_TRAIN, append("12\n"), r"train\.csv:5: expected 'id;label', got '12'"),
    ("something_v1", V1_TRAIN, append("12;a;b\n"), r"train\.csv:5: expected 'id;label'"),
    ("something_v1", V1_TRAIN, append(f"x12;{CLASS}\n"), r"train\.csv:5: expected 'id;label'"),
    (
        "something_v1",
        V1_TRAIN,
        append(f"12;{CLASS}\n"),
        r"1 of 7 videos are missing \(looked for folders of frames\):\n.*train\.csv:5: no folder '12'",
    ),
    (
        "something_v1",
        V1_TRAIN,
        append(f"3000;{CLASS}\n"),
        r"validation\.csv:1: '3000' stands in .*train\.csv:5 already",
    ),
    (
        "something_v1",
        V1_TRAIN,
        append(f"1000;{CLASS}\n"),
        r"train\.csv:5: '1000' stands in .*train\.csv:1 already",
    ),
    ("something_v1", V1_LABELS, append("One more\n"), r"labels\.csv: 175 classes; .* V1 has 174"),
    (
        "something_v1",
        V1_LABELS,
        replace("Doing 4 ", "Doing 3 "),
        r"labels\.csv:172: class 'Doing 3 .* in line 171",
    ),
    (
        "something_v1",
        V1_LABELS,
        replace("Turning the camera left", "Turning a camera left"),
        r"labels\.csv: 'Turning the camera left .* is no class; .*did you mean 'Turning a camera left",
    ),
    ("jester", "jester-v1-validation.csv", append("\0"), r"validation\.csv: not a list"),
    ("jester", "jester-v1-validation.csv", lambda text: "", r"validation\.csv: is empty"),
    ("something_v2", V2_TRAIN, replace("},\n{", "}\n{"), r"train\.json:10: not JSON"),
    ("something_v2", V2_TRAIN, lambda text: "{}", r"train\.json: expected an array of videos, got \{\}"),
    ("something_v2", V2_TRAIN, lambda text: "[]", r"the official lists name no video of 'train'"),
    (
        "something_v2",
        V2_TRAIN,
        replace('"template"', '"tmplate"'),
        r"train\.json:2: expected an object with 'id'",
    ),
    (
        "something_v2",
        V2_TRAIN,
        replace('"id": "2000",\n', ""),
        r"train\.json:10: expected an object with 'id'",
    ),
    (
        "something_v2",
        V2_TRAIN,
        replace("Pulling [", "Puling ["),
        r"train\.json:2: label .*did you mean 'Pulling",
    ),
    ("something_v2", V2_LABELS, replace('"0"', '"1"'), r"labels\.json: expected class names .* 0 to 173"),
    ("kinetics400", K_TRAIN, replace("time_end", "end"), r"train\.csv:1: the header has no column time_end"),
    ("kinetics400", K_TRAIN, append("a,b,1,11\n"), r"train\.csv:404: 4 columns, the header has 5"),
    ("kinetics400", K_TRAIN, append("doing nothing,b,1,11,train\n"), r"train\.csv: 401 classes"),
    ("kinetics400", K_VAL, append("doing thing,b,1,11,val\n"), r"validate\.csv:4: label 'doing thing'"),
    (
        "kinetics400",
        K_VAL,
        append(f"{THING},b,1,11,test\n"),
        r"validate\.csv:4: split 'test'; expected validate",
    ),
    ("kinetics400", K_VAL, append(f"{THING},b,1,x,val\n"), r"validate\.csv:4: expected an id and two"),
    (
        "ucf101",
        "ucfTrainTestlist/classInd.txt",
        replace("3 Sport", "4 Sport"),
        r"classInd\.txt:3: expected '3 ClassName'",
    ),
    (
        "ucf101",
        U_TRAIN,
        append("Sport000/v.avi\r\n"),
        r"trainlist01\.txt:5: expected 'Class/name\.avi number'",
    ),
    ("ucf101", U_TRAIN, append("Sport000/v.avi 7\r\n"), r"trainlist01\.txt:5: label 7, but Sport000 has 2"),
    (
        "ucf101",
        U_TEST,
        append("Sport00/v.avi\r\n"),
        r"testlist01\.txt:3: label 'Sport00'.*did you mean 'Sport0",
    ),
    ("ucf101", U_TEST, append("Sport000/v.avi 2\r\n"), r"testlist01\.txt:3: expected 'Class/name\.avi', got"),
    (
        "ucf101",
        U_TEST,
        append("Sport000/v_Sport000_g01_c01.avi\r\n"),
        r"testlist01\.txt:3: .*g01_c01' stands in .*trainlist01\.txt:3 already",
    ),
    (
        "ucf101",
        U_TEST,
        append("Sport000/gone.avi\r\n"),
        r"1 of 7 videos are missing \(looked for \.avi files\):\n.*testlist01\.txt:3: no file 'gone\.avi'",
    ),
    ("hmdb51", H_CHEW, append("x.avi 3 \n"), r"chew_test_split1\.txt:2: expected 'name\.avi' and 0, 1 or 2"),
    ("hmdb51", H_CHEW, append("x.mp4 1 \n"), r"chew_test_split1\.txt:2: expected 'name\.avi'"),
]


@pytest.mark.parametrize(("name", "file", "edit", "message"), DEFECTS)
def test_a_defect_is_named_by_file_and_line(
    tmp_path: Path, name: str, file: str, edit: Edit, message: str
) -> None:
    settings = WRITERS[name](tmp_path, Size(classes=2))
    open_source(settings).listing()
    path = tmp_path / file
    path.write_bytes(edit(path.read_bytes().decode()).encode())
    with pytest.raises(DataError, match=message):
        open_source(settings).listing()


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_line_ends_and_byte_order_marks_change_nothing(tmp_path: Path, name: str) -> None:
    settings = WRITERS[name](tmp_path, Size(classes=2))
    before = open_source(settings).listing()
    for path in tmp_path.rglob("*"):
        if path.suffix in (".txt", ".csv", ".json"):
            text = path.read_bytes().decode().replace("\r\n", "\n").replace("\n", "\r\n")
            path.write_bytes((BOM + text + "\r\n").encode())
    assert open_source(settings).listing() == before


@pytest.mark.parametrize(
    ("name", "files", "places"),
    [
        (
            "something_v1",
            ["something-something-v1-labels.csv", "something-something-v1-train.csv"],
            ["", "/labels"],
        ),
        (
            "something_v2",
            ["something-something-v2-train.json or train.json"],
            ["", "/labels", "/annotations"],
        ),
        ("jester", ["jester-v1-train.csv", "jester-v1-validation.csv"], ["", "/labels"]),
        ("kinetics400", ["train.csv or kinetics_train.csv", "validate.csv or val.csv"], ["", "/annotations"]),
        ("ucf101", ["classInd.txt", "trainlist01.txt", "testlist01.txt"], ["", "/ucfTrainTestlist"]),
        ("hmdb51", ["wave_test_split1.txt"], ["", "/testTrainMulti_7030_splits"]),
    ],
)
def test_every_missing_list_is_named_with_the_places_looked_in(
    tmp_path: Path, name: str, files: list[str], places: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        open_source({"type": name, "root": tmp_path}).listing()
    lines = str(caught.value).splitlines()
    for file in files:
        assert any(line.startswith(f"  {file}") for line in lines), file
    for place in places:
        assert f"  {tmp_path}{place}" in lines
    with pytest.raises(DataError, match=r"nowhere: no such folder \(data\.annotations\)"):
        open_source({"type": name, "root": tmp_path, "annotations": tmp_path / "nowhere"}).listing()
    with pytest.raises(DataError, match=r"nowhere: no such folder \(data\.root\)"):
        open_source({"type": name, "root": tmp_path / "nowhere"}).listing()


def test_missing_videos_are_counted_and_what_is_there_instead_is_told(tmp_path: Path) -> None:
    settings = WRITERS["ucf101"](tmp_path, Size(classes=3, train=6, val=2, kept_as="mp4"))
    with pytest.raises(DataError) as caught:
        open_source(settings, files="official").listing()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path}: 24 of 24 videos are missing (looked for .avi files):"
    assert lines[1].endswith("trainlist01.txt:1: no file 'v_HandStandPushups_g01_c01.avi'")
    assert lines[-3:] == [
        "and 14 more",
        "24 of them are there as .mp4 (data.files: mp4)",
        "data.missing: exclude leaves them out by name",
    ]


def test_links_folders_and_copies_of_videos(tmp_path: Path) -> None:
    source = open_source(WRITERS["ucf101"](tmp_path, Size(classes=2)))
    video = tmp_path / source.listing().train[0].path
    copy = tmp_path / "copy.avi"
    video.rename(copy)
    video.symlink_to(copy)
    assert (tmp_path / source.listing().train[0].path).is_symlink()
    copy.unlink()
    with pytest.raises(
        DataError, match=r"'UCF-101/.*g01_c01\.avi' is a link that leads nowhere or in a circle"
    ):
        source.listing()
    video.unlink()
    video.mkdir()
    with pytest.raises(DataError, match="1 of 6 videos are missing"):
        source.listing()
    video.rmdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / video.name).touch()
    with pytest.raises(DataError, match=r"trainlist01\.txt:1: .* lies in several places: .*one/v_.*two/v_"):
        source.listing()
    (tmp_path / "two" / "circle").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"two/circle: is the folder .* again, through a symbolic link"):
        source.listing()


def test_frames_with_another_template_are_named(tmp_path: Path) -> None:
    settings = WRITERS["jester"](tmp_path, Size(classes=2))
    with pytest.raises(DataError, match=r"1000: no frame 'img_00001\.jpg', its first file is '00001\.jpg'"):
        open_source(settings, image_template="img_{:05d}.jpg").listing()


def test_folders_of_videos_are_listed_once_and_frames_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = WRITERS["something_v1"](tmp_path, Size(classes=3))
    (tmp_path / "20bn-something-something-v1" / "999999").mkdir()
    listed, scan = list[str](), os.scandir

    def spy(path: Path) -> Any:
        listed.append(path.name)
        return scan(path)

    monkeypatch.setattr(os, "scandir", spy)
    open_source(settings).listing()
    # The last is the first video, whose template is checked.
    assert listed == [tmp_path.name, "20bn-something-something-v1", "1000"]
