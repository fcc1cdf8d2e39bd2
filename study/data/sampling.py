"""Which frames of a video make a clip: sparse sampling of TSN (Wang et al. 2016), and dense sampling.

A clip looks at P places of a video and reads L consecutive images at each (:attr:`ClipSpec.places` and
:attr:`ClipSpec.consecutive`): one frame for most networks, a snippet of three or five for some, a stack of flow
images for the flow stream. A place can start at any of n - L + 1 images of a video of n.

Sparse sampling cuts these starts into P equal spans, the segments, and draws one from each. Segment k holds the
real positions k*m/P up to (k+1)*m/P of m starts; a position is rounded down. Spans need not be whole numbers, so
no start at the end of a video is left out, and a video that is too short works without a special case: some
images are drawn twice, in order. Dense sampling takes places ``stride`` apart; where a video ends before the
clip does, its last place is repeated, so that time never runs backward.

A video that is shown in reverse is sampled like any other and its frames are reversed afterwards, so that
both directions hold the same frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from study.spec.clip import ClipSpec
from study.spec.views import TestClip

Places = npt.NDArray[np.int64]
"""Numbers of images, (P, L): L consecutive ones at each of P places."""


def sample_train(num_images: int, clip: ClipSpec, rng: np.random.Generator) -> Places:
    """The images of a random training clip, (P, L), in order.

    >>> sample_train(16, ClipSpec(frames=8), np.random.default_rng(0))[:, 0] // 2
    array([0, 1, 2, 3, 4, 5, 6, 7])
    """
    starts = _count_starts(num_images, clip)
    if clip.sampling == "dense":
        first = rng.integers(_count_free(starts, clip) + 1)
        return _expand(first + np.arange(clip.places) * clip.stride, starts, num_images, clip)
    positions = (np.arange(clip.places) + rng.random(clip.places)) * (starts / clip.places)
    return _expand(positions.astype(np.int64), starts, num_images, clip)


def sample_test(num_images: int, clip: ClipSpec, test_clip: TestClip) -> Places:
    """The images of a test clip, (P, L), without any randomness; see :func:`study.spec.views.derive_clips`.

    >>> from fractions import Fraction
    >>> sample_test(24, ClipSpec(frames=8), TestClip("tsn", Fraction(1, 2)))[:, 0]
    array([ 1,  4,  7, 10, 13, 16, 19, 22])
    """
    starts = _count_starts(num_images, clip)
    above, below = test_clip.position.numerator, test_clip.position.denominator
    if test_clip.sampling == "dense":
        first = _count_free(starts, clip) * above // below
        return _expand(first + np.arange(clip.places) * clip.stride, starts, num_images, clip)
    # In whole numbers, so that no rounding moves a position that falls on a frame.
    positions = (np.arange(clip.places) * below + above) * starts // (clip.places * below)
    return _expand(positions, starts, num_images, clip)


def _count_starts(num_images: int, clip: ClipSpec) -> int:
    """How many images a place can start at; at least one."""
    if num_images < 1:
        raise ValueError(f"expected at least one image, got {num_images}")
    return max(num_images - clip.consecutive + 1, 1)


def _count_free(starts: int, clip: ClipSpec) -> int:
    """By how many images a dense clip can be moved."""
    return max(starts - 1 - (clip.places - 1) * clip.stride, 0)


def _expand(firsts: npt.NDArray[np.int64], starts: int, num_images: int, clip: ClipSpec) -> Places:
    """Places from their first images; images beyond the last are the last."""
    within = np.minimum(firsts, starts - 1)
    return np.minimum(within[:, None] + np.arange(clip.consecutive), num_images - 1).astype(np.int64)
