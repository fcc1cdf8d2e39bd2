"""Computing optical flow, and packing it into bytes.

``dis``: dense inverse search (Kroeger et al. 2016) as OpenCV has it, with its preset MEDIUM, which ends with a
variational refinement. On textures shifted by fractions of a pixel it is 0.04 pixels off; a finer last scale
gains nothing measurable, the preset FAST is a third faster and coarser on small frames. ``tvl1``: what the field
computes (Zach et al. 2007), with OpenCV's defaults; mostly 0.01 to 0.02 pixels off, and sixty times slower or
more: 0.4 to 1.7 pairs a second at 340x256, where DIS does 107.
``raft``: torchvision's RAFT (Teed and Deng 2020) with weights of the user.

All give displacements in pixels from a frame to the next one: x to the right, y down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import numpy.typing as npt

from study.data.readers.base import Frames
from study.errors import DataError

if TYPE_CHECKING:
    import torch

FlowMethod = Literal["dis", "tvl1", "raft"]
Flow = npt.NDArray[np.float32]
"""Displacements in pixels, (..., H, W, 2)."""
PairFlow = Callable[[Frames, Frames], Flow]
"""Flow (H, W, 2) from one frame (H, W, 3) to another. Raises DataError when they are too small."""
RAFT_STRIDE, RAFT_SMALLEST = 8, 128
"""Sides of RAFT's input are multiples of 8, and its smallest correlation volume needs 128 pixels."""


def build_flow(method: FlowMethod, weights: Path | None = None) -> PairFlow:
    """What computes the flow of a pair of frames. One thread at a time may use it.

    Args:
        method: see the module.
        weights: state dict of torchvision's ``raft_small`` or ``raft_large``, for ``raft``.

    Raises:
        DataError: when ``raft`` has no weights, or they do not fit.
    """
    if method == "raft":
        if weights is None:
            raise DataError(
                "flow by 'raft' needs the weights of torchvision's raft_small or raft_large (--weights)"
            )
        return _run_raft(weights)
    if method == "tvl1":
        return _run_opencv(cv2.optflow.DualTVL1OpticalFlow.create(), method)
    return _run_opencv(cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM), method)


def compute_flow(frames: Frames, method: FlowMethod, weights: Path | None = None) -> Flow:
    """Flow (T-1, H, W, 2), pixels, between the frames (T, H, W, 3) of a video.

    Args:
        frames: two or more, RGB.
        method: see the module.
        weights: for ``raft``, see :func:`build_flow`.

    Raises:
        DataError: when there are fewer than two frames, they are too small, or weights are lacking.
    """
    if len(frames) < 2:
        raise DataError(f"flow needs two frames, there are {len(frames)}")
    flow = build_flow(method, weights)
    with one_opencv_thread():
        return np.stack([flow(first, second) for first, second in pairwise(frames)])


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Have OpenCV compute in the calling thread: several videos at a time use the cores better."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def quantize_flow(flow: Flow, bound: float) -> Frames:
    """``flow`` in bytes: -``bound`` and below become 0, ``bound`` and above 255, linear in between.

    Rounded to the nearest, halves to even, as TSN's tool does (``cvRound``); no motion, at 127.5, becomes 128.

    Raises:
        DataError: when a displacement is not finite.
    """
    if not np.isfinite(flow).all():
        raise DataError("flow has displacements that are not finite")
    scaled = 255.0 * (flow.astype(np.float64) + bound) / (2.0 * bound)
    return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def restore_flow(images: Frames, bound: float) -> Flow:
    """Displacements in pixels that ``images`` stand for, right to ``bound`` / 255 where they were not clipped."""
    return (images.astype(np.float64) * (2.0 * bound / 255.0) - bound).astype(np.float32)


def _run_opencv(algorithm: cv2.DenseOpticalFlow, method: str) -> PairFlow:
    def flow(first: Frames, second: Frames) -> Flow:
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
        try:
            # OpenCV takes an absent flow for "make one"; its type stubs do not.
            found = algorithm.calc(gray[0], gray[1], None)  # type: ignore[call-overload]
        except cv2.error as error:
            height, width = first.shape[:2]
            raise DataError(
                f"flow by '{method}' fails on frames of {width}x{height} pixels: {error.err}"
            ) from None
        return np.asarray(found, dtype=np.float32)

    return flow


def _run_raft(weights: Path) -> PairFlow:
    import torch
    from torch.nn import functional

    network, device = load_raft(weights)

    def flow(first: Frames, second: Frames) -> Flow:
        height, width = first.shape[:2]
        pair = torch.from_numpy(np.stack([first, second])).to(device).permute(0, 3, 1, 2)
        right, below = _pad(width), _pad(height)
        padded = functional.pad(pair.float() / 127.5 - 1.0, (0, right, 0, below), mode="replicate")
        with torch.inference_mode():
            found = network(padded[:1], padded[1:])[-1][0, :, :height, :width]
        return np.ascontiguousarray(found.permute(1, 2, 0).cpu().numpy(), dtype=np.float32)

    return flow


def _pad(side: int) -> int:
    """Pixels that RAFT needs beyond ``side``."""
    return max(RAFT_SMALLEST, -(-side // RAFT_STRIDE) * RAFT_STRIDE) - side


@lru_cache(maxsize=1)
def load_raft(weights: Path) -> tuple[torch.nn.Module, torch.device]:
    """RAFT, small or large as ``weights`` are, ready to use; on a GPU where there is one.

    Raises:
        DataError: when the file cannot be read or fits neither.
    """
    # Importing them takes seconds, which the other methods are spared.
    import torch
    from torchvision.models.optical_flow import raft_large, raft_small

    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        shapes = {key: tuple(value.shape) for key, value in state.items()}
    except FileNotFoundError:
        raise DataError(f"{weights}: no such file (--weights)") from None
    except Exception as error:
        # torch.load raises a dozen types on damaged files.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{weights}: no readable state dict (--weights): {reason}") from None
    for build in (raft_small, raft_large):
        with torch.device("meta"):
            wanted = {key: tuple(value.shape) for key, value in build(weights=None).state_dict().items()}
        if wanted == shapes:
            network = build(weights=None)
            network.load_state_dict(state)
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            return network.eval().to(device), device
    raise DataError(f"{weights}: fits neither raft_small nor raft_large of torchvision (--weights)")
