"""Clips and views: what their randomness depends on, and what it does not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.data.dataset import ClipDataset, ViewDataset, build_loader
from study.data.decoding import ArrayReader
from study.data.manifest import Manifest, VideoEntry
from study.errors import DataError
from study.spec.data import ClipSpec
from study.spec.training import ProtocolSpec

FRAMES, HEIGHT, WIDTH = 12, 20, 28


def decode_numbered(path: Path) -> ArrayReader:
    """A video whose pixels say where they are: channels (number of the video * 16 + frame, row, column)."""
    number = int(path.stem)
    t, y, x = np.meshgrid(np.arange(FRAMES), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    return ArrayReader(np.stack([number * 16 + t, y, x], axis=-1).astype(np.uint8))


def make_manifest(count: int = 12, *, reverse: bool = False) -> Manifest:
    entries = tuple(
        VideoEntry(f"v{n}", f"{n}.mp4", n % 3, reverse=reverse and bool(n % 2)) for n in range(count)
    )
    return Manifest(Path("nowhere"), ("left", "right", "up"), {0: 1, 1: 0}, entries, entries)


def make_clips(manifest: Manifest, seed: int = 0, **options: Any) -> ClipDataset:
    clip = ClipSpec.model_validate({"frames": 4, "size": 16, "resize": None, "scales": (), **options})
    return ClipDataset(manifest, manifest.train, clip, seed, decoder=decode_numbered)


def draw_epoch(dataset: ClipDataset, epoch: int, workers: int = 0) -> list[tuple[int, int, bytes]]:
    dataset.set_epoch(epoch)
    return [
        (int(index), int(label), clip.numpy().tobytes())
        for clips, labels, indices in build_loader(dataset, 4, workers)
        for clip, label, index in zip(clips, labels, indices, strict=True)
    ]


def test_a_clip_holds_a_frame_of_each_segment_and_one_crop() -> None:
    dataset = make_clips(make_manifest(), flip=False)
    for index in range(12):
        clip, label, number = dataset[index]
        assert clip.shape == (3, 4, 16, 16)
        assert clip.dtype == torch.uint8
        assert (label, number) == (index % 3, index)
        frames = clip[0, :, 0, 0].int() - 16 * index
        assert (frames // 3).tolist() == [0, 1, 2, 3]
        top, left = int(clip[1, 0, 0, 0]), int(clip[2, 0, 0, 0])
        for t in range(4):
            assert (clip[1, t] == torch.arange(top, top + 16, dtype=torch.uint8)[:, None]).all()
            assert (clip[2, t] == torch.arange(left, left + 16, dtype=torch.uint8)[None, :]).all()


def test_a_flip_exchanges_labels_of_directions() -> None:
    dataset = make_clips(make_manifest(), flip=True)
    flipped = Counter()
    for epoch in range(20):
        for index in range(12):
            clip, label, _ = dataset[(epoch, index)]
            is_flipped = int(clip[2, 0, 0, 0]) > int(clip[2, 0, 0, -1])
            flipped[is_flipped] += 1
            assert label == ({0: 1, 1: 0, 2: 2}[index % 3] if is_flipped else index % 3)
    # 240 fair coins: mean 120, standard deviation 7.7.
    assert abs(flipped[True] - 120) < 31


def test_reversed_entries_hold_the_same_frames_backward() -> None:
    forward = make_clips(make_manifest(), flip=False)
    backward = make_clips(make_manifest(reverse=True), flip=False)
    for index in range(12):
        one, other = forward[index][0], backward[index][0]
        expected = one.flip(1) if index % 2 else one
        assert torch.equal(other, expected)


def test_randomness_depends_on_seed_epoch_and_video_alone() -> None:
    one, same, other = (
        make_clips(make_manifest()),
        make_clips(make_manifest()),
        make_clips(make_manifest(), seed=1),
    )
    first = draw_epoch(one, 0)
    assert first == draw_epoch(same, 0)
    assert draw_epoch(one, 1) != first
    assert draw_epoch(one, 0) == first
    assert draw_epoch(other, 0) != first
    # The clip of a video does not depend on which other videos there are.
    small = make_clips(make_manifest(5))
    for index in range(5):
        assert torch.equal(small[index][0], one[(0, index)][0])


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    draw_epoch(make_clips(make_manifest()), 0)
    assert (torch.rand(1), np.random.rand()) == expected


def test_loader_processes_that_outlive_an_epoch_see_the_new_one() -> None:
    plain, parallel = make_clips(make_manifest()), make_clips(make_manifest())
    loader = build_loader(parallel, 4, workers=1)
    for epoch in range(2):
        parallel.set_epoch(epoch)
        drawn = [
            (int(index), int(label), clip.numpy().tobytes())
            for clips, labels, indices in loader
            for clip, label, index in zip(clips, labels, indices, strict=True)
        ]
        assert drawn == draw_epoch(plain, epoch)


def test_an_epoch_shows_every_video_once_in_a_new_order() -> None:
    dataset = make_clips(make_manifest())
    orders = [[index for index, _, _ in draw_epoch(dataset, epoch)] for epoch in range(3)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    # The order is the same for every arm of a repeat, whatever its clips look like.
    assert orders[0] == [index for index, _, _ in draw_epoch(make_clips(make_manifest(), flip=False), 0)]


def test_only_training_drops_an_incomplete_batch() -> None:
    manifest = make_manifest(10)
    dataset = make_clips(manifest)
    assert [len(labels) for _, labels, _ in build_loader(dataset, 4)] == [4, 4]
    assert [len(labels) for _, labels, _ in build_loader(dataset, 16)] == [10]
    views = ViewDataset(manifest, manifest.val, dataset.clip, ProtocolSpec(), decoder=decode_numbered)
    indices = [index for _, _, batch in build_loader(views, 4) for index in batch.tolist()]
    assert indices == list(range(10))


def test_views_go_through_clips_and_within_a_clip_through_crops() -> None:
    manifest = make_manifest(2)
    clip = ClipSpec(frames=4, size=16, resize=None)
    views, label, index = ViewDataset(
        manifest, manifest.val, clip, ProtocolSpec(clips=2, crops=3, size=18), decoder=decode_numbered
    )[1]
    assert views.shape == (6, 3, 4, 18, 18)
    assert (label, index) == (1, 1)
    # Centers of segments of 3 frames are 1, 4, 7, 10, starts 0, 3, 6, 9; crops begin at 0, 5 and 10 of 28.
    corners = [
        (view[0, :, 0, 0].int().sub(16).tolist(), int(view[1, 0, 0, 0]), int(view[2, 0, 0, 0]))
        for view in views
    ]
    centers, starts = [1, 4, 7, 10], [0, 3, 6, 9]
    assert corners == [(frames, 1, left) for frames in (centers, starts) for left in (0, 5, 10)]


def test_both_directions_of_a_video_give_the_same_frames_in_every_view() -> None:
    entries = (VideoEntry("a#forward", "3.mp4", 0), VideoEntry("a#reversed", "3.mp4", 1, reverse=True))
    manifest = Manifest(Path("nowhere"), ("forward", "reversed"), {}, entries, entries)
    clip = ClipSpec(frames=5, size=16, resize=None)
    dataset = ViewDataset(manifest, entries, clip, ProtocolSpec(clips=3, crops=3), decoder=decode_numbered)
    (forward, _, _), (backward, _, _) = dataset[0], dataset[1]
    assert torch.equal(forward.flip(2), backward)
    assert not torch.equal(forward, backward)


def test_a_crop_that_does_not_fit_names_the_video() -> None:
    manifest = make_manifest()
    clip = ClipSpec(frames=4, size=24, resize=None, scales=())
    with pytest.raises(DataError, match=r"0\.mp4: frames of 20 x 28"):
        ViewDataset(manifest, manifest.val, clip, ProtocolSpec(), decoder=decode_numbered)[0]
    with pytest.raises(DataError, match=r"0\.mp4: frames of 20 x 28"):
        ClipDataset(manifest, manifest.train, clip, 0, decoder=decode_numbered)[0]


def test_a_cache_of_resized_frames_gives_the_same_clips_and_saves_decoding() -> None:
    manifest = make_manifest()
    opened: Counter[Path] = Counter()

    def counting(path: Path) -> ArrayReader:
        opened[path] += 1
        return decode_numbered(path)

    clip = ClipSpec.model_validate({"frames": 4, "size": 12, "resize": (16, 24), "scales": (1.0, 0.75)})
    direct = ClipDataset(manifest, manifest.train, clip, 0, decoder=decode_numbered)
    cached = ClipDataset(manifest, manifest.train, clip, 0, frame_cache_mib=1, decoder=counting)
    for epoch in (0, 1):
        assert draw_epoch(cached, epoch) == draw_epoch(direct, epoch)
    # 12 videos of 12 frames at 16 x 24 are 166 kB: every one fits and is opened once in two epochs.
    assert set(opened.values()) == {1}
