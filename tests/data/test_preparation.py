"""Transcoding and extracting frames: all frames, in order, upright, verified, resumable."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from filelock import FileLock

from study.data.listing import FileListing, ListedVideo, list_folder
from study.data.preparation import batch
from study.data.preparation.extract import fit_picture, fit_size, iter_pictures, strip_suffix
from study.data.preparation.prepare import PrepareSettings, prepare_files
from study.data.preparation.transcode import write_mp4
from study.data.preparation.verify import Samples, measure_luma_psnr, verify_frames, verify_mp4
from study.data.readers import open_video
from study.data.readers.base import Reading
from study.data.readers.frame_folder import FrameFolderReader
from study.errors import DataError
from tests.data.inline_jobs import run_inline

COUNT = 30


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "run_jobs", run_inline)


def make_pictures(count: int = COUNT, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames (T, H, W, 3) whose brightness, 8 t, tells their number; a red block sits at the upper left."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames += (8 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    frames[:, : height // 4, : width // 4] = (240, 20, 40)
    return frames


def write_avi(path: Path, frames: np.ndarray) -> Path:
    """XVID's kind: MPEG-4 with B-frames in AVI, where decord seeks wrongly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"bf": "2", "g": "9", "qscale": "2", "flags": "+qscale"}
        stream.codec_context.qmin, stream.codec_context.qmax = 1, 3
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def numbers_of(frames: np.ndarray) -> list[int]:
    """Numbers of frames of :func:`make_pictures`, from the brightness of their lower half."""
    return [round(float(frame[frame.shape[0] // 2 :].mean()) / 8) for frame in frames]


def list_files(root: Path, *paths: str, reading: Reading | None = None) -> FileListing:
    return FileListing("test", root, reading or Reading(), tuple(map(ListedVideo, paths)), {})


def run(
    listing: FileListing, out: Path, settings: PrepareSettings, limit_s: float = 60.0
) -> tuple[batch.BatchSummary, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    summary = prepare_files(
        listing,
        out,
        settings,
        workers=1,
        limit_s=limit_s,
        on_result=lambda result: told.append((result.path, result.state)),
    )
    return summary, told


MP4, FRAMES = PrepareSettings("mp4"), PrepareSettings("frames")


@pytest.mark.usefixtures("inline")
def test_transcoding_an_avi_with_b_frames(tmp_path: Path) -> None:
    write_avi(tmp_path / "in/Kick/v_Kick g01.é.avi", make_pictures())
    listing = list_folder(tmp_path / "in")
    summary, told = run(listing, tmp_path / "out", MP4)
    assert told == [("Kick/v_Kick g01.é.avi", "made")]
    assert (summary.made, summary.failures, summary.failures_file) == (1, {}, None)
    path = tmp_path / "out/Kick/v_Kick g01.é.mp4"
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 25
        assert stream.start_time == 0
    # No reordering: what is stored first is shown first.
    assert len(packets) == COUNT
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
    reader = open_video(path, Reading())
    assert reader.num_frames == COUNT
    backward = [reader.read([number])[0] for number in reversed(range(COUNT))]
    assert numbers_of(np.array(backward)) == list(reversed(range(COUNT)))
    assert np.abs(backward[0][2, 2].astype(int) - (240, 20, 40)).max() < 20


def test_decoding_can_start_every_eight_frames(tmp_path: Path) -> None:
    write_mp4(tmp_path / "still.mp4", np.repeat(make_pictures(1), COUNT, axis=0), Fraction(25))
    with av.open(str(tmp_path / "still.mp4")) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert [number for number, is_key in enumerate(keys) if is_key] == [0, 8, 16, 24]


@pytest.mark.usefixtures("inline")
def test_extracting_frames(tmp_path: Path) -> None:
    write_avi(tmp_path / "in/a/x.avi", make_pictures(height=45, width=63))
    run(
        list_folder(tmp_path / "in"), tmp_path / "out", PrepareSettings("frames", image_template="{:06d}.jpg")
    )
    folder = tmp_path / "out/a/x"
    assert sorted(path.name for path in folder.iterdir()) == [f"{n:06d}.jpg" for n in range(1, COUNT + 1)]
    frames = FrameFolderReader(folder, "{:06d}.jpg").read(range(COUNT))
    assert frames.shape == (COUNT, 45, 63, 3)
    assert numbers_of(frames) == list(range(COUNT))
    assert np.abs(frames[0, 2, 2].astype(int) - (240, 20, 40)).max() < 20


@pytest.mark.usefixtures("inline")
def test_frames_become_a_video(tmp_path: Path) -> None:
    write_avi(tmp_path / "in/x.avi", make_pictures())
    run(list_folder(tmp_path / "in"), tmp_path / "frames", FRAMES)
    reading = Reading(image_template="img_{:05d}.jpg")
    run(list_files(tmp_path / "frames", "x", reading=reading), tmp_path / "out", MP4)
    assert numbers_of(open_video(tmp_path / "out/x.mp4", Reading()).read(range(COUNT))) == list(range(COUNT))


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((240, 320), {"short_side": 256}, (240, 320)),
        ((240, 320), {"short_side": 256, "upscale": True}, (256, 341)),
        ((1080, 1920), {"short_side": 256, "even": True}, (256, 456)),  # 455.1
        ((1920, 1080), {"short_side": 256}, (455, 256)),
        ((300, 300), {"short_side": 101, "even": True}, (102, 102)),
        ((45, 63), {"short_side": None, "even": True}, (46, 64)),
        ((45, 63), {"short_side": None}, (45, 63)),
        ((1000, 2), {"short_side": 1}, (500, 1)),
    ],
)
def test_sizes(shape: tuple[int, int], options: dict[str, object], expected: tuple[int, int]) -> None:
    assert fit_size((*shape, 3), **options) == expected  # type: ignore[arg-type]


def test_an_odd_picture_keeps_its_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    fitted = fit_picture(picture, (6, 8))
    assert np.array_equal(fitted[:5, :7], picture)
    assert np.array_equal(fitted[5, :7], picture[4])
    assert np.array_equal(fitted[:5, 7], picture[:, 6])


def test_shrinking_averages_areas() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[::2] = 200
    assert np.all(fit_picture(picture, (2, 2)) == 100)


@pytest.mark.usefixtures("inline")
def test_odd_and_large_videos_get_even_sizes(tmp_path: Path) -> None:
    frames = make_pictures(4, 61, 81)
    write_mp4_444(tmp_path / "in/odd.mp4", frames)
    run(list_folder(tmp_path / "in"), tmp_path / "whole", MP4)
    run(list_folder(tmp_path / "in"), tmp_path / "small", PrepareSettings("mp4", 30))
    assert open_video(tmp_path / "whole/odd.mp4", Reading()).read([0]).shape[1:3] == (62, 82)
    # 81 * 30 / 61 = 39.8
    assert open_video(tmp_path / "small/odd.mp4", Reading()).read([0]).shape[1:3] == (30, 40)


def write_mp4_444(path: Path, frames: np.ndarray, **options: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p" if options else "yuv444p"
        stream.options = options or {"crf": "10"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def watch(frames: np.ndarray) -> Samples:
    samples = Samples()
    assert sum(1 for _ in samples.watch(frames)) == len(frames)
    return samples


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 40, 999])
def test_samples_are_even_and_hold_both_ends(count: int) -> None:
    frames = np.broadcast_to(np.arange(count)[:, None, None, None], (count, 1, 1, 3))
    samples = watch(frames)
    kept = sorted(samples.pictures)
    assert samples.count == count
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert min(count, 8) <= len(kept) <= 17
    assert len(set(np.diff(kept[:-1]).tolist())) <= 1
    assert all(samples.pictures[number][0, 0, 0] == number for number in kept)


def test_verification_of_a_video(tmp_path: Path) -> None:
    path, frames = tmp_path / "x.mp4", make_pictures()
    write_mp4(path, frames, Fraction(25))
    verify_mp4(path, watch(frames))
    with pytest.raises(DataError, match="30 frames were written, the source has 31"):
        verify_mp4(path, watch(np.concatenate([frames, frames[-1:]])))
    with pytest.raises(DataError, match="30 frames were written, the source has 29"):
        verify_mp4(path, watch(frames[:-1]))
    with pytest.raises(DataError, match=r"frame 0 differs from the source: .* dB, allowed: 30 or more"):
        verify_mp4(path, watch(frames[::-1]))
    with pytest.raises(DataError, match="frame 0 is"):
        verify_mp4(path, watch(frames[:, :40]))


def test_verification_finds_wrong_seeking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.data.readers import decord_reader

    path, frames = tmp_path / "x.avi", make_pictures()
    write_avi(path, frames)
    monkeypatch.setattr(decord_reader, "SEEKABLE", frozenset({".avi"}))
    with pytest.raises(DataError, match=r"seeking frame \d+ gives another picture"):
        verify_mp4(path, watch(frames))


def test_verification_of_frames(tmp_path: Path) -> None:
    frames = make_pictures(3)
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), frame[..., ::-1])
    verify_frames(tmp_path, "{}.jpg", watch(frames))
    cv2.imwrite(str(tmp_path / "2.jpg"), frames[0] + 60)
    with pytest.raises(DataError, match="frame 1 differs from the source"):
        verify_frames(tmp_path, "{}.jpg", watch(frames))
    (tmp_path / "3.jpg").unlink()
    with pytest.raises(DataError, match="2 frames were written, the source has 3"):
        verify_frames(tmp_path, "{}.jpg", watch(frames))


def test_psnr_by_hand() -> None:
    gray = np.full((4, 4, 3), 100, np.uint8)
    # 20 log10(255 / 5) = 34.15 dB
    assert measure_luma_psnr(gray, gray + 5) == pytest.approx(34.151, abs=1e-3)
    assert measure_luma_psnr(gray, gray) == float("inf")


@pytest.mark.usefixtures("inline")
def test_failures_are_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    write_avi(root / "good.avi", make_pictures(4))
    write_avi(root / "twin.avi", make_pictures(4))
    write_avi(root / "twin.mkv", make_pictures(4))
    (root / "text.mp4").write_text("no video\n" * 100)
    (root / "empty.webm").write_bytes(b"")
    names = ("text.mp4", "empty.webm", "gone.avi", "twin.avi", "twin.mkv", "../in/good.avi", "good.avi")
    summary, told = run(list_files(root, *names), out, MP4)
    assert summary.made == 1
    assert {path for path, state in told if state == "failed"} == set(names[:-1])
    assert "text.mp4: cannot be decoded" in summary.failures["text.mp4"]
    assert "gone.avi: no such file" in summary.failures["gone.avi"]
    assert "would both become" in summary.failures["twin.avi"]
    assert "lies outside" in summary.failures["../in/good.avi"]
    assert summary.failures_file is not None
    with summary.failures_file.open(newline="") as file:
        rows = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert rows == summary.failures
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == [
        "data_prepare.failures.csv",
        "good.mp4",
    ]
    assert not list(out.rglob(".partial*"))
    # Once nothing fails, nothing says that something had.
    summary, told = run(list_files(root, "good.avi"), out, MP4)
    assert told == [("good.avi", "there")]
    assert not (out / "data_prepare.failures.csv").exists()


@pytest.mark.usefixtures("inline")
def test_what_is_left_of_an_interrupted_run_is_made_anew(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    write_avi(root / "a.avi", make_pictures(4))
    write_avi(root / "b.avi", make_pictures(4))
    run(list_files(root, "a.avi"), out, FRAMES)
    partial = out / ".partial.b"
    partial.mkdir()
    (partial / "img_00077.jpg").write_bytes(b"half")
    before = (out / "a/img_00001.jpg").stat().st_mtime_ns
    _, told = run(list_folder(root), out, FRAMES)
    assert told == [("a.avi", "there"), ("b.avi", "made")]
    assert (out / "a/img_00001.jpg").stat().st_mtime_ns == before
    assert len(list((out / "b").iterdir())) == 4
    assert not partial.exists()


@pytest.mark.usefixtures("inline")
def test_a_folder_holds_videos_made_in_one_way(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    write_avi(root / "a.avi", make_pictures(4))
    run(list_folder(root), out, PrepareSettings("mp4", 32))
    with pytest.raises(
        DataError, match="made with other settings: short_side was 32, now 30; give another --out"
    ):
        run(list_folder(root), out, PrepareSettings("mp4", 30))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/a.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"foreign/a\.mp4: is there already, not made by 'data prepare'"):
        run(list_folder(root), tmp_path / "foreign", MP4)
    with (
        FileLock(out / ".data_prepare.lock"),
        pytest.raises(DataError, match="another 'data prepare' is at work in this folder"),
    ):
        run(list_folder(root), out, PrepareSettings("mp4", 32))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: cannot be written"):
        run(list_folder(root), tmp_path / "file", MP4)


@pytest.mark.usefixtures("inline")
def test_sources_are_never_replaced(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_mp4_444(root / "a.mp4", make_pictures(4))
    before = (root / "a.mp4").read_bytes()
    with pytest.raises(DataError, match="is there already"):
        run(list_folder(root), root, MP4)
    # Even where an earlier run has written there.
    write_avi(root / "b.avi", make_pictures(4))
    run(list_files(root, "b.avi"), root, MP4)
    summary, _ = run(list_files(root, "a.mp4"), root, MP4)
    assert "would be replaced" in summary.failures["a.mp4"]
    assert (root / "a.mp4").read_bytes() == before


def test_a_video_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    write_avi(root / "long.avi", np.repeat(make_pictures(8, 480, 640), 60, axis=0))
    summary, told = run(list_files(root, "long.avi"), out, MP4, limit_s=1.0)
    assert told == [("long.avi", "failed")]
    assert summary.failures["long.avi"] == "no end after 1 s; its process was killed"
    assert not list(out.rglob(".partial*"))


def test_names_without_endings() -> None:
    assert strip_suffix("a/b.c/x.y.AVI") == "a/b.c/x.y"
    assert strip_suffix("a/Mr. Smith") == "a/Mr. Smith"
    assert strip_suffix("-3K.webm") == "-3K"


@pytest.mark.shared
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotated_videos_come_out_upright(shared_dir: Path, turn: int) -> None:
    path = shared_dir / f"data/clips/decord/video_{turn}.mov"
    pictures = np.stack(list(iter_pictures(path, Reading())))
    # decord turns frames by the header as well.
    decord = pytest.importorskip("decord")
    expected = decord.VideoReader(str(path)).get_batch(range(len(pictures))).asnumpy()
    assert np.array_equal(pictures, expected)


@pytest.mark.shared
@pytest.mark.usefixtures("inline")
def test_a_genuine_avi_of_ucf101(shared_dir: Path, tmp_path: Path) -> None:
    root = shared_dir / "data/clips/mmaction2"
    summary, _ = run(list_files(root, "test.avi"), tmp_path, MP4)
    assert not summary.failures
    reader = open_video(tmp_path / "test.mp4", Reading())
    source = [frame.to_ndarray(format="rgb24") for frame in av.open(str(root / "test.avi")).decode(video=0)]
    assert reader.num_frames == len(source) == 164
    order = np.random.default_rng(0).permutation(164)[:40]
    random = [reader.read([int(number)])[0] for number in order]
    ordered = open_video(tmp_path / "test.mp4", Reading(), in_order=True).read(range(164))
    assert all(
        np.array_equal(picture, ordered[number]) for number, picture in zip(order, random, strict=True)
    )
    assert min(measure_luma_psnr(*pair) for pair in zip(ordered, source, strict=True)) > 36


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("form", ["mp4", "frames"])
def test_odd_clips_are_prepared_or_told(shared_dir: Path, tmp_path: Path, form: str) -> None:
    root = shared_dir / "data/clips"
    names = [
        *("torchcodec/discard_first_keyframe.mp4", "torchcodec/testsrc2_odd_height_and_width_vp9_10bit.mp4"),
        *("torchcodec/transparent.gif", "torchcodec/sine_mono_mp3.swf", "decord/corrupted.mp4"),
        *("decord/video_90.mov", "torchcodec/bt2020_10bit.mp4"),
    ]
    summary, _ = run(list_files(root, *names), tmp_path, PrepareSettings(form, 120))  # type: ignore[arg-type]
    assert "holds no video" in summary.failures["torchcodec/sine_mono_mp3.swf"]
    assert set(summary.failures) <= {"torchcodec/sine_mono_mp3.swf", "decord/corrupted.mp4"}
