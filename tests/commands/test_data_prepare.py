"""``data prepare`` and ``data flow``: what they write, print and return."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from study.commands.data_flow import FlowOptions, compute_dataset_flow
from study.commands.data_prepare import PrepareOptions, choose_template, prepare_dataset
from study.data.listing import FileListing, list_folder
from study.data.manifest import VideoEntry
from study.data.opening import build_opener
from study.data.preparation import batch
from study.data.readers import open_video
from study.data.readers.base import Reading
from study.data.synthetic import encode_video
from study.errors import DataError
from study.spec.clip import FlowModality
from tests.data.conftest import make_gradient
from tests.data.inline_jobs import run_inline
from tests.data.test_flow import make_manifest


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "run_jobs", run_inline)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with one video, videos/7.mp4, of 6 frames of 48x64 pixels."""
    path = tmp_path / "in" / "videos" / "7.mp4"
    path.parent.mkdir(parents=True)
    encode_video(path, make_gradient(6, 48, 64), 12)
    return tmp_path / "in"


def test_preparing_in_processes(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "notes.txt").write_text("not a video")
    options = PrepareOptions(videos, tmp_path / "out", short_side=24, workers=1)
    assert prepare_dataset("folder", options) == 1
    output = capsys.readouterr()
    assert "1 videos transcoded and verified, 0 were there before." in output.out
    assert f"1 failed; why: {tmp_path}/out/data_prepare.failures.csv" in output.out
    assert f"data.root={tmp_path}/out" in output.out
    assert "notes.txt: cannot be decoded" in output.err
    reader = open_video(tmp_path / "out/videos/7.mp4", Reading())
    assert reader.read(range(6)).shape == (6, 24, 32, 3)
    (videos / "notes.txt").unlink()
    assert prepare_dataset("folder", options) == 0
    assert "0 videos transcoded and verified, 1 were there before." in capsys.readouterr().out


@pytest.mark.usefixtures("inline")
def test_extracting(videos: Path, tmp_path: Path) -> None:
    options = PrepareOptions(
        videos, tmp_path / "out", form="frames", short_side=None, image_template="{:03d}.jpg"
    )
    assert prepare_dataset("folder", options) == 0
    assert len(list((tmp_path / "out/videos/7").iterdir())) == 6
    assert cv2.imread(str(tmp_path / "out/videos/7/006.jpg")).shape == (48, 64, 3)


@pytest.mark.parametrize(
    "template", ["frame.jpg", "{}-{}.jpg", "a/{}.jpg", "{:05d}.png", "{:05q}.jpg", "{name}.jpg"]
)
def test_names_of_frames_need_one_number(videos: Path, tmp_path: Path, template: str) -> None:
    options = PrepareOptions(videos, tmp_path / "out", form="frames", image_template=template)
    with pytest.raises(DataError, match=r"--image-template .*expected one number"):
        prepare_dataset("folder", options)
    assert not (tmp_path / "out").exists()


def test_names_of_frames_are_the_data_sets_own(tmp_path: Path) -> None:
    listing = FileListing("x", tmp_path, Reading(), (), {})
    options = PrepareOptions(tmp_path, tmp_path / "out")
    assert choose_template("something_v2", options, listing) == "{:06d}.jpg"
    assert choose_template("ucf101", options, listing) == "img_{:05d}.jpg"
    frames = FileListing("x", tmp_path, Reading(image_template="{:04d}.jpg"), (), {})
    assert choose_template("folder", options, frames) == "{:04d}.jpg"


@pytest.mark.usefixtures("inline")
def test_flow_that_was_computed_is_found(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compute_dataset_flow("folder", FlowOptions(videos, bound=5.0, layout="tsm", workers=1)) == 0
    out = tmp_path / "in-flow-dis"
    told = capsys.readouterr().out
    assert "1 videos computed and verified" in told
    assert f"clip.modality.root={out}" in told
    assert (out / "videos/000007/000007-x_00005.jpg").exists()
    # What the line printed says is what training needs.
    settings = dict(part.split("=") for part in told.split() if part.startswith("clip.modality."))
    modality = FlowModality.model_validate(
        {key.removeprefix("clip.modality."): v for key, v in settings.items()}
    )
    reader = build_opener(make_manifest(videos), modality)(VideoEntry("7", "videos/7.mp4", 0))
    images = reader.read(range(5))
    assert images.shape == (5, 48, 64, 2)
    assert np.ptp(images) < 128
    assert compute_dataset_flow("folder", FlowOptions(videos, bound=5.0, layout="tsm", workers=1)) == 0
    assert "0 videos computed and verified, 1 were there before." in capsys.readouterr().out
    (videos / "videos/8.mp4").write_bytes(b"")
    assert compute_dataset_flow("folder", FlowOptions(videos, bound=5.0, layout="tsm", workers=1)) == 1
    assert f"1 failed; why: {out}/data_flow.failures.csv" in capsys.readouterr().out


@pytest.mark.usefixtures("inline")
def test_what_the_commands_leave_behind_is_no_video(videos: Path, tmp_path: Path) -> None:
    (videos / "notes.txt").write_text("not a video")
    assert prepare_dataset("folder", PrepareOptions(videos, tmp_path / "out")) == 1
    names = [video.path for video in list_folder(tmp_path / "out").videos]
    assert "videos/7.mp4" in names
    assert not [name for name in names if name.startswith(".")]


def test_raft_without_weights_is_told_at_once(videos: Path) -> None:
    with pytest.raises(DataError, match="--weights"):
        compute_dataset_flow("folder", FlowOptions(videos, method="raft"))
