"""Paired comparisons of arms: how large a difference is, how sure it is, and what it would take to be surer.

Arms share their videos, and the seeds of each repeat, so every difference is taken video by video and repeat by
repeat. Two questions have to be kept apart, and :attr:`~study.analysis.statistics.deltas.Delta.varies` says which
one a delta answers:

``videos and repeats`` (three or more repeats)
    The difference in expected accuracy of the two recipes: over new videos of the same kind and over new trainings
    with new seeds. Repeats and videos are both drawn at random.
``videos`` (one or two repeats)
    The difference of these trained networks on new videos of the same kind. It says nothing about what other seeds
    would give, and must not be read so. Simulated with one repeat, such an interval of "95 %" holds the difference of
    the recipes 95, 86 and 59 times in a hundred with 240 videos where seeds move an arm by 1, 2 and 6 points, and
    89, 57 and 25 times with 2,000 videos: the more videos, the surer of the wrong thing.

Intervals over videos and repeats hold the truth 95 to 97 times in a hundred, whatever seeds do. The price of three
repeats is their width: nothing that rests on three values can be narrow and right. A difference that is within noise
for the recipes may still be clear for the networks at hand:
:attr:`~study.analysis.statistics.deltas.Delta.over_videos`.

Everything here takes videos to be drawn independently of each other, and the noise of repeats to be normal. Clips cut
from one longer recording are not independent, and then all intervals are too short.
"""
