"""Views: the clips and crops of a video that a protocol looks at, each with a name of its own.

Two protocols that share a view share its scores. So what a trial stores is scores by view, and every protocol
whose views are among those stored is derived from them without running the network again.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from study.spec.clip import ClipSpec
from study.spec.training import ProtocolSpec

Crop = Literal["start", "center", "end"]
"""Place of a crop along the long side of the frame; across, it is centered."""
CROPS: dict[int, tuple[Crop, ...]] = {1: ("center",), 3: ("start", "center", "end")}
"""Crops of a clip by their number."""


@dataclass(frozen=True)
class TestClip:
    """One temporal clip of a video.

    Attributes:
        sampling: ``tsn`` or ``dense``.
        position: place of the frame in each segment (``tsn``), or of the clip in the video (``dense``), from 0,
            the first possible, to 1, the last.
    """

    __test__ = False  # no test class, whatever its name makes pytest think

    sampling: Literal["tsn", "dense"]
    position: Fraction


@dataclass(frozen=True)
class View:
    """One temporal clip with one spatial crop of ``size`` x ``size`` pixels."""

    clip: TestClip
    crop: Crop
    size: int

    @property
    def key(self) -> str:
        """Its name among stored scores: "tsn 1/2 center 224"."""
        return f"{self.clip.sampling} {self.clip.position} {self.crop} {self.size}"


def derive_clips(protocol: ProtocolSpec, clip: ClipSpec) -> tuple[TestClip, ...]:
    """The temporal clips of ``protocol``.

    With ``tsn`` sampling one clip takes segment centers and a second one their starts (``twice_sample`` of the TSM
    repository); clip c of more takes the position (c + 1/2)/C of each segment. With ``dense`` sampling one clip
    is in the middle, and clip c of more starts at c/(C - 1) of the frames where a clip can start.
    """
    sampling, count = protocol.sampling or clip.sampling, protocol.clips
    if sampling == "dense":
        positions = [Fraction(c, count - 1) for c in range(count)] if count > 1 else [Fraction(1, 2)]
    elif count == 2:
        positions = [Fraction(1, 2), Fraction(0)]
    else:
        positions = [Fraction(2 * c + 1, 2 * count) for c in range(count)]
    return tuple(TestClip(sampling, position) for position in positions)


def derive_views(protocol: ProtocolSpec, clip: ClipSpec) -> tuple[View, ...]:
    """The views of ``protocol``, clip by clip and crop by crop within a clip."""
    size = protocol.size or clip.size
    return tuple(
        View(test_clip, crop, size)
        for test_clip in derive_clips(protocol, clip)
        for crop in CROPS[protocol.crops]
    )


def name_views(protocol: ProtocolSpec, clip: ClipSpec) -> tuple[str, ...]:
    """Names of the views of ``protocol``, by which their scores are stored."""
    return tuple(view.key for view in derive_views(protocol, clip))
