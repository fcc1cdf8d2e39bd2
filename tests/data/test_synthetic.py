"""Synthetic videos: what decides a class, what does not, and that the files hold what was rendered."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from study.data import generation
from study.data.catalog import open_dataset
from study.data.datasets.appearance import AppearanceDataset
from study.data.datasets.motion import PAIRS, MotionDataset
from study.data.generation import VideoPlan
from study.data.readers.decord_reader import DecordReader
from study.data.synthetic import SHAPES, encode_video
from study.errors import DataError
from study.spec.datasets import SyntheticAppearance, SyntheticMotion

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {"train_videos": 26, "val_videos": 14, "size": 24, "frames": 16}


def make_motion(cache: Path, **options: object) -> MotionDataset:
    spec = SyntheticMotion.model_validate({"type": "motion", **SMALL, **options})
    return MotionDataset(spec, cache)


def make_appearance(cache: Path, **options: object) -> AppearanceDataset:
    spec = SyntheticAppearance.model_validate({"type": "appearance", **SMALL, **options})
    return AppearanceDataset(spec, cache)


def decode_all(path: Path) -> np.ndarray:
    """Every frame, in order, by PyAV."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_classes_come_in_pairs_and_a_flip_maps_classes_to_classes(tmp_path: Path) -> None:
    source = make_motion(tmp_path)
    names, flips = source.classes, source.flip_map
    assert len(names) == len(set(names)) == source.num_classes == 2 * len(PAIRS)
    assert {names[a]: names[b] for a, b in flips.items()} == {
        "moving left to right": "moving right to left",
        "moving right to left": "moving left to right",
        "dodging left, then right": "dodging right, then left",
        "dodging right, then left": "dodging left, then right",
    }


@pytest.mark.parametrize("index", [0, 3, 11])
@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_a_twin_is_the_reversal_and_nothing_else_depends_on_the_label(
    tmp_path: Path, pair: int, index: int
) -> None:
    # The random numbers of video `index` are those of any label, so the two videos differ in direction alone.
    source = make_motion(tmp_path)
    forward = source.render(VideoPlan("train", index, 2 * pair))
    backward = source.render(VideoPlan("train", index, 2 * pair + 1))
    np.testing.assert_array_equal(backward, forward[::-1])
    assert not np.array_equal(backward, forward)


def test_no_order_blind_statistic_tells_twins_apart(tmp_path: Path) -> None:
    # Mean, spread and extremes over the frames of 60 videos a class differ by chance only.
    source = make_motion(tmp_path, size=16)
    for pair in range(len(PAIRS)):
        rows = []
        for twin in (0, 1):
            videos = [source.render(VideoPlan("train", 60 * twin + i, 2 * pair + twin)) for i in range(60)]
            values = np.stack([video.astype(np.float64) for video in videos]).mean(axis=-1)
            by_frame = values.mean(axis=(2, 3))
            rows.append(np.stack([by_frame.mean(1), by_frame.std(1), by_frame.max(1), by_frame.min(1)]))
        gap = np.abs(rows[0].mean(1) - rows[1].mean(1))
        error = np.sqrt(rows[0].var(1) / 60 + rows[1].var(1) / 60)
        assert (gap < 4 * error).all(), PAIRS[pair].forward


def test_the_direction_of_time_shows_in_an_order_aware_statistic(tmp_path: Path) -> None:
    # The brightness of "coming closer" rises with the object's size, that of "going away" falls.
    source = make_motion(tmp_path, distractors=0, noise=0.0, jitter=0.0)
    label = source.classes.index("coming closer")
    for index in range(10):
        for twin, sign in ((0, 1), (1, -1)):
            video = source.render(VideoPlan("val", index, label + twin)).astype(np.float64)
            brightness = video.mean(axis=(1, 2, 3))
            assert sign * (brightness[-1] - brightness[0]) > 0


def test_a_flip_of_a_mirrored_class_moves_the_other_way(tmp_path: Path) -> None:
    source = make_motion(tmp_path, distractors=0, noise=0.0, jitter=0.0, size=40)
    label = source.classes.index("moving left to right")
    # Where the picture differs from its median over time is where the object is.
    for index in range(6):
        video = source.render(VideoPlan("val", index, label)).astype(np.float64)
        for frames, sign in ((video, 1), (video[:, :, ::-1], -1)):
            changed = np.abs(frames - np.median(frames, axis=0)).sum(axis=(1, 3))
            centers = (changed * np.arange(40)).sum(axis=1) / changed.sum(axis=1)
            assert sign * (centers[-1] - centers[0]) > 5


