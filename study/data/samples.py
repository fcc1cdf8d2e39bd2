"""What a loader delivers, and turning it into clips: on the processor that decodes, or on the device that trains.

Resizing, cropping and flipping are a third of the work of decoding a video. On a GPU they take no time, so there
the loader delivers frames as they are decoded, in bytes, and what is to be done with them. Without a GPU the
loader's processes do it.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import default_collate

from study.data import transforms
from study.data.transforms import Box
from study.spec.clip import ClipSpec
from study.spec.views import View

EMPTY = torch.empty(0, dtype=torch.uint8)
"""Stands for the frames of a sample that travel by themselves."""


@dataclass(frozen=True)
class ClipSample:
    """A training clip before it is cropped.

    Attributes:
        frames: bytes (T, C, H, W).
        resized: whether they have the size that ``clip.resize`` asks for; otherwise that of the video.
        box: the crop, in pixels of the resized frames.
        flip: whether left and right are to be exchanged.
        reverse: whether the frames are to be shown backward.
        label: class, with the flip taken into account.
        index: number of the video in its split.
    """

    frames: Tensor
    resized: bool
    box: Box
    flip: bool
    reverse: bool
    label: int
    index: int


@dataclass(frozen=True)
class ViewSample:
    """The temporal clips of a video under test, before they are cropped.

    Attributes:
        clips: bytes (number of temporal clips, T, C, H, W).
        resized: whether they have the size that ``clip.resize`` asks for; otherwise that of the video.
        sources: for each view the number of its temporal clip.
        boxes: for each view its crop, in pixels of the resized frames.
        shown: for each view a fingerprint of the images and the crop that it shows; equal where a video is too
            short to give different clips.
        reverse: whether the frames are to be shown backward.
        label: class.
        index: number of the video in its split.
    """

    clips: Tensor
    resized: bool
    sources: tuple[int, ...]
    boxes: tuple[Box, ...]
    shown: tuple[int, ...]
    reverse: bool
    label: int
    index: int


def finish_clip(sample: ClipSample, clip: ClipSpec) -> Tensor:
    """The training clip (C, T, size, size) of ``sample``, bytes, on the device of its frames."""
    frames = sample.frames if sample.resized else transforms.resize_frames(sample.frames, clip.resize)
    frames = transforms.crop_frames(frames, sample.box, clip.size)
    if sample.flip:
        frames = transforms.flip_frames(frames, flow=clip.modality.type == "flow")
    return transforms.to_clip(frames, reverse=sample.reverse)


def finish_view(sample: ViewSample, number: int, view: View, clip: ClipSpec) -> Tensor:
    """One view (C, T, size, size) of ``sample``, bytes, on the device of its clips."""
    frames = sample.clips[sample.sources[number]]
    if not sample.resized:
        frames = transforms.resize_frames(frames, clip.resize)
    frames = transforms.crop_frames(frames, sample.boxes[number], view.size)
    return transforms.to_clip(frames, reverse=sample.reverse)


def _crop_early(sample: ClipSample) -> ClipSample:
    """``sample`` without the pixels around its crop, where frames need no resizing: they need not travel."""
    if not sample.resized:
        return sample
    box = sample.box
    frames = sample.frames[..., box.top : box.top + box.height, box.left : box.left + box.width]
    return replace(sample, frames=frames, box=Box(0, 0, box.height, box.width))


_scratch = threading.local()
"""Memory of each thread in which batches are put together: to ask for new pages each time takes longer than to
fill them."""


def _borrow_scratch(size: int) -> Tensor:
    buffer: Tensor | None = getattr(_scratch, "buffer", None)
    if buffer is None or len(buffer) < size:
        buffer = _scratch.buffer = torch.empty(size, dtype=torch.uint8)
    return buffer[:size]


class FrameBatch:
    """Frames of several videos, bytes (..., C, H, W) each, in one buffer.

    They are kept as decoders give them, channels last. One buffer reaches another process with one copy and one
    file descriptor, and a GPU with one transfer, whatever sizes the frames have.

    Args:
        frames: of each video.
    """

    def __init__(self, frames: Sequence[Tensor]) -> None:
        images = [one.movedim(-3, -1) for one in frames]
        self._shapes = [image.shape for image in images]
        scratch = _borrow_scratch(sum(image.numel() for image in images))
        for part, image in zip(self._split(scratch), images, strict=True):
            part.copy_(image)
        # default_collate copies; in a loader's process to memory that its parent shares.
        self._buffer: Tensor = default_collate([scratch])[0]

    def to(self, device: torch.device) -> list[Tensor]:
        """The frames of each video, (..., C, H, W), on ``device``."""
        buffer = self._buffer.to(device, non_blocking=True)
        return [part.movedim(-1, -3) for part in self._split(buffer)]

    def pin_memory(self) -> FrameBatch:
        """The frames in memory that a GPU copies from without waiting."""
        pinned = copy.copy(self)
        pinned._buffer = self._buffer.pin_memory()
        return pinned

    def _split(self, buffer: Tensor) -> list[Tensor]:
        parts = torch.split(buffer, [shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]


@dataclass
class ClipBatch:
    """A batch of training clips.

    Attributes:
        labels: classes (N,).
        indices: numbers of the videos (N,).
        clips: bytes (N, C, T, size, size) where the loader has made them.
        frames: what they are made of where it has not.
        samples: what is to be done with the frames.
    """

    labels: Tensor
    indices: Tensor
    clips: Tensor | None = None
    frames: FrameBatch | None = None
    samples: Sequence[ClipSample] = ()

    @classmethod
    def collate(cls, samples: Sequence[ClipSample], clip: ClipSpec, *, crop_on_device: bool) -> ClipBatch:
        """The batch of ``samples``, cropped here unless that is left to the device."""
        labels = torch.tensor([sample.label for sample in samples])
        indices = torch.tensor([sample.index for sample in samples])
        if not crop_on_device:
            return cls(labels, indices, clips=default_collate([finish_clip(s, clip) for s in samples]))
        cropped = [_crop_early(sample) for sample in samples]
        frames = FrameBatch([sample.frames for sample in cropped])
        return cls(labels, indices, None, frames, [replace(s, frames=EMPTY) for s in cropped])

    def assemble(self, clip: ClipSpec, device: torch.device) -> Tensor:
        """The clips (N, C, T, size, size), bytes, on ``device``."""
        if self.clips is not None:
            return self.clips.to(device, non_blocking=True)
        assert self.frames is not None
        moved = zip(self.samples, self.frames.to(device), strict=True)
        return torch.stack([finish_clip(replace(sample, frames=frames), clip) for sample, frames in moved])

    def pin_memory(self) -> ClipBatch:
        """The batch in memory that a GPU copies from without waiting; called by torch's loader."""
        clips = None if self.clips is None else self.clips.pin_memory()
        frames = None if self.frames is None else self.frames.pin_memory()
        return ClipBatch(self.labels.pin_memory(), self.indices, clips, frames, self.samples)


