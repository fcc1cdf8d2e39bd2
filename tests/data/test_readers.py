"""Readers against PyAV and known frames, on our own videos and on real and damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from study.data.readers import Reading, find_decoder, open_video
from study.data.readers.base import ArrayReader, ShortenedReader
from study.data.readers.cache import FrameCache
from study.data.readers.decord_reader import CHUNK, DecordReader
from study.data.readers.pyav_reader import PyavReader
from study.errors import DataError

WriteVideo = Callable[..., Path]


def decode_all(path: Path, limit: int | None = None) -> np.ndarray:
    """Every frame, or the first ``limit`` ones, in order, by PyAV."""
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), limit)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def brightness(frames: np.ndarray) -> list[int]:
    """Ten times the number of each frame of a gradient video, as it is at the left."""
    return [round(float(frame[:, :4].mean()) / 10) for frame in frames]


@pytest.mark.parametrize("in_order", [False, True])
def test_frames_come_in_the_order_asked_for_and_may_repeat(
    tmp_path: Path, write_video: WriteVideo, in_order: bool
) -> None:
    reader = DecordReader(write_video(tmp_path / "a video ä.mp4"), in_order=in_order)
    assert reader.num_frames == 12
    assert brightness(reader.read([7, 0, 7, 11])) == [7, 0, 7, 11]
    assert brightness(reader.read([3])) == [3]


def test_reading_in_order_crosses_chunks(tmp_path: Path, write_video: WriteVideo) -> None:
    frames = write_video(tmp_path / "v.mp4", frames=25)
    long = tmp_path / "long.mp4"
    with av.open(str(frames)) as source, av.open(str(long), "w") as target:
        stream = target.add_stream("libx264", rate=12)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        pictures = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        for picture in pictures * 3:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode())
    wanted = [0, CHUNK - 1, CHUNK, 2 * CHUNK, 74]
    found = DecordReader(long, in_order=True).read(wanted)
    np.testing.assert_array_equal(found, DecordReader(long, in_order=True).read(range(75))[wanted])
    assert brightness(found) == [index % 25 for index in wanted]


@pytest.mark.parametrize("indices", [[12], [-1], []])
def test_frames_that_do_not_exist_are_refused(
    tmp_path: Path, write_video: WriteVideo, indices: list[int]
) -> None:
    reader = DecordReader(write_video(tmp_path / "v.mp4"))
    with pytest.raises(DataError, match=r"v\.mp4.* it has 12"):
        reader.read(indices)


@pytest.mark.parametrize("content", [b"", b"no video\n" * 50, bytes(range(256)) * 40])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"broken{suffix}: cannot be opened as a video"):
        DecordReader(path)


@pytest.mark.parametrize("reader", [DecordReader, PyavReader])
def test_what_cannot_be_opened_is_named_with_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: type
) -> None:
    (tmp_path / "v.mp4").mkdir()
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "empty.mp4").touch()
    for name, fault in {
        "gone.mp4": "no such file",
        "v.mp4": "is a folder, not a video file",
        "loop.mp4": "cannot be read: Too many levels of symbolic links",
        "lost.mp4": "is a symbolic link that leads nowhere",
        "empty.mp4": "cannot be opened as a video: the file is empty",
    }.items():
        with pytest.raises(DataError) as caught:
            reader(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {fault}"
    with pytest.raises(DataError, match=r"b\\udcff\.mp4': the name is not valid UTF-8"):
        reader(tmp_path / "b\udcff.mp4")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.mp4").write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"secret\.mp4: cannot be read: Permission denied"):
        reader(tmp_path / "secret.mp4")


def test_text_and_images_are_no_videos_though_ffmpeg_shows_them(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video\n" * 50)
    for reader in (DecordReader, PyavReader):
        with pytest.raises(DataError, match=r"notes\.txt: .*text"):
            reader(tmp_path / "notes.txt").read([0])


def test_a_truncated_file_is_named(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "short.mp4", frames=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for reader in (DecordReader, PyavReader):
        with pytest.raises(DataError, match=r"short\.mp4"):
            reader(path).read(range(20))


def test_pyav_reads_what_is_asked_for_and_no_further(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4")
    decoded = []

    def count(path: Path) -> Iterator[av.VideoFrame]:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                decoded.append(frame)
                yield frame

    monkeypatch.setattr("study.data.readers.pyav_reader.iter_frames", count)
    assert brightness(PyavReader(path).read([3, 1, 3])) == [3, 1, 3]
    assert len(decoded) == 4
    assert brightness(ShortenedReader(PyavReader(path), 8).read([7])) == [7]
    assert len(decoded) == 12


def test_reading_in_order_goes_on_or_begins_anew(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "v.mp4", frames=25)
    reader = DecordReader(path, in_order=True)
    asked: list[list[int]] = []
    batch = reader._batch

    def note(chunk: np.ndarray) -> np.ndarray:
        asked.append(chunk.tolist())
        return batch(chunk)

    monkeypatch.setattr(reader, "_batch", note)
    for wanted, decoded in (([2, 4], range(5)), ([6], range(5, 7)), ([6], range(7)), ([24, 1], range(25))):
        asked.clear()
        assert brightness(reader.read(wanted)) == wanted
        assert asked == [list(decoded)]


def test_who_reads_is_decided_by_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [Reading(), Reading("pyav"), Reading("decord"), Reading("decord", "{:05d}.jpg")]
    assert [find_decoder(reading) for reading in readings] == ["decord", "pyav", "decord", "frames"]
    monkeypatch.setattr("study.data.readers.find_spec", lambda name: None)
    assert [find_decoder(reading) for reading in readings] == ["pyav", "pyav", "decord", "frames"]
    with pytest.raises(DataError, match=r"v\.mp4: data\.decoder 'decord' is not installed"):
        open_video(Path("v.mp4"), Reading("decord"))


class CountingOpening:
    """Videos of known size that count how often each is opened."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def of(self, name: str) -> Callable[[], ArrayReader]:
        def opening() -> ArrayReader:
            self.opened.append(name)
            frames = 40 if name.startswith("long") else 2
            return ArrayReader(np.full((frames, 64, 64, 3), len(name), dtype=np.uint8))

        return opening


