"""A decoder that hangs or crashes costs its own video and nothing else."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from study.data.dataset import ClipDataset, Videos, ViewDataset
from study.data.loading import build_clip_loader, build_view_loader
from study.data.manifest import Manifest, VideoEntry
from study.data.readers.base import ArrayReader
from study.errors import DataError
from study.spec.clip import ClipSpec
from study.spec.training import ProtocolSpec
from study.spec.views import derive_views

ENTRIES = tuple(VideoEntry(f"v{number}", f"{number}.mp4", 0) for number in range(10))
MANIFEST = Manifest(Path("nowhere"), ("only",), {}, ENTRIES, ENTRIES)
CLIP = ClipSpec(frames=2, size=8, resize=None, scales=(), flip=False)


def open_or_fail(entry: VideoEntry) -> ArrayReader:
    """Video 3 hangs holding the interpreter's lock, as native decoders do; 7 takes its process with it."""
    number = int(Path(entry.path).stem)
    if number == 3:
        ctypes.PyDLL(None).sleep(600)
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return ArrayReader(np.full((4, 8, 8, 3), number, np.uint8))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_epoch_goes_on_without_the_videos_that_hang_or_crash(workers: int) -> None:
    dataset = ClipDataset(Videos(MANIFEST, ENTRIES, CLIP, opener=open_or_fail), 0)
    good = ClipDataset(
        Videos(MANIFEST, ENTRIES, CLIP, opener=lambda e: ArrayReader(np.zeros((4, 8, 8, 3), np.uint8))), 0
    )
    loader = build_clip_loader(dataset, 2, workers=workers, limit_s=3.0)
    for epoch in range(2):
        dataset.set_epoch(epoch)
        good.set_epoch(epoch)
        batches = list(loader)
        planned = [batch.indices.tolist() for batch in build_clip_loader(good, 2)]
        # The others come in the batches in which they would have come.
        kept = [[index for index in batch if index not in (3, 7)] for batch in planned]
        assert [batch.indices.tolist() for batch in batches] == [batch for batch in kept if batch]
        for batch in batches:
            pixels = batch.assemble(CLIP, torch.device("cpu"))[:, 0, 0, 0, 0]
            assert pixels.tolist() == batch.indices.tolist()
    assert loader.killed == {
        "v3": "decoding took longer than 3 s; its process was killed",
        "v7": "its decoder crashed",
    }


def test_a_decoder_that_crashes_ahead_does_not_disturb_the_step_that_is_at_work() -> None:
    """PyTorch's own handler would raise an error there, in the middle of training."""
    handler = signal.getsignal(signal.SIGCHLD)
    entries = [entry for entry in ENTRIES if entry.video_id not in ("v3", "v9")]
    dataset = ClipDataset(Videos(MANIFEST, entries, CLIP, opener=open_or_fail), 0)
    loader = build_clip_loader(dataset, 2, workers=1)
    delivered = []
    for batch in loader:
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            pass
        delivered += batch.indices.tolist()
        assert signal.getsignal(signal.SIGCHLD) == handler
    assert loader.killed == {"v7": "its decoder crashed"}
    assert len(delivered) == len(entries) - 1


def test_a_share_of_which_nothing_is_left_comes_all_the_same() -> None:
    """Another process has the rest of the batch, and waits for this one."""
    dataset = ClipDataset(Videos(MANIFEST, ENTRIES, CLIP, opener=open_or_fail), 0)
    loader = build_clip_loader(dataset, 2, workers=1, limit_s=2.0, share=lambda batch: batch[:1])
    planned = [
        batch.indices.tolist()[:1]
        for batch in build_clip_loader(
            ClipDataset(
                Videos(
                    MANIFEST, ENTRIES, CLIP, opener=lambda e: ArrayReader(np.zeros((4, 8, 8, 3), np.uint8))
                ),
                0,
            ),
            2,
        )
    ]
    left_out = {3, 7} & {index for share in planned for index in share}
    assert left_out, "no video that fails is in these shares"
    batches = list(loader)
    assert [b.indices.tolist() for b in batches] == [
        [i for i in share if i not in left_out] for share in planned
    ]
    for batch in batches:
        clips = batch.assemble(CLIP, torch.device("cpu"))
        assert clips.shape == (len(batch.indices), 3, 2, 8, 8)
        assert (batch.labels.dtype, batch.indices.dtype, clips.dtype) == (
            torch.int64,
            torch.int64,
            torch.uint8,
        )


def test_a_damaged_video_is_told_and_never_left_out_silently() -> None:
    def open_damaged(entry: VideoEntry) -> ArrayReader:
        raise DataError(f"{entry.path}: damaged")

    views = derive_views(ProtocolSpec(), CLIP)
    for workers in (0, 1):
        dataset = ViewDataset(Videos(MANIFEST, ENTRIES, CLIP, opener=open_damaged), views)
        with pytest.raises(DataError, match=r"0\.mp4: damaged"):
            list(build_view_loader(dataset, 2, workers=workers))
