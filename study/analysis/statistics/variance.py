"""Where the uncertainty of a paired difference comes from: videos, repeats, and both at once.

The differences d of R repeats and N videos are a two-way layout with random rows and columns and one value a cell,
as in studies of several readers of the same cases: d = mean + video + repeat + rest. Its mean squares give

    variance of the mean = (MS_videos - MS_rest + MS_repeats) / (N R)

(Obuchowski and Rockette 1995; Searle, Casella and McCulloch, Variance Components, chapter 4). One part of it, the
videos', is known well, from hundreds of videos; the other, the repeats', has R - 1 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Layout:
    """Mean squares of differences (R, N).

    Attributes:
        repeats: R.
        videos: N.
        mean: their mean, a fraction.
        of_videos: mean square between videos (times R), N - 1 degrees of freedom.
        of_repeats: mean square between repeats (times N), R - 1 degrees of freedom; 0 for one repeat.
        of_rest: mean square of what neither explains; 0 for one repeat.
    """

    repeats: int
    videos: int
    mean: float
    of_videos: float
    of_repeats: float
    of_rest: float

    @property
    def floor(self) -> float:
        """What half a video each way would add to the variance of the mean (Agresti and Min 2005). Without it two
        arms that agree on every video of a small set would seem to be known to be equal.
        """
        return 1 / self.videos**2

    @property
    def variance_over_videos(self) -> float:
        """Variance of the mean where videos vary and the trained networks stay."""
        return self.of_videos / (self.videos * self.repeats) + self.floor

    @property
    def variance_between_videos(self) -> float:
        """The part of the variance of the mean that more repeats do not take away; MS_videos - MS_rest of it."""
        return max(self.of_videos - self.of_rest, 0.0) / (self.videos * self.repeats) + self.floor

    @property
    def variance_over_repeats(self) -> float:
        """The other part, which falls as one over the number of repeats."""
        return self.of_repeats / (self.videos * self.repeats)

    @property
    def planned_variance_of_one_repeat(self) -> float:
        """What one repeat adds to the variance of the mean, for plans. Two or three repeats that happen to agree
        promise too much, so it is never below what the rest alone implies.
        """
        return max(self.of_repeats, self.of_rest) / self.videos


def analyze(differences: npt.NDArray[np.float64]) -> Layout:
    """The mean squares of ``differences`` (R, N), N at least 2.

    Raises:
        ValueError: for fewer than two videos.
    """
    repeats, videos = differences.shape
    if videos < 2:
        raise ValueError(f"{videos} video is not enough to say how sure a difference is")
    mean = float(differences.mean())
    by_video, by_repeat = differences.mean(axis=0) - mean, differences.mean(axis=1) - mean
    between_videos = repeats * float(by_video @ by_video)
    between_repeats = videos * float(by_repeat @ by_repeat)
    rest = float(((differences - mean) ** 2).sum()) - between_videos - between_repeats
    several = repeats > 1
    return Layout(
        repeats,
        videos,
        mean,
        between_videos / (videos - 1),
        between_repeats / (repeats - 1) if several else 0.0,
        max(rest, 0.0) / ((videos - 1) * (repeats - 1)) if several else 0.0,
    )