@dataclass
class ViewBatch:
    """A batch of videos under test.

    Attributes:
        clips: the temporal clips of each video, before they are cropped.
        samples: what is to be done with them.
        views: the views that each video gives.
    """

    clips: FrameBatch
    samples: Sequence[ViewSample]
    views: tuple[View, ...]

    @classmethod
    def collate(cls, samples: Sequence[ViewSample], views: tuple[View, ...]) -> ViewBatch:
        """The batch of ``samples``."""
        clips = FrameBatch([sample.clips for sample in samples])
        return cls(clips, [replace(sample, clips=EMPTY) for sample in samples], views)

    @property
    def labels(self) -> Tensor:
        """Classes (N,)."""
        return torch.tensor([sample.label for sample in self.samples])

    @property
    def indices(self) -> Tensor:
        """Numbers of the videos (N,)."""
        return torch.tensor([sample.index for sample in self.samples])

    @property
    def shown(self) -> Tensor:
        """(N, V); see :class:`ViewSample`."""
        return torch.tensor([sample.shown for sample in self.samples])

    def assemble(self, numbers: Sequence[int], clip: ClipSpec, device: torch.device) -> Tensor:
        """Some of the views, of one size: bytes (N, len(numbers), C, T, size, size) on ``device``."""
        moved = zip(self.samples, self.clips.to(device), strict=True)
        videos = [replace(sample, clips=clips) for sample, clips in moved]
        return torch.stack(
            [torch.stack([finish_view(v, n, self.views[n], clip) for n in numbers]) for v in videos]
        )

    def pin_memory(self) -> ViewBatch:
        """The batch in memory that a GPU copies from without waiting; called by torch's loader."""
        return ViewBatch(self.clips.pin_memory(), self.samples, self.views)
