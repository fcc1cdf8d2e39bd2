"""torch data sets over a manifest: random clips for training, fixed views for testing.

What a training clip looks like depends on (seed, epoch, video id) and on nothing else: not on the model, the
number of loader processes or the place of the video in the order. So all arms of one repeat see the same
clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from study.data import transforms
from study.data.decoding import Decoder, DecordReader, FrameCache
from study.data.manifest import Manifest, VideoEntry
from study.data.resizing import resizing
from study.data.sampling import sample_test, sample_train
from study.errors import DataError
from study.seeding import derive_seed
from study.spec.data import ClipSpec
from study.spec.training import ProtocolSpec

Item = tuple[Tensor, int, int]
"""A clip or views, the label, and the index of the entry."""


class ClipDataset(Dataset[Item]):
    """Training clips: (clip uint8 (C, T, H, W), label, index).

    An item is asked for by its index, or by (epoch, index) as :class:`EpochSampler` does, which also reaches
    loader processes that live through several epochs.

    Args:
        manifest: the data set.
        entries: the videos of this split.
        clip: how clips are drawn.
        seed: seed of the repeat; every arm of a repeat has the same one.
        frame_cache_mib: memory for decoded and resized videos, mebibytes.
        decoder: opens the videos.
    """

    def __init__(
        self,
        manifest: Manifest,
        entries: Sequence[VideoEntry],
        clip: ClipSpec,
        seed: int,
        frame_cache_mib: int = 0,
        decoder: Decoder = DecordReader,
    ) -> None:
        self.manifest = manifest
        self.entries = tuple(entries)
        self.clip = clip
        self.seed = seed
        self.epoch = 0
        self._cache = FrameCache(frame_cache_mib, resizing(decoder, clip.resize))

    def set_epoch(self, epoch: int) -> None:
        """Draw the clips, and a loader's order, of ``epoch`` from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: int | tuple[int, int]) -> Item:
        epoch, index = (self.epoch, key) if isinstance(key, int) else key
        entry = self.entries[index]
        rng = np.random.default_rng(derive_seed("clip", self.seed, epoch, entry.video_id))
        path = self.manifest.path(entry)
        reader = self._cache.open(path)
        images = reader.read(sample_train(reader.num_frames, self.clip.frames, rng))
        frames = transforms.to_frames(images)
        try:
            box = transforms.draw_training_box(frames.shape[-2], frames.shape[-1], self.clip, rng)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        frames = transforms.crop_frames(frames, box, self.clip.size)
        label = entry.label
        if self.clip.flip and rng.random() < 0.5:
            frames, label = transforms.flip_frames(frames), self.manifest.flip_map.get(label, label)
        return transforms.to_clip(frames, reverse=entry.reverse), label, index


class ViewDataset(Dataset[Item]):
    """Test views: (views uint8 (V, C, T, H, W), label, index), clip by clip and crop by crop within a clip.

    Args:
        manifest: the data set.
        entries: the videos of this split.
        clip: how frames are resized and how many make a clip.
        protocol: which clips and crops are taken.
        frame_cache_mib: memory for decoded and resized videos, mebibytes.
        decoder: opens the videos.
    """

    def __init__(
        self,
        manifest: Manifest,
        entries: Sequence[VideoEntry],
        clip: ClipSpec,
        protocol: ProtocolSpec,
        frame_cache_mib: int = 0,
        decoder: Decoder = DecordReader,
    ) -> None:
        self.manifest = manifest
        self.entries = tuple(entries)
        self.clip = clip
        self.protocol = protocol
        self._cache = FrameCache(frame_cache_mib, resizing(decoder, clip.resize))

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Item:
        entry = self.entries[index]
        path = self.manifest.path(entry)
        reader = self._cache.open(path)
        indices = sample_test(reader.num_frames, self.clip.frames, self.protocol.clips)
        frames = transforms.to_frames(reader.read(indices.reshape(-1)))
        size = self.protocol.size or self.clip.size
        try:
            boxes = transforms.place_test_boxes(frames.shape[-2], frames.shape[-1], size, self.protocol.crops)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        views = [
            transforms.to_clip(transforms.crop_frames(clip, box, size), reverse=entry.reverse)
            for clip in frames.reshape(*indices.shape, *frames.shape[1:])
            for box in boxes
        ]
        return torch.stack(views), entry.label, index


class EpochSampler(Sampler[tuple[int, int]]):
    """A permutation of the training videos that depends on the data set's seed and epoch alone."""

    def __init__(self, dataset: ClipDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self._dataset.epoch
        rng = np.random.default_rng(derive_seed("data-order", self._dataset.seed, epoch))
        return ((epoch, int(index)) for index in rng.permutation(len(self._dataset)))


def build_loader(dataset: ClipDataset | ViewDataset, batch_size: int, workers: int = 0) -> DataLoader[Any]:
    """A loader of batches (clips or views, labels, indices).

    Training clips come in an order drawn anew for each epoch (call ``dataset.set_epoch`` before iterating),
    and the incomplete batch at the end is dropped unless it is the only one. Views come in the order of their
    entries, all of them.

    Args:
        dataset: training clips or test views.
        batch_size: videos in a batch.
        workers: processes that decode; they stay from one epoch to the next. 0 decodes in this process.
    """
    training = isinstance(dataset, ClipDataset)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(dataset) if isinstance(dataset, ClipDataset) else None,
        drop_last=training and len(dataset) >= batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        # One of its own: the loader draws a seed from it each epoch, which must not disturb dropout.
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),
    )