def test_pixels_depend_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    plan = VideoPlan("train", 4, 7)
    video = make_motion(tmp_path).render(plan)
    np.testing.assert_array_equal(video, make_motion(tmp_path / "elsewhere", train_videos=900).render(plan))
    assert not np.array_equal(video, make_motion(tmp_path, seed=1).render(plan))
    assert not np.array_equal(video, make_motion(tmp_path).render(VideoPlan("train", 5, 7)))


def test_training_and_validation_share_no_texture(tmp_path: Path) -> None:
    source = make_motion(tmp_path, distractors=0, jitter=0.0, noise=0.0)

    def corners(split: str) -> set[bytes]:
        """The corner pixels of every video, at their median over time: the texture where nothing passes."""
        pixels = set()
        for index in range(200):
            video = source.render(VideoPlan(split, index, 6))
            pixels.add(np.median(video[:, ::23, ::23], axis=0).astype(np.uint8).tobytes())
        return pixels

    train, val = corners("train"), corners("val")
    assert not train & val
    # Each split reuses its own: 64 and 32 textures, a few corners hidden by the object.
    assert 50 <= len(train) <= 90
    assert 25 <= len(val) <= 60


@pytest.mark.parametrize("make", [make_motion, make_appearance])
def test_the_frames_of_this_version_are_these(tmp_path: Path, make: type) -> None:
    """When this fails the generator has changed: raise synthetic.VERSION and put the new digests here."""
    source = make(tmp_path, distractors=2, jitter=0.05, noise=0.1)
    videos = [
        source.render(VideoPlan(split, i, i % source.num_classes))
        for split in ("train", "val")
        for i in range(12)
    ]
    digest = hashlib.sha256(b"".join(video.tobytes() for video in videos)).hexdigest()[:16]
    assert digest == {"motion": "f1e7d8c99bc75c30", "appearance": "782bc70342d8005a"}[source.family]


def test_manifest_spreads_classes_and_its_digest_covers_content(tmp_path: Path) -> None:
    source = make_motion(tmp_path)
    manifest = source.manifest()
    assert not any(tmp_path.iterdir())  # nothing was made
    assert Counter(entry.label for entry in manifest.train) == {n: 2 + (n < 2) for n in range(12)}
    assert len(manifest.val) == 14
    assert manifest.digest == make_motion(tmp_path / "moved").manifest().digest
    others = [make_motion(tmp_path, **change) for change in ({"seed": 1}, {"noise": 0.3}, {"val_videos": 15})]
    assert len({manifest.digest, *(other.manifest().digest for other in others)}) == 4


def test_files_decode_to_what_was_rendered_in_either_decoder(tmp_path: Path) -> None:
    source = make_motion(tmp_path, size=40, frames=24, noise=0.01, train_videos=12, val_videos=2)
    calls: list[tuple[int, int]] = []
    source.prepare(lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, 14)
    assert calls[-1] == (14, 14)
    manifest = source.manifest()
    for entry, plan in zip(manifest.train, source.plan_videos("train"), strict=True):
        rendered = source.render(plan).astype(np.int16)
        reference = decode_all(manifest.path(entry))
        assert reference.shape == rendered.shape
        # Color is stored at half the resolution, so brightness is compared.
        assert np.abs(reference.mean(-1) - rendered.mean(-1)).mean() < 2.5
        reader = DecordReader(manifest.path(entry))
        assert reader.num_frames == 24
        for indices in (range(24), [23, 0, 11, 11, 3]):
            difference = np.abs(reader.read(indices).astype(np.int16) - reference[list(indices)])
            assert difference.max() <= 3  # two versions of the conversion from YUV


