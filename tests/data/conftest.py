"""Small videos for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.data.synthetic import encode_video


def make_gradient(frames: int, height: int = 24, width: int = 32) -> np.ndarray:
    """A video whose frame t has brightness 10 t at the left, so that every frame is recognized."""
    base = np.zeros((frames, height, width, 3), dtype=np.uint8)
    base += (10 * np.arange(frames, dtype=np.uint8))[:, None, None, None]
    return base + np.arange(width, dtype=np.uint8)[None, None, :, None] // 4


@pytest.fixture
def write_video() -> Callable[..., Path]:
    """Writes a video of :func:`make_gradient` to a path, whose folders are made."""

    def write(path: Path, frames: int = 12, height: int = 24, width: int = 32) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        encode_video(path, make_gradient(frames, height, width), 12)
        return path

    return write
