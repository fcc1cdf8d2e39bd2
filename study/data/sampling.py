"""Which frames of a video make a clip: sparse sampling of TSN (Wang et al. 2016).

A video of n frames is cut into T spans of n/T frames, its segments, and one frame is drawn from each. Segment
k holds the real positions k*n/T up to (k+1)*n/T; a position is rounded down to a frame. Spans need not be
whole numbers of frames, so no frame at the end of a video is left out, and a video with fewer than T frames
works without a special case: some frames are drawn twice, in order.

A video that is shown in reverse is sampled like any other and its frames are reversed afterwards, so that
both directions hold the same frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def sample_train(num_frames: int, segments: int, rng: np.random.Generator) -> Indices:
    """A random frame of each segment, (T,), in order.

    >>> sample_train(16, 8, np.random.default_rng(0)) // 2
    array([0, 1, 2, 3, 4, 5, 6, 7])
    """
    _check(num_frames, segments)
    positions = (np.arange(segments) + rng.random(segments)) * (num_frames / segments)
    return np.minimum(positions.astype(np.int64), num_frames - 1)


def sample_test(num_frames: int, segments: int, clips: int = 1) -> Indices:
    """Frames of the test clips, (clips, T), without any randomness.

    One clip takes the center of each segment. A second one takes the start of each (``twice_sample`` of the
    TSM repository). More than two are spread evenly: clip c of C takes the position (c + 1/2)/C of each
    segment.

    >>> sample_test(24, 8, 2)
    array([[ 1,  4,  7, 10, 13, 16, 19, 22],
           [ 0,  3,  6,  9, 12, 15, 18, 21]])
    """
    _check(num_frames, segments)
    if clips < 1:
        raise ValueError(f"expected at least one clip, got {clips}")
    # Positions in a segment as numerators over 2 * clips, so that the division below is exact.
    numerators = [1, 0] if clips == 2 else [2 * clip + 1 for clip in range(clips)]
    scale = 2 if clips == 2 else 2 * clips
    starts = np.arange(segments) * scale
    rows = [(starts + numerator) * num_frames // (scale * segments) for numerator in numerators]
    return np.stack(rows).astype(np.int64)


def _check(num_frames: int, segments: int) -> None:
    if num_frames < 1 or segments < 1:
        raise ValueError(f"expected at least one frame and one segment, got {num_frames} and {segments}")