def test_compression_leaves_no_trace_of_the_direction(tmp_path: Path) -> None:
    frames = make_motion(tmp_path, size=40, frames=24).render(VideoPlan("train", 0, 8))
    encode_video(tmp_path / "forward.mp4", frames, 12)
    encode_video(tmp_path / "backward.mp4", frames[::-1], 12)
    np.testing.assert_array_equal(
        decode_all(tmp_path / "forward.mp4"), decode_all(tmp_path / "backward.mp4")[::-1]
    )
    with av.open(str(tmp_path / "forward.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert all(packet.is_keyframe for packet in container.demux(video=0) if packet.size)


def test_prepare_goes_on_where_it_stopped_and_makes_nothing_twice(tmp_path: Path) -> None:
    source = make_motion(tmp_path)
    source.prepare()
    files = sorted(source.root.rglob("*.mp4"))
    assert len(files) == 40
    stamps = {file: file.stat().st_mtime_ns for file in files}
    source.prepare(lambda done, total: pytest.fail("made something again"))
    victim = files[7]
    content = victim.read_bytes()
    victim.unlink()
    (source.root / "complete").unlink()
    source.prepare()
    assert victim.read_bytes() == content
    assert {file: file.stat().st_mtime_ns for file in files if file != victim} == {
        file: stamp for file, stamp in stamps.items() if file != victim
    }
    assert not list(source.root.rglob("*.partial"))


def test_several_processes_make_the_same_files_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_motion(tmp_path / "one").prepare()
    monkeypatch.setattr(generation, "VIDEOS_WORTH_A_PROCESS", 10)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    calls: list[tuple[int, int]] = []
    several = make_motion(tmp_path / "several")
    several.prepare(lambda done, total: calls.append((done, total)))
    assert calls == [(done, 40) for done in range(41)]
    for file in several.root.rglob("*.mp4"):
        twin = tmp_path / "one" / file.relative_to(tmp_path / "several")
        assert file.read_bytes() == twin.read_bytes()


def test_a_script_without_a_main_guard_may_prepare(tmp_path: Path) -> None:
    # Children of multiprocessing would run the script again and wait for the lock of their parent.
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from study.data import generation\n"
        "from study.data.catalog import open_dataset\n"
        "from study.spec.datasets import SyntheticMotion\n"
        "generation.VIDEOS_WORTH_A_PROCESS, os.cpu_count = 5, lambda: 2\n"
        "spec = SyntheticMotion(type='motion', train_videos=8, val_videos=4, size=16, frames=8)\n"
        f"open_dataset(spec, Path({str(tmp_path)!r})).prepare()\n"
    )
    subprocess.run([sys.executable, script], check=True, timeout=60, cwd=REPOSITORY)
    assert len(list(tmp_path.rglob("*.mp4"))) == 12


def test_a_process_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "VIDEOS_WORTH_A_PROCESS", 10)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    source = make_motion(tmp_path)
    with pytest.raises(DataError, match=r"motion-\w+: cannot write videos"):
        source.prepare()
    assert not (source.root / "complete").exists()


def _prepare(cache: Path) -> None:
    make_motion(cache).prepare()


def test_two_processes_may_prepare_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_prepare, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    source = make_motion(tmp_path)
    assert len(list(source.root.rglob("*.mp4"))) == 40
    assert (source.root / "complete").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file"):
        make_motion(tmp_path / "file").prepare()


def test_appearance_is_told_by_single_frames(tmp_path: Path) -> None:
    source = make_appearance(tmp_path)
    names = source.classes
    assert len(names) == 10
    assert {names[a]: names[b] for a, b in source.flip_map.items()} == {
        "striped left hook": "striped right hook",
        "striped right hook": "striped left hook",
        "dotted left hook": "dotted right hook",
        "dotted right hook": "dotted left hook",
    }
    # The track is the same whatever the class, and the look is not.
    one, other = (source.render(VideoPlan("train", 0, label)) for label in (0, 2))
    assert not np.array_equal(one, other)


def test_a_mirror_turns_one_hook_into_the_other_and_leaves_the_rest(tmp_path: Path) -> None:
    axis = np.linspace(-1.2, 1.2, 25)
    u, v = np.meshgrid(axis, axis)
    for name, distance in SHAPES.items():
        twin = {"left hook": "right hook", "right hook": "left hook"}.get(name, name)
        np.testing.assert_allclose(distance(-u, v), SHAPES[twin](u, v), atol=1e-12)


def test_the_catalog_opens_what_the_specification_names(tmp_path: Path) -> None:
    assert isinstance(open_dataset(SyntheticMotion(type="motion"), tmp_path), MotionDataset)
    assert isinstance(open_dataset(SyntheticAppearance(type="appearance"), tmp_path), AppearanceDataset)
