"""Reading flow images as training wants them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from study.data.flow.layouts import LAYOUTS
from study.data.manifest import Manifest, VideoEntry
from study.data.readers.base import Frames, Indices, check_indices
from study.errors import DataError
from study.spec.clip import FlowModality

VERSION = 1
"""Raised when flow of synthetic videos comes out otherwise than before."""
TRN_TEMPLATE = "{:06d}.jpg"
"""Names of TRN's flow images, and of the frames of Something-Something V2."""


def find_flow(manifest: Manifest, modality: FlowModality) -> Path:
    """The root of the flow of ``manifest``.

    Raises:
        DataError: when there is no such folder, or the images in it could be frames as well.
    """
    if modality.root is not None:
        if not modality.root.is_dir():
            raise DataError(f"{modality.root}: no such folder (clip.modality.root)")
        return modality.root
    if manifest.content:
        return manifest.root / f"flow-{modality.method}-{modality.bound:g}-{modality.layout}-v{VERSION}"
    if modality.layout == "trn" and manifest.reading.image_template == TRN_TEMPLATE:
        raise DataError(
            f"{manifest.root}: frames and flow images have the same names there; "
            "clip.modality.root has to say where the flow is"
        )
    return manifest.root


class FlowReader:
    """The flow of a video: images (T, H, W, 2) of bytes, x and y. There is one fewer than there are frames.

    Args:
        root: folder of the flow of all videos.
        entry: the video.
        modality: how the images are named.

    Raises:
        DataError: when the video has no flow, or images are missing.
    """

    def __init__(self, root: Path, entry: VideoEntry, modality: FlowModality) -> None:
        self._images = LAYOUTS[modality.layout](root, entry.path)
        self._num_frames = self._images.count()

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def read(self, indices: Indices) -> Frames:
        wanted = check_indices(indices, self._num_frames, self._images.folder)
        unique, inverse = np.unique(wanted, return_inverse=True)
        images = [self._images.read(int(number) + 1) for number in unique]
        if len({image.shape for image in images}) > 1:
            raise DataError(f"{self._images.folder}: flow images differ in size")
        return np.stack(images)[inverse]
