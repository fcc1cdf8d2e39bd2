"""torch data sets over a manifest: random clips for training, fixed views for testing.

What a training clip looks like depends on (seed, epoch, video id) and on nothing else: not on the model, the
number of loader processes or the place of the video in the order. So all arms of one repeat see the same
clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from study.data import transforms
from study.data.manifest import Manifest, VideoEntry
from study.data.opening import Opener, build_opener
from study.data.readers import VideoReader
from study.data.readers.cache import FrameCache
from study.data.readers.resizing import resizing
from study.data.samples import ClipSample, ViewSample
from study.data.sampling import Places, sample_test, sample_train
from study.data.transforms import Box, resized_shape
from study.errors import DataError
from study.seeding import derive_seed
from study.spec.clip import ClipSpec
from study.spec.views import View


class Videos:
    """The videos of one split, opened as a clip wants them.

    Args:
        manifest: the data set.
        entries: the videos of this split.
        clip: how clips are drawn.
        frame_cache_mib: memory for decoded and resized videos, mebibytes, in each process.
        opener: opens the videos; by default as color frames or flow, as ``clip.modality`` says.
    """

    def __init__(
        self,
        manifest: Manifest,
        entries: Sequence[VideoEntry],
        clip: ClipSpec,
        frame_cache_mib: int = 0,
        opener: Opener | None = None,
    ) -> None:
        self.manifest = manifest
        self.entries = tuple(entries)
        self.clip = clip
        self._opener = opener or build_opener(manifest, clip.modality)
        self._cache = FrameCache(frame_cache_mib) if frame_cache_mib else None

    def __len__(self) -> int:
        return len(self.entries)

    def open(self, entry: VideoEntry) -> VideoReader:
        """The video of ``entry``; from the cache its frames come resized."""
        if self._cache is None:
            return self._opener(entry)
        return self._cache.open(entry.path, resizing(lambda: self._opener(entry), self.clip.resize))

    def path(self, entry: VideoEntry) -> Path:
        """Where the file of ``entry`` lies."""
        return self.manifest.path(entry)

    def read(self, reader: VideoReader, places: Places) -> torch.Tensor:
        """The frames at ``places`` (P, L): bytes (T, C, H, W)."""
        stack = self.clip.modality.consecutive
        return transforms.to_frames(reader.read(places.reshape(-1)), stack)

    def resized_shape(self, frames: torch.Tensor) -> tuple[int, int]:
        """(height, width) that ``frames`` have once they are resized."""
        return resized_shape(frames.shape[-2], frames.shape[-1], self.clip.resize)


class ClipDataset(Dataset[ClipSample]):
    """Training clips.

    An item is asked for by its index, or by (epoch, index) as the loader does, which also reaches loader
    processes that live through several epochs.

    Args:
        videos: the videos of the training split.
        seed: seed of the repeat; every arm of a repeat has the same one.
    """

    def __init__(self, videos: Videos, seed: int) -> None:
        self.videos = videos
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw the clips, and a loader's order, of ``epoch`` from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: int | tuple[int, int]) -> ClipSample:
        epoch, index = (self.epoch, key) if isinstance(key, int) else key
        videos, clip = self.videos, self.videos.clip
        entry = videos.entries[index]
        rng = np.random.default_rng(derive_seed("clip", self.seed, epoch, entry.video_id))
        reader = videos.open(entry)
        frames = videos.read(reader, sample_train(reader.num_frames, clip, rng))
        try:
            shape = videos.resized_shape(frames)
            box = transforms.draw_training_box(*shape, clip, rng)
        except DataError as error:
            raise DataError(f"{videos.path(entry)}: {error}") from None
        flip, label = bool(clip.flip and rng.random() < 0.5), entry.label
        if flip:
            label = videos.manifest.flip_map.get(label, label)
        resized = shape == frames.shape[-2:]
        return ClipSample(frames, resized, box, flip, entry.reverse, label, index)


class ViewDataset(Dataset[ViewSample]):
    """The views of every video, all from one decoding pass.

    Args:
        videos: the videos of the split under test.
        views: which views are taken, of any number of protocols, each once.
    """

    def __init__(self, videos: Videos, views: Sequence[View]) -> None:
        self.videos = videos
        self.views = tuple(views)
        self._clips = tuple(dict.fromkeys(view.clip for view in self.views))

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> ViewSample:
        videos = self.videos
        entry = videos.entries[index]
        reader = videos.open(entry)
        places = [sample_test(reader.num_frames, videos.clip, clip) for clip in self._clips]
        frames = torch.unflatten(videos.read(reader, np.concatenate(places)), 0, (len(places), -1))
        height, width = videos.resized_shape(frames)
        try:
            boxes = [transforms.place_test_box(height, width, v.size, v.crop) for v in self.views]
        except DataError as error:
            raise DataError(f"{videos.path(entry)}: {error}") from None
        sources = tuple(self._clips.index(view.clip) for view in self.views)
        return ViewSample(
            clips=frames,
            resized=(height, width) == frames.shape[-2:],
            sources=sources,
            boxes=tuple(boxes),
            shown=tuple(_fingerprint(places[s], box) for s, box in zip(sources, boxes, strict=True)),
            reverse=entry.reverse,
            label=entry.label,
            index=index,
        )


def _fingerprint(places: Places, box: Box) -> int:
    """What identifies the pixels of a view within its video; never 0."""
    return derive_seed("shown", places.tobytes().hex(), box.top, box.left, box.height, box.width) | 1
