"""Clips and views: what their randomness depends on, and what it does not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.data.dataset import ClipDataset, Videos, ViewDataset
from study.data.loading import build_clip_loader, build_view_loader
from study.data.manifest import Manifest, VideoEntry
from study.data.readers.base import ArrayReader
from study.data.samples import finish_clip, finish_view
from study.errors import DataError
from study.spec.clip import ClipSpec, FlowModality
from study.spec.training import ProtocolSpec
from study.spec.views import derive_views

FRAMES, HEIGHT, WIDTH = 12, 20, 28


def decode_numbered(entry: VideoEntry) -> ArrayReader:
    """A video whose pixels say where they are: channels (number of the video * 16 + frame, row, column)."""
    number = int(Path(entry.path).stem)
    t, y, x = np.meshgrid(np.arange(FRAMES), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    return ArrayReader(np.stack([number * 16 + t, y, x], axis=-1).astype(np.uint8))


def make_manifest(count: int = 12, *, reverse: bool = False) -> Manifest:
    entries = tuple(
        VideoEntry(f"v{n}", f"{n}.mp4", n % 3, reverse=reverse and bool(n % 2)) for n in range(count)
    )
    return Manifest(Path("nowhere"), ("left", "right", "up"), {0: 1, 1: 0}, entries, entries)


def make_clips(manifest: Manifest, seed: int = 0, **options: Any) -> ClipDataset:
    clip = ClipSpec.model_validate({"frames": 4, "size": 16, "resize": None, "scales": (), **options})
    return ClipDataset(Videos(manifest, manifest.train, clip, opener=decode_numbered), seed)


def make_views(manifest: Manifest, protocol: ProtocolSpec, **options: Any) -> ViewDataset:
    clip = ClipSpec.model_validate({"frames": 4, "size": 16, "resize": None, **options})
    videos = Videos(manifest, manifest.val, clip, opener=decode_numbered)
    return ViewDataset(videos, derive_views(protocol, clip))


def take(dataset: ClipDataset, key: int | tuple[int, int]) -> tuple[torch.Tensor, int, int]:
    """The finished clip, its label, its index."""
    sample = dataset[key]
    return finish_clip(sample, dataset.videos.clip), sample.label, sample.index


def take_views(dataset: ViewDataset, index: int) -> torch.Tensor:
    """All finished views of a video."""
    sample, clip = dataset[index], dataset.videos.clip
    return torch.stack([finish_view(sample, n, view, clip) for n, view in enumerate(dataset.views)])


def draw_epoch(dataset: ClipDataset, epoch: int, **options: Any) -> list[tuple[int, int, bytes]]:
    dataset.set_epoch(epoch)
    return read_batches(build_clip_loader(dataset, 4, **options), dataset.videos.clip)


def read_batches(loader: Any, clip: ClipSpec) -> list[tuple[int, int, bytes]]:
    return [
        (int(index), int(label), one.numpy().tobytes())
        for batch in loader
        for one, label, index in zip(
            batch.assemble(clip, torch.device("cpu")), batch.labels, batch.indices, strict=True
        )
    ]


def test_a_clip_holds_a_frame_of_each_segment_and_one_crop() -> None:
    dataset = make_clips(make_manifest(), flip=False)
    for index in range(12):
        clip, label, number = take(dataset, index)
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
            clip, label, _ = take(dataset, (epoch, index))
            is_flipped = int(clip[2, 0, 0, 0]) > int(clip[2, 0, 0, -1])
            flipped[is_flipped] += 1
            assert label == ({0: 1, 1: 0, 2: 2}[index % 3] if is_flipped else index % 3)
    # 240 fair coins: mean 120, standard deviation 7.7.
    assert abs(flipped[True] - 120) < 31


def test_reversed_entries_hold_the_same_frames_backward() -> None:
    forward = make_clips(make_manifest(), flip=False)
    backward = make_clips(make_manifest(reverse=True), flip=False)
    for index in range(12):
        one, other = take(forward, index)[0], take(backward, index)[0]
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
        assert torch.equal(take(small, index)[0], take(one, (0, index))[0])


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
    loader = build_clip_loader(parallel, 4, workers=1)
    for epoch in range(2):
        parallel.set_epoch(epoch)
        assert read_batches(loader, plain.videos.clip) == draw_epoch(plain, epoch)


@pytest.mark.parametrize("resize", [None, 18, (18, 24)])
def test_cropping_on_the_device_gives_the_clips_that_cropping_in_the_loader_gives(resize: Any) -> None:
    dataset = make_clips(make_manifest(), resize=resize, scales=(1.0, 0.75))
    assert draw_epoch(dataset, 0, crop_on_device=True) == draw_epoch(dataset, 0)


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
    assert [len(batch.labels) for batch in build_clip_loader(dataset, 4)] == [4, 4]
    assert [len(batch.labels) for batch in build_clip_loader(dataset, 16)] == [10]
    views = make_views(manifest, ProtocolSpec())
    indices = [index for batch in build_view_loader(views, 4) for index in batch.indices.tolist()]
    assert indices == list(range(10))


def test_views_go_through_clips_and_within_a_clip_through_crops() -> None:
    dataset = make_views(make_manifest(2), ProtocolSpec(clips=2, crops=3, size=18))
    sample, views = dataset[1], take_views(dataset, 1)
    assert views.shape == (6, 3, 4, 18, 18)
    assert (sample.label, sample.index) == (1, 1)
    # Centers of segments of 3 frames are 1, 4, 7, 10, starts 0, 3, 6, 9; crops begin at 0, 5 and 10 of 28.
    corners = [
        (view[0, :, 0, 0].int().sub(16).tolist(), int(view[1, 0, 0, 0]), int(view[2, 0, 0, 0]))
        for view in views
    ]
    centers, starts = [1, 4, 7, 10], [0, 3, 6, 9]
    assert corners == [(frames, 1, left) for frames in (centers, starts) for left in (0, 5, 10)]


def test_views_of_several_protocols_come_from_one_decoding_and_each_once() -> None:
    manifest, clip = make_manifest(2), ClipSpec(frames=4, size=16, resize=None)
    reads: list[int] = []

    class Counting(ArrayReader):
        def read(self, indices: Any) -> Any:
            reads.append(len(indices))
            return super().read(indices)

    def opener(entry: VideoEntry) -> ArrayReader:
        return Counting(decode_numbered(entry).read(range(FRAMES)))

    protocols = (ProtocolSpec(), ProtocolSpec(clips=2, crops=3), ProtocolSpec(clips=2, size=18))
    views = tuple(dict.fromkeys(view for protocol in protocols for view in derive_views(protocol, clip)))
    dataset = ViewDataset(Videos(manifest, manifest.val, clip, opener=opener), views)
    shown = take_views_by_size(dataset)
    # 6 views of 16 pixels, of which one is the first protocol's, and 2 of 18; two clips of 4 frames are read.
    assert [len(views), reads, shown] == [8, [8], {16: 6, 18: 2}]


def take_views_by_size(dataset: ViewDataset) -> Counter[int]:
    sample = dataset[0]
    finished = [finish_view(sample, n, view, dataset.videos.clip) for n, view in enumerate(dataset.views)]
    return Counter(view.shape[-1] for view in finished)


def test_views_that_show_the_same_pixels_are_known() -> None:
    # 12 frames in 16 segments: a center and a start fall on one frame everywhere only if a span is below half.
    long = make_views(make_manifest(1), ProtocolSpec(clips=2, crops=3))[0].shown
    assert len(set(long)) == 6
    short = make_views(make_manifest(1), ProtocolSpec(clips=3, sampling="dense"), stride=4)[0].shown
    assert len(set(short)) == 1


def test_a_flip_of_flow_turns_its_horizontal_part_around() -> None:
    def opener(entry: VideoEntry) -> ArrayReader:
        ramp = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8), (FRAMES, HEIGHT, WIDTH))
        return ArrayReader(np.stack([ramp, ramp + 100], axis=-1))

    clip = ClipSpec(frames=2, size=16, resize=None, scales=(), modality=FlowModality(type="flow", stack=3))
    manifest = make_manifest(1)
    dataset = ClipDataset(Videos(manifest, manifest.train, clip, opener=opener), 0)
    seen = set()
    for epoch in range(8):
        sample = dataset[(epoch, 0)]
        flow = finish_clip(sample, clip)
        assert flow.shape == (6, 2, 16, 16)
        columns = np.arange(sample.box.left, sample.box.left + 16)
        shown = columns[::-1] if sample.flip else columns
        for channel in range(6):
            expected = shown + 100 if channel % 2 else (255 - shown if sample.flip else shown)
            assert flow[channel, 0, 0].tolist() == expected.tolist()
        seen.add(sample.flip)
    assert seen == {True, False}


def test_both_directions_of_a_video_give_the_same_frames_in_every_view() -> None:
    entries = (VideoEntry("a#forward", "3.mp4", 0), VideoEntry("a#reversed", "3.mp4", 1, reverse=True))
    manifest = Manifest(Path("nowhere"), ("forward", "reversed"), {}, entries, entries)
    dataset = make_views(manifest, ProtocolSpec(clips=3, crops=3), frames=5)
    forward, backward = take_views(dataset, 0), take_views(dataset, 1)
    assert torch.equal(forward.flip(2), backward)
    assert not torch.equal(forward, backward)


def test_a_crop_that_does_not_fit_names_the_video() -> None:
    manifest = make_manifest()
    with pytest.raises(DataError, match=r"0\.mp4: frames of 20 x 28"):
        make_views(manifest, ProtocolSpec(), size=24)[0]
    with pytest.raises(DataError, match=r"0\.mp4: frames of 20 x 28"):
        make_clips(manifest, size=24)[0]


def test_a_cache_of_resized_frames_gives_the_same_clips_and_saves_decoding() -> None:
    manifest = make_manifest()
    opened: Counter[str] = Counter()

    def counting(entry: VideoEntry) -> ArrayReader:
        opened[entry.path] += 1
        return decode_numbered(entry)

    clip = ClipSpec.model_validate({"frames": 4, "size": 12, "resize": (16, 24), "scales": (1.0, 0.75)})
    direct = ClipDataset(Videos(manifest, manifest.train, clip, opener=decode_numbered), 0)
    cached = ClipDataset(Videos(manifest, manifest.train, clip, 1, counting), 0)
    for epoch in (0, 1):
        assert draw_epoch(cached, epoch) == draw_epoch(direct, epoch)
    # 12 videos of 12 frames at 16 x 24 are 166 kB: every one fits and is opened once in two epochs.
    assert set(opened.values()) == {1}
