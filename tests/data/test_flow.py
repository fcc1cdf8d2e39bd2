"""Optical flow: computed rightly, kept as the field keeps it, read without guessing."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_small

from study.data.catalog import open_dataset
from study.data.flow.compute import build_flow, compute_flow, quantize_flow, restore_flow
from study.data.flow.layouts import LAYOUTS
from study.data.flow.prepare import DONE, prepare_flow, prepare_synthetic_flow
from study.data.flow.reading import FlowReader, find_flow
from study.data.flow.video import FlowSettings
from study.data.listing import FileListing, ListedVideo
from study.data.manifest import Manifest, VideoEntry
from study.data.preparation import batch
from study.data.readers.base import Reading
from study.errors import DataError
from study.spec.clip import FlowModality
from study.spec.datasets import SyntheticMotion
from tests.data.inline_jobs import run_inline


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "run_jobs", run_inline)


def make_shifted(dx: float, dy: float, frames: int = 3, height: int = 72, width: int = 96) -> np.ndarray:
    """Frames (T, H, W, 3) of a smooth random texture that moves by (dx, dy) pixels from each to the next."""
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((height + 64, width + 64)).astype(np.float32)
    texture = sum(scale * cv2.GaussianBlur(noise, (0, 0), scale) for scale in (1.5, 3.0, 6.0))
    texture = 255 * (texture - texture.min()) / (texture.max() - texture.min())
    y, x = np.mgrid[:height, :width].astype(np.float32) + 32
    # The content at x in the first frame is at x + t dx in frame t, so that frame shows the texture at x - t dx.
    gray = [cv2.remap(texture, x - t * dx, y - t * dy, cv2.INTER_CUBIC) for t in range(frames)]
    return np.repeat(np.rint(np.clip(gray, 0, 255)).astype(np.uint8)[..., None], 3, axis=3)


@pytest.mark.parametrize("method", ["dis", "tvl1"])
@pytest.mark.parametrize("shift", [(0.5, -0.25), (1.5, 0.7), (-2.25, 3.0)])
def test_flow_of_a_moved_texture(method: str, shift: tuple[float, float]) -> None:
    flow = compute_flow(make_shifted(*shift, height=56, width=64), method)
    assert flow.shape == (2, 56, 64, 2)
    assert flow.dtype == np.float32
    inside = flow[:, 8:-8, 8:-8] - np.array(shift)
    assert np.hypot(inside[..., 0], inside[..., 1]).mean() < 0.1


@pytest.mark.parametrize("method", ["dis", "tvl1"])
def test_still_frames_have_no_flow(method: str) -> None:
    flow = compute_flow(make_shifted(0, 0), method)
    assert np.abs(flow).max() == 0
    assert np.all(quantize_flow(flow, 20) == 128)


def test_flow_does_not_depend_on_threads() -> None:
    frames = make_shifted(1.3, 0.4)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        first = compute_flow(frames, "dis")
        assert cv2.getNumThreads() == 2
        cv2.setNumThreads(1)
        assert np.array_equal(first, compute_flow(frames, "dis"))
    finally:
        cv2.setNumThreads(before)


def test_quantization_by_hand() -> None:
    flow = np.array([-1000, -20, -19.95, -10, -0.05, 0, 0.05, 10, 19.95, 20, 1000], dtype=np.float32)
    # 255 (v + 20) / 40: ..., 0.32, 63.75, 127.18, 127.5 (to even), 127.82, 191.25, 254.68, ...
    assert quantize_flow(flow, 20).tolist() == [0, 0, 0, 64, 127, 128, 128, 191, 255, 255, 255]
    assert quantize_flow(np.float32([[1.5, -2.5]]), 5).tolist() == [[166, 64]]


def test_restored_flow_is_half_a_level_off_at_most() -> None:
    flow = np.linspace(-8, 8, 4001, dtype=np.float32)
    restored = restore_flow(quantize_flow(flow, 8), 8)
    assert np.abs(restored - flow).max() <= 8 / 255 + 1e-5
    assert restore_flow(np.uint8([0, 255]), 8).tolist() == [-8, 8]


def test_flow_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        quantize_flow(np.float32([0, np.nan]), 20)


def test_frames_that_flow_cannot_be_computed_of() -> None:
    with pytest.raises(DataError, match=r"flow by 'dis' fails on frames of 6x8 pixels"):
        compute_flow(make_shifted(0, 0, height=8, width=6), "dis")
    with pytest.raises(DataError, match="two frames, there are 1"):
        compute_flow(make_shifted(0, 0, frames=1), "dis")


def test_raft_needs_weights_that_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs the weights"):
        build_flow("raft")
    with pytest.raises(DataError, match=r"none\.pth: no such file"):
        build_flow("raft", tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(DataError, match=r"text\.pth: no readable state dict"):
        build_flow("raft", tmp_path / "text.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"other\.pth: fits neither"):
        build_flow("raft", tmp_path / "other.pth")


def test_raft_is_torchvisions_on_padded_frames(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = raft_small(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    frames = make_shifted(1, 0, frames=2, height=50, width=131)
    flow = compute_flow(frames, "raft", tmp_path / "raft.pth")
    assert flow.shape == (1, 50, 131, 2)
    # By hand: 50 up to the smallest height, 131 up to the next multiple of 8, the last row and column repeated.
    padded = np.pad(frames, ((0, 0), (0, 78), (0, 5), (0, 0)), mode="edge").transpose(0, 3, 1, 2)
    images = torch.from_numpy(padded).float() / 255 * 2 - 1
    with torch.no_grad():
        expected = network(images[:1], images[1:])[-1][0, :, :50, :131].permute(1, 2, 0).numpy()
    assert np.allclose(flow[0], expected, atol=1e-3)


NAMES = {
    "tsn": ("videos/7", ["videos/7/flow_x_{:05d}.jpg", "videos/7/flow_y_{:05d}.jpg"]),
    "tsm": ("videos/7", ["videos/000007/000007-x_{:05d}.jpg", "videos/000007/000007-y_{:05d}.jpg"]),
    "trn": ("videos/7", ["videos/7/{:06d}.jpg"]),
}


def write_by_hand(root: Path, layout: str, number: int, x: int, y: int) -> None:
    """Image ``number`` of videos/7, with OpenCV and the names as published."""
    _, names = NAMES[layout]
    paths = [root / name.format(number) for name in names]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    if len(paths) == 1:
        image = np.full((16, 24, 3), (0, y, x), np.uint8)
        assert cv2.imwrite(str(paths[0]), image)
        return
    for path, value in zip(paths, (x, y), strict=True):
        assert cv2.imwrite(str(path), np.full((16, 24), value, np.uint8))


def open_flow(root: Path, layout: str, path: str = "videos/7.webm") -> FlowReader:
    return FlowReader(root, VideoEntry("v", path, 0), FlowModality(type="flow", layout=layout))


@pytest.mark.parametrize("layout", NAMES)
def test_published_names_are_read(tmp_path: Path, layout: str) -> None:
    for number in range(1, 13):
        write_by_hand(tmp_path, layout, number, 20 * number, 250 - 20 * number)
    (tmp_path / "videos/7").mkdir(exist_ok=True)
    (tmp_path / "videos/7/img_00001.jpg").write_bytes(b"a frame beside them")
    reader = open_flow(tmp_path, layout)
    assert reader.num_frames == 12
    images = reader.read([11, 0, 0, 4])
    assert images.shape == (4, 16, 24, 2)
    assert images.dtype == np.uint8
    wanted = np.array([[240, 10], [20, 230], [20, 230], [100, 150]])
    assert np.abs(images.astype(int) - wanted[:, None, None, :]).max() <= 3
    with pytest.raises(DataError, match="it has 12"):
        reader.read([12])


@pytest.mark.parametrize("layout", NAMES)
def test_written_images_come_back(tmp_path: Path, layout: str) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (4, 6, 2)).astype(np.uint8)
    image = cv2.resize(coarse, (48, 32), interpolation=cv2.INTER_CUBIC)
    images = LAYOUTS[layout](tmp_path, "videos/7.avi")
    images.folder.mkdir(parents=True)
    images.write(1, image)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")}
    assert files == {name.format(1) for name in NAMES[layout][1]}
    assert np.abs(images.read(1).astype(int) - image).mean() < 1.5


@pytest.mark.parametrize("layout", NAMES)
def test_gaps_and_empty_folders_are_told(tmp_path: Path, layout: str) -> None:
    names = NAMES[layout][1]
    folder = (tmp_path / names[0]).parent
    with pytest.raises(DataError, match="No such file"):
        open_flow(tmp_path, layout)
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"holds no flow images named like .*1\.jpg"):
        open_flow(tmp_path, layout)
    for number in (1, 2, 3, 4):
        write_by_hand(tmp_path, layout, number, 128, 128)
    for name in names:
        (tmp_path / name.format(3)).unlink()
    with pytest.raises(DataError, match=r"3\.jpg is missing, there are others up to 4"):
        open_flow(tmp_path, layout)


@pytest.mark.parametrize("layout", ["tsn", "tsm"])
def test_unequal_numbers_of_x_and_y(tmp_path: Path, layout: str) -> None:
    for number in (1, 2, 3):
        write_by_hand(tmp_path, layout, number, 128, 128)
    (tmp_path / NAMES[layout][1][1].format(3)).unlink()
    with pytest.raises(DataError, match=r"3 flow images for x and 2 for y: .*y_00003\.jpg is missing"):
        open_flow(tmp_path, layout)
    (tmp_path / NAMES[layout][1][0].format(3)).unlink()
    (tmp_path / NAMES[layout][1][0].format(1)).unlink()
    with pytest.raises(DataError, match=r"1 flow images for x and 2 for y: .*x_00001\.jpg is missing"):
        open_flow(tmp_path, layout)


def test_damaged_and_differing_images(tmp_path: Path) -> None:
    for number in (1, 2):
        write_by_hand(tmp_path, "tsn", number, 128, 128)
    path = tmp_path / NAMES["tsn"][1][1].format(2)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"flow_y_00002\.jpg: not a readable JPEG"):
        open_flow(tmp_path, "tsn").read([1])
    cv2.imwrite(str(path), np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match="differ in size"):
        open_flow(tmp_path, "tsn").read([1])


def test_tsm_names_are_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'a/v_Archery_g01\.avi': .*names are numbers; allowed: tsn, trn"):
        open_flow(tmp_path, "tsm", "a/v_Archery_g01.avi")


def test_a_dot_in_a_folders_name_stays(tmp_path: Path) -> None:
    assert LAYOUTS["tsn"](tmp_path, "a/clip.v2").folder == tmp_path / "a/clip.v2"
    assert LAYOUTS["tsn"](tmp_path, "a/clip.v2.AVI").folder == tmp_path / "a/clip.v2"


def make_manifest(root: Path, **more: object) -> Manifest:
    return Manifest(root, ("a",), {}, (VideoEntry("7", "videos/7.mp4", 0),), (), **more)  # type: ignore[arg-type]


def test_where_flow_is_looked_for(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "data", tmp_path / "flow"
    modality = FlowModality(type="flow", root=elsewhere)
    with pytest.raises(DataError, match=r"flow: no such folder \(clip.modality.root\)"):
        find_flow(make_manifest(root), modality)
    elsewhere.mkdir()
    assert find_flow(make_manifest(root), modality) == elsewhere
    assert find_flow(make_manifest(root, content="c"), modality) == elsewhere
    assert find_flow(make_manifest(root), FlowModality(type="flow")) == root
    places = {
        find_flow(make_manifest(root, content="c"), FlowModality(type="flow", **options))
        for options in ({}, {"method": "tvl1"}, {"bound": 10}, {"layout": "trn"})
    }
    assert len(places) == 4
    assert all(place.parent == root for place in places)


def test_frames_are_not_taken_for_flow(tmp_path: Path) -> None:
    frames = make_manifest(tmp_path, reading=Reading(image_template="{:06d}.jpg"))
    with pytest.raises(DataError, match="same names"):
        find_flow(frames, FlowModality(type="flow", layout="trn"))
    assert find_flow(frames, FlowModality(type="flow", layout="tsn")) == tmp_path


def write_jpegs(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, 1):
        assert cv2.imwrite(str(folder / f"{number:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 100])


def make_listing(root: Path, *paths: str) -> FileListing:
    reading = Reading(image_template="{:05d}.jpg")
    return FileListing("test", root, reading, tuple(map(ListedVideo, paths)), {})


def run_flow(listing: FileListing, out: Path, settings: FlowSettings) -> tuple[batch.BatchSummary, list[str]]:
    states: list[str] = []
    summary = prepare_flow(
        listing, out, settings, workers=1, limit_s=60, on_result=lambda result: states.append(result.state)
    )
    return summary, states


def test_flow_of_a_listing(tmp_path: Path) -> None:
    write_jpegs(tmp_path / "in/a/1", make_shifted(2.0, -1.0, frames=4))
    write_jpegs(tmp_path / "in/a/2", make_shifted(0.0, 0.0, frames=1))
    listing = make_listing(tmp_path / "in", "a/1", "a/2", "a/3")
    out = tmp_path / "out"
    summary, states = run_flow(listing, out, FlowSettings())
    assert (summary.made, states) == (1, ["made", "failed", "failed"])
    assert "has one frame; flow needs two" in summary.failures["a/2"]
    assert "cannot be read as a folder" in summary.failures["a/3"]
    images = open_flow(out, "tsn", "a/1").read([0, 1, 2])
    # 2 and -1 pixels of 20: 255 * 22 / 40 = 140.25 and 255 * 19 / 40 = 121.1.
    assert np.abs(images[:, 10:-10, 10:-10].mean((0, 1, 2)) - [140.25, 121.1]).max() < 1
    assert sorted(path.name for path in (out / "a").iterdir()) == ["1"]

    write_jpegs(tmp_path / "in/a/3", make_shifted(0.0, 1.0, frames=2))
    before = (out / "a/1/flow_x_00001.jpg").stat().st_mtime_ns
    summary, states = run_flow(listing, out, FlowSettings())
    assert (summary.made, summary.there, len(summary.failures)) == (1, 1, 1)
    assert (out / "a/1/flow_x_00001.jpg").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"bound was 20\.0, now 10"):
        run_flow(listing, out, FlowSettings(bound=10))


def test_flow_at_a_short_side_moves_fewer_pixels(tmp_path: Path) -> None:
    write_jpegs(tmp_path / "in/1", make_shifted(4.0, 0.0, frames=2))
    run_flow(make_listing(tmp_path / "in", "1"), tmp_path / "out", FlowSettings(short_side=36, bound=10))
    image = open_flow(tmp_path / "out", "tsn", "1").read([0])[0]
    assert image.shape == (36, 48, 2)
    assert abs(restore_flow(image, 10)[6:-6, 6:-6, 0].mean() - 2.0) < 0.15


def test_frames_are_never_taken_for_finished_flow(tmp_path: Path) -> None:
    write_jpegs(tmp_path / "in/1", make_shifted(1.0, 0.0, frames=2))
    with pytest.raises(DataError, match=r"in/1: is there already, not made by 'data flow'"):
        run_flow(make_listing(tmp_path / "in", "1"), tmp_path / "in", FlowSettings())
    assert len(list((tmp_path / "in/1").iterdir())) == 2


SYNTHETIC = SyntheticMotion(type="motion", train_videos=8, val_videos=4, size=32, frames=8)


def test_synthetic_flow_is_made_once_and_goes_on(tmp_path: Path) -> None:
    source = open_dataset(SYNTHETIC, tmp_path)
    source.prepare()
    manifest, modality = source.manifest(), FlowModality(type="flow")
    calls: list[tuple[int, int]] = []
    prepare_synthetic_flow(manifest, modality, lambda done, total: calls.append((done, total)))
    assert calls == [(done, 12) for done in range(13)]
    root = find_flow(manifest, modality)
    readers = [FlowReader(root, entry, modality) for entry in (*manifest.train, *manifest.val)]
    assert {reader.num_frames for reader in readers} == {7}
    assert readers[0].read([0, 6]).shape == (2, 32, 32, 2)
    assert len({reader.read(range(7)).tobytes() for reader in readers}) == 12

    calls.clear()
    prepare_synthetic_flow(manifest, modality, lambda done, total: calls.append((done, total)))
    assert not calls
    # As an interrupted run leaves it: two videos are not there, one of them half done.
    (root / DONE).unlink()
    whole = readers[0].read(range(7))
    shutil.rmtree(root / "train/00000")
    (root / "val/00003").rename(root / "val/.partial.00003")
    prepare_synthetic_flow(manifest, modality, lambda done, total: calls.append((done, total)))
    assert calls == [(10, 12), (11, 12), (12, 12)]
    assert np.array_equal(FlowReader(root, manifest.train[0], modality).read(range(7)), whole)
    assert not list(root.rglob(".partial*"))


def test_synthetic_flow_in_processes_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_dataset(SYNTHETIC, tmp_path)
    source.prepare()
    manifest, modality = source.manifest(), FlowModality(type="flow")
    root = find_flow(manifest, modality)
    prepare_synthetic_flow(manifest, modality)
    here = {path.relative_to(root): path.read_bytes() for path in root.rglob("*.jpg")}
    shutil.rmtree(root)
    monkeypatch.setattr("study.data.flow.prepare.VIDEOS_WORTH_A_PROCESS", 6)
    monkeypatch.setattr("study.data.flow.prepare.os.cpu_count", lambda: 2)
    calls: list[int] = []
    prepare_synthetic_flow(manifest, modality, lambda done, total: calls.append(done))
    assert {path.relative_to(root): path.read_bytes() for path in root.rglob("*.jpg")} == here
    assert calls == list(range(13))
    # What goes wrong in a process reaches the caller.
    shutil.rmtree(root)
    manifest.path(manifest.train[0]).write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"train/00000\.mp4: cannot be decoded"):
        prepare_synthetic_flow(manifest, modality)
    assert not (root / DONE).exists()


def test_synthetic_flow_by_raft_is_refused_with_a_way_out(tmp_path: Path) -> None:
    manifest = open_dataset(SYNTHETIC, tmp_path).manifest()
    with pytest.raises(DataError, match=r"allowed: dis, tvl1, or clip\.modality\.root"):
        prepare_synthetic_flow(manifest, FlowModality(type="flow", method="raft"))
