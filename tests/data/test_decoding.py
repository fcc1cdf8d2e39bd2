"""Decoding against PyAV, on our own videos and on real and damaged ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from study.data.decoding import CHUNK, ArrayReader, DecordReader, FrameCache
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


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.mp4: no such file"):
        DecordReader(tmp_path / "gone.mp4")
    with pytest.raises(DataError, match="no such file"):
        DecordReader(tmp_path)


def test_a_truncated_file_is_named(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "short.mp4", frames=20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"short\.mp4"):
        DecordReader(path).read(range(20))


class CountingDecoder:
    """A decoder that counts how often each file is opened."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __call__(self, path: Path) -> ArrayReader:
        self.opened.append(path.name)
        frames = 40 if path.name.startswith("long") else 2
        return ArrayReader(np.full((frames, 64, 64, 3), len(path.name), dtype=np.uint8))


def test_the_cache_keeps_what_fits_and_decodes_the_rest_anew() -> None:
    # 2 frames of 64 x 64 x 3 bytes are 24 KiB; 1 MiB holds 42 such videos, or 2 long ones of 480 KiB.
    decoder = CountingDecoder()
    cache = FrameCache(1, decoder)
    for _ in range(3):
        for name in ("long1", "long2", "long3", "a"):
            assert cache.open(Path(name)).read([1, 0]).shape == (2, 64, 64, 3)
    assert decoder.opened.count("long1") == decoder.opened.count("long2") == decoder.opened.count("a") == 1
    # Once more in the first round, since trying to keep it has read its beginning.
    assert decoder.opened.count("long3") == 4
    none = CountingDecoder()
    cache = FrameCache(0, none)
    for _ in range(3):
        cache.open(Path("a"))
    assert none.opened == ["a"] * 3


def test_a_cached_video_reads_like_a_decoded_one(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.mp4")
    cached, direct = FrameCache(8).open(path), DecordReader(path)
    assert isinstance(cached, ArrayReader)
    np.testing.assert_array_equal(cached.read([5, 0, 11]), direct.read([5, 0, 11]))


def write_avi_with_b_frames(path: Path, frames: int = 60) -> Path:
    """MPEG-4 in AVI with B-frames and several key frames, as UCF-101 and HMDB-51 are distributed."""
    rng = np.random.default_rng(0)
    field = rng.integers(0, 255, (64, 64 + frames), dtype=np.uint8)
    smooth = ((field.astype(np.int32) + np.roll(field, 1, 0) + np.roll(field, 1, 1)) // 3).astype(np.uint8)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25)
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
