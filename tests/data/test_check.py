"""Looking at videos: sound, wrong on random access, cut short, damaged; and the check of many."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from study.data.health import Health
from study.data.health import check as checking
from study.data.health.check import CheckSummary, check_files, draw_sample
from study.data.health.manifest_file import CheckedVideo, read_manifest
from study.data.health.probe import COLOR_BOUND, Probe, ProbeJob, hash_content, probe_video
from study.data.listing import FileListing, ListedVideo, list_folder
from study.data.readers import Frames, Reading, open_video
from study.data.readers.base import Indices
from study.data.readers.decord_reader import DecordReader
from study.errors import DataError

WriteVideo = Callable[..., Path]
PYAV = Reading("pyav")


def make_drift(frames: int) -> np.ndarray:
    """A smooth random pattern that moves a pixel each frame, (T, 64, 64, 3)."""
    field = np.random.default_rng(0).integers(0, 255, (64, 64 + frames)).astype(np.int32)
    smooth = ((field + np.roll(field, 1, 0) + np.roll(field, 1, 1)) // 3).astype(np.uint8)
    return np.stack([np.repeat(smooth[:, t : t + 64, None], 3, axis=2) for t in range(frames)])


def encode(path: Path, codec: str, options: dict[str, str], container: dict[str, str] | None = None) -> Path:
    with av.open(str(path), "w", options=container) as target:
        stream = target.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt, stream.bit_rate, stream.options = "yuv420p", 1_000_000, dict(options)
        for picture in make_drift(60):
            target.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
            )
        target.mux(stream.encode())
    return path


def probe(path: Path, reading: Reading | None = None) -> Probe:
    return probe_video(ProbeJob(path, reading or Reading()))


def cut(path: Path, part: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def flip_bits(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(content) * 4 // 10, len(content) * 6 // 10, 30):
        content[place] ^= 0x55
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("reading", [Reading(), PYAV])
def test_a_sound_video_is_described(tmp_path: Path, write_video: WriteVideo, reading: Reading) -> None:
    path = write_video(tmp_path / "a video ä.mp4", frames=20, height=24, width=32)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert probe(path, reading) == Probe(Health.OK, "", 20, 12.0, 24, 32, digest)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("b_frames.avi", "mpeg4", {"bf": "2", "g": "12"}),
        (
            "open_gop.mp4",
            "libx264",
            {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0"},
        ),
    ],
)
def test_seeking_that_gives_wrong_frames_is_noticed(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, codec, options)
    found = probe(path)
    assert (found.health, found.frames) == (Health.IN_ORDER, 60)
    assert found.reason.startswith("seeking to frames ")
    # What never seeks is right anyway.
    assert probe(path, PYAV).health is Health.OK
    closed = {"g": "12", "bf": "0"} if codec == "mpeg4" else {"g": "12", "x264-params": "open-gop=0"}
    assert probe(encode(tmp_path / f"closed_{name}", codec, closed)).health is Health.OK


@pytest.mark.parametrize("bound", [COLOR_BOUND, 255.0])
def test_wrong_frames_that_come_in_order_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: float
) -> None:
    # Were frames allowed to differ by anything, each should still be more like itself than like its neighbor.
    monkeypatch.setattr("study.data.health.probe.COLOR_BOUND", bound)
    path = encode(tmp_path / "v.mp4", "libx264", {})
    read = DecordReader.read
    monkeypatch.setattr(
        DecordReader, "read", lambda self, wanted: read(self, [max(0, n - 1) for n in wanted])
    )
    found = probe(path)
    assert found.health is Health.WRONG
    assert "are not those that PyAV decodes" in found.reason


@pytest.mark.parametrize("last", [-1, 20, 58])
def test_seeking_that_fails_is_left_to_reading_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    read = DecordReader.read

    def fail(reader: DecordReader, wanted: Indices) -> Frames:
        if len(wanted) == 1 and wanted[0] > last:
            raise DataError("cannot seek")
        return read(reader, wanted)

    path = encode(tmp_path / "v.mp4", "libx264", {})
    monkeypatch.setattr(DecordReader, "read", fail)
    found = probe(path)
    assert (found.health, found.frames) == (Health.IN_ORDER, 60)


def test_a_header_that_promises_too_many_frames(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "v.avi", "mpeg4", {"bf": "0"}), 0.8)
    with av.open(str(path)) as container:
        intact = [not frame.is_corrupt for frame in container.decode(video=0)]
    good = intact.index(False) if False in intact else len(intact)
    assert 30 < good < 60
    for reading in (Reading(), PYAV):
        found = probe(path, reading)
        assert (found.health, found.frames) == (Health.SHORT, good)
        assert found.reason.startswith(f"{good} of 60 frames decode")
        assert len(open_video(path, reading).read(range(good))) == good


@pytest.mark.parametrize(
    ("name", "codec", "part", "reading", "reason"),
    [
        ("v.avi", "mpeg4", 0.3, Reading(), "only "),
        ("v.mp4", "libx264", 0.6, Reading(), "cannot be opened as a video: "),
        ("v.mp4", "libx264", 0.6, PYAV, "cannot be opened as a video: "),
        ("v.mkv", "libx264", 0.3, Reading(), "only "),
    ],
)
def test_files_cut_off_are_told(
    tmp_path: Path, name: str, codec: str, part: float, reading: Reading, reason: str
) -> None:
    found = probe(cut(encode(tmp_path / name, codec, {"g": "6"}), part), reading)
    assert found.health is Health.UNREADABLE
    assert found.reason.startswith(reason)
    assert str(tmp_path) not in found.reason
    assert len(found.digest) == 64


def test_a_truncated_mp4_with_its_index_in_front(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", "libx264", {"g": "10"}, {"movflags": "faststart"})
    found = probe(cut(path, 0.4), PYAV)
    assert (found.health, found.frames) == (Health.UNREADABLE, 0)
    assert " of 60 frames decode" in found.reason


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "mpeg4"), ("v.mp4", "libx264")])
def test_damage_in_the_middle_is_told(tmp_path: Path, name: str, codec: str) -> None:
    found = probe(flip_bits(encode(tmp_path / name, codec, {})))
    assert not found.health.fit
    assert "frame " in found.reason


def test_what_is_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    (tmp_path / "notes.txt").write_text("no video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    cv2.imwrite(str(tmp_path / "frame.jpg"), np.zeros((24, 32, 3), np.uint8))
    reasons = {
        "text.mp4": "cannot be opened as a video: Invalid data found",
        "notes.txt": "is text, not a video",
        "empty.mp4": "cannot be opened as a video: the file is empty",
        "folder.mp4": "is a folder, not a video file",
        "loop.mp4": "cannot be read: Too many levels of symbolic links",
        "frame.jpg": "is an image, not a video",
        "gone.mp4": "no such file",
        "b\udcff.mp4": "no such file",
    }
    for name, reason in reasons.items():
        for reading in (Reading(), PYAV):
            found = probe(tmp_path / name, reading)
            assert found.health is Health.UNREADABLE
            assert found.reason.startswith(reason), name


def test_whatever_a_decoder_raises_is_a_verdict(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for 10^12 pixels")

    path = write_video(tmp_path / "v.mp4")
    monkeypatch.setattr("study.data.health.probe.decode_reference", fail)
    assert probe(path).reason == "MemoryError: no room for 10^12 pixels"


def test_folders_of_frames(tmp_path: Path) -> None:
    for name in ("sound", "damaged"):
        (tmp_path / name).mkdir()
        for number in range(1, 6):
            cv2.imwrite(str(tmp_path / name / f"{number:05d}.jpg"), np.zeros((24, 32, 3), np.uint8))
    cut(tmp_path / "damaged" / "00005.jpg", 0.5)
    reading = Reading(image_template="{:05d}.jpg")
    sound, damaged = probe(tmp_path / "sound", reading), probe(tmp_path / "damaged", reading)
    assert (sound.health, sound.frames, sound.height, sound.width) == (Health.OK, 5, 24, 32)
    assert damaged.health is Health.UNREADABLE
    assert "00005.jpg: not a readable JPEG: Truncated" in damaged.reason
    before = hash_content(tmp_path / "sound")
    (tmp_path / "sound" / "00002.jpg").rename(tmp_path / "sound" / "00009.jpg")
    assert len({before, hash_content(tmp_path / "sound"), damaged.digest}) == 3


def answer(job: ProbeJob) -> Probe:
    """In place of looking: what the name of the file asks for."""
    if job.path.stem == "hang":
        ctypes.PyDLL(None).sleep(60)
    if job.path.stem == "stop":
        raise KeyboardInterrupt
    return Probe(Health.OK, frames=3, height=8, width=8, digest=job.path.read_text())


def list_files(root: Path, *names: str) -> FileListing:
    for name in names:
        if not (root / name).exists():
            (root / name).write_text(name)
    return FileListing("folder", root, Reading(), tuple(ListedVideo(name) for name in names), {})


def test_a_check_of_many_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, manifest = list_files(tmp_path, "a.mp4", "hang.mp4", 'c ,"ä\n.mp4', "d.mp4"), tmp_path / "m.csv"
    monkeypatch.setattr(checking, "probe_video", answer)
    seen: list[tuple[int, int, str]] = []

    def note(done: int, total: int, row: CheckedVideo) -> None:
        seen.append((done, total, row.path))
        if done == 3 and len(seen) == 3:
            raise KeyboardInterrupt

    def check() -> CheckSummary:
        return check_files(listing, manifest=manifest, workers=1, limit_s=1.0, on_result=note)

    with pytest.raises(KeyboardInterrupt):
        check()
    assert not manifest.exists()
    with (tmp_path / "m.csv.partial").open("a") as file:
        file.write('d.mp4,,,3,"torn')
    (tmp_path / "a.mp4").write_text("changed")
    seen.clear()
    summary = check()
    # The first has changed, the last was not looked at, the other two were.
    assert seen == [(3, 4, "a.mp4"), (4, 4, "d.mp4")]
    assert (summary.resumed, summary.manifest) == (2, manifest)
    assert summary.counts == {Health.OK: 3, Health.TIMEOUT: 1}
    assert [row.path for row in summary.unfit] == ["hang.mp4"]
    head, rows = read_manifest(manifest)
    assert head == {"version": 1, "decoder": "decord", "image_template": ""}
    assert rows == summary.rows
    assert [row.digest for row in rows] == ["changed", "", 'c ,"ä\n.mp4', "d.mp4"]
    assert list(tmp_path.glob("m.csv.*")) == []


def test_a_sample_is_spread_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = tuple(ListedVideo(str(number)) for number in range(1000))
    drawn = [int(video.path) for video in draw_sample(videos, 10)]
    assert [number // 100 for number in drawn] == list(range(10))
    assert draw_sample(videos, 10) == draw_sample(videos, 10)
    assert len({number % 100 for number in drawn}) > 5
    assert draw_sample(videos[:3], 10) == videos[:3]
    listing = list_files(tmp_path, "a", "b", "c")
    monkeypatch.setattr(checking, "probe_video", answer)
    summary = check_files(listing, manifest=tmp_path / "m.csv", sample=2, limit_s=20)
    assert (len(summary.rows), summary.manifest) == (2, None)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    listing = list_files(tmp_path, "a")
    with pytest.raises(DataError, match=r"a/m\.csv\.partial: cannot be written: .*--manifest"):
        check_files(listing, manifest=tmp_path / "a" / "m.csv")


def test_a_folder_is_listed_with_all_that_may_be_meant(tmp_path: Path) -> None:
    for name in (
        "b.mp4",
        "sub dir/ä.webm",
        "sub dir/x.txt",
        ".hidden/c.mp4",
        ".d.mp4",
        "folder.manifest.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.manifest.csv.partial").touch()
    (tmp_path / "dir.mp4").mkdir()
    (tmp_path / "lost.mp4").symlink_to("nowhere")
    paths = [video.path for video in list_folder(tmp_path).videos]
    assert paths == ["b.mp4", "dir.mp4", "lost.mp4", "sub dir/x.txt", "sub dir/ä.webm"]
    (tmp_path / "sub dir" / "00001.jpg").touch()
    frames = list_folder(tmp_path, Reading(image_template="{:05d}.jpg"))
    assert [video.path for video in frames.videos] == ["sub dir"]
    (tmp_path / "sub dir" / "up").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"up.*symbolic link"):
        list_folder(tmp_path)


SHARED_VERDICTS = {
    "decord/corrupted.mp4": Health.UNREADABLE,
    "torchcodec/animated.gif": Health.UNREADABLE,
    "torchcodec/av1_video.mkv": Health.UNREADABLE,
    "torchcodec/discard_first_keyframe.mp4": Health.IN_ORDER,
    "torchcodec/frame_exceeds_screen.gif": Health.UNREADABLE,
    "torchcodec/gradient.gif": Health.UNREADABLE,
    "torchcodec/h265_video.mp4": Health.IN_ORDER,
    "torchcodec/sine_mono_mp3.swf": Health.UNREADABLE,
    "torchcodec/sine_stereo_mp2.mpg": Health.IN_ORDER,
    "torchcodec/testsrc2_av1_10bit.mp4": Health.UNREADABLE,
    "torchcodec/transparent.gif": Health.UNREADABLE,
}
"""Through decord; all others are sound."""


@pytest.mark.shared
def test_real_clips_get_the_right_verdicts(shared_dir: Path, tmp_path: Path) -> None:
    listing = list_folder(shared_dir / "data" / "clips")
    assert len(listing.videos) >= 53
    summary = check_files(listing, manifest=tmp_path / "m.csv", workers=2, limit_s=60)
    found = {row.path: row.health for row in summary.rows if row.health is not Health.OK}
    # Seeking to its last frame gives, once in ten times, the one that was read before. In order it is right.
    assert found.pop("mmaction2/test.avi", Health.IN_ORDER) is Health.IN_ORDER
    assert found == SHARED_VERDICTS
