"""Folders of frames: sound, incomplete, misnamed and damaged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from study.data.readers.frame_folder import FrameFolderReader
from study.errors import DataError

TEMPLATE = "{:05d}.jpg"


def write_frames(folder: Path, numbers: list[int], template: str = TEMPLATE) -> Path:
    """Gray frames of brightness 10 times their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / template.format(number)), np.full((24, 32, 3), 10 * number, np.uint8))
    return folder


def brightness(frames: np.ndarray) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in frames]


@pytest.mark.parametrize("template", [TEMPLATE, "img_{:05d}.jpg", "frame {:d}ä.jpg", "a+({:06d}).jpg"])
def test_frames_come_in_the_order_asked_for(tmp_path: Path, template: str) -> None:
    folder = write_frames(tmp_path / "a video ä", list(range(1, 13)), template)
    # Flow lies beside the frames in the layout of TSN.
    write_frames(folder, [1, 2, 3], "flow_x_{:05d}.jpg")
    (folder / "Thumbs.db").touch()
    reader = FrameFolderReader(folder, template)
    assert reader.num_frames == 12
    # Frame 0 is the image that is called 1.
    assert brightness(reader.read([11, 0, 11, 9])) == [12, 1, 12, 10]
    with pytest.raises(DataError, match=r"a video ä: frames \[12\] asked for, it has 12"):
        reader.read([12])


@pytest.mark.parametrize(
    ("numbers", "template", "fault"),
    [
        ([1, 2, 4, 5], TEMPLATE, "frame 00003.jpg is missing; the last is 5"),
        ([2, 3], TEMPLATE, "frame 00001.jpg is missing"),
        ([0, 1, 2], TEMPLATE, "frames are counted from 1, but there is a 00000.jpg"),
        ([], TEMPLATE, "holds no frames named like 00001.jpg; it is empty"),
        ([1, 2], "{:d}.jpg", "holds no frames named like 00001.jpg; its first file is '1.jpg'"),
        ([1, 2], "{:05d}.JPG", "holds no frames named like 00001.jpg; its first file is '00001.JPG'"),
        ([1, 2], "img_{:05d}.jpg", "holds no frames named like 00001.jpg; its first file is 'img_00001.jpg'"),
    ],
)
def test_gaps_and_wrong_names_are_told(tmp_path: Path, numbers: list[int], template: str, fault: str) -> None:
    folder = write_frames(tmp_path / "v", numbers, template)
    with pytest.raises(DataError) as caught:
        FrameFolderReader(folder, TEMPLATE)
    assert str(caught.value).startswith(f"{folder}: {fault}")


def test_a_missing_folder_and_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "v").touch()
    for name, fault in {"gone": "No such file or directory", "v": "Not a directory"}.items():
        with pytest.raises(DataError, match=f"{name}: cannot be read as a folder of frames: {fault}"):
            FrameFolderReader(tmp_path / name, TEMPLATE)


def test_damaged_images_are_told(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", [1, 2, 3, 4, 5, 6])
    sound = (folder / "00001.jpg").read_bytes()
    contents = {2: sound[: len(sound) // 2], 3: b"hello" * 9, 4: b""}
    for number, content in contents.items():
        (folder / TEMPLATE.format(number)).write_bytes(content)
    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((24, 32, 3), np.uint8))
    (tmp_path / "x.png").rename(folder / "00005.jpg")
    (folder / "00006.jpg").unlink()
    (folder / "00006.jpg").mkdir()
    reader = FrameFolderReader(folder, TEMPLATE)
    faults = {
        2: "Truncated File Read",
        3: "it starts with b'hell'",
        4: "the file is empty",
        5: "it starts with b'\\x89PNG'",
        6: "Is a directory",
    }
    for number, fault in faults.items():
        with pytest.raises(DataError) as caught:
            reader.read([0, number - 1])
        assert str(caught.value) == f"{folder / TEMPLATE.format(number)}: not a readable JPEG: {fault}"


def test_differing_sizes_are_told(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", [1, 2])
    cv2.imwrite(str(folder / "00002.jpg"), np.zeros((20, 40, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"v: .*differ in size: 00001\.jpg has 32 x 24, 00002\.jpg has 40 x 20"
    ):
        FrameFolderReader(folder, TEMPLATE).read([0, 1])


def test_grayscale_and_cmyk_become_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    folder.mkdir()
    Image.new("L", (32, 24), 90).save(folder / "00001.jpg")
    Image.new("RGB", (32, 24), (200, 100, 50)).convert("CMYK").save(folder / "00002.jpg", quality=95)
    Image.new("RGB", (32, 24), (200, 100, 50)).save(folder / "00003.jpg", quality=95)
    frames = FrameFolderReader(folder, TEMPLATE).read([0, 1, 2])
    means = frames.reshape(3, -1, 3).mean(axis=1)
    np.testing.assert_allclose(means, [[90, 90, 90], [200, 100, 50], [200, 100, 50]], atol=4)