def test_the_cache_keeps_what_fits_and_decodes_the_rest_anew() -> None:
    # 2 frames of 64 x 64 x 3 bytes are 24 KiB; 1 MiB holds 42 such videos, or 2 long ones of 480 KiB.
    videos = CountingOpening()
    cache = FrameCache(1)
    for _ in range(3):
        for name in ("long1", "long2", "long3", "a"):
            assert cache.open(name, videos.of(name)).read([1, 0]).shape == (2, 64, 64, 3)
    assert videos.opened.count("long1") == videos.opened.count("long2") == videos.opened.count("a") == 1
    # Once more in the first round, since trying to keep it has read its beginning.
    assert videos.opened.count("long3") == 4
    none = CountingOpening()
    cache = FrameCache(0)
    for _ in range(3):
        cache.open("a", none.of("a"))
    assert none.opened == ["a"] * 3


def test_a_cached_video_reads_like_a_decoded_one(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.mp4", frames=25)
    opening = partial(DecordReader, path, in_order=True)
    cached, direct = FrameCache(8).open("v", opening), DecordReader(path)
    assert isinstance(cached, ArrayReader)
    np.testing.assert_array_equal(cached.read([5, 0, 24]), direct.read([5, 0, 24]))


def write_avi_with_b_frames(path: Path, frames: int = 60) -> Path:
    """MPEG-4 in AVI with B-frames and several key frames, as UCF-101 and HMDB-51 are distributed."""
    rng = np.random.default_rng(0)
    field = rng.integers(0, 255, (64, 64 + frames), dtype=np.uint8)
    smooth = ((field.astype(np.int32) + np.roll(field, 1, 0) + np.roll(field, 1, 1)) // 3).astype(np.uint8)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 64, "yuv420p", 2_000_000
        stream.options = {"bf": "2", "g": "12"}
        for number in range(frames):
            picture = np.repeat(smooth[:, number : number + 64, None], 3, axis=2)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
            )
        container.mux(stream.encode())
    return path


def nearest_frames(frames: np.ndarray, reference: np.ndarray) -> list[int]:
    """For each frame, the number of the reference frame that it differs from least."""
    wide = reference.astype(np.int16)
    return [int(np.abs(wide - frame).mean(axis=(1, 2, 3)).argmin()) for frame in frames.astype(np.int16)]


def test_an_avi_with_b_frames_is_read_in_order_because_seeking_in_it_is_wrong(tmp_path: Path) -> None:
    path = write_avi_with_b_frames(tmp_path / "b_frames.avi")
    reference = decode_all(path)
    indices = np.random.default_rng(1).permutation(len(reference))[:16].tolist()
    default = [DecordReader(path).read([index])[0] for index in indices]
    assert nearest_frames(np.stack(default), reference) == indices
    assert nearest_frames(DecordReader(path).read(indices), reference) == indices
    seeking = np.stack([DecordReader(path, in_order=False).read([index])[0] for index in indices])
    wrong = sum(
        found != index for found, index in zip(nearest_frames(seeking, reference), indices, strict=True)
    )
    assert wrong > len(indices) // 2


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "mmaction2/test.avi",  # XVID with B-frames: a genuine UCF-101 video
        "mmaction2/test.mp4",
        "torchcodec/testsrc2_mpeg4.avi",
        "torchcodec/testsrc2_odd_height_and_width_mpeg2.mp4",
        "torchcodec/testsrc2_vp9.webm",
    ],
)
def test_real_clips_read_as_pyav_decodes_them(shared_dir: Path, name: str) -> None:
    path = shared_dir / "data" / "clips" / name
    reference = decode_all(path, 24)
    indices = np.random.default_rng(0).integers(len(reference), size=4).tolist()
    assert nearest_frames(DecordReader(path).read(indices), reference) == indices


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    [
        "decord/video_90.mov",  # stored on its side
        "decord/video_180.mov",
        "decord/video_270.mov",
        "torchcodec/nasa_13013.mp4",  # two video streams
        "torchcodec/testsrc2_odd_width_444.mp4",
    ],
)
def test_pyav_shows_what_decord_shows(shared_dir: Path, name: str) -> None:
    path = shared_dir / "data" / "clips" / name
    ours, theirs = PyavReader(path), DecordReader(path)
    assert ours.num_frames == theirs.num_frames
    np.testing.assert_array_equal(ours.read([0, 2]), theirs.read([0, 2]))


@pytest.mark.shared
def test_pyav_reads_what_decord_cannot_open(shared_dir: Path) -> None:
    path = shared_dir / "data" / "clips" / "torchcodec" / "av1_video.mkv"
    with pytest.raises(DataError, match=r"av1_video\.mkv: cannot be opened"):
        DecordReader(path)
    assert PyavReader(path).read([3]).shape == (1, 360, 640, 3)
