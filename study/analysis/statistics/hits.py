"""Which videos each trial got right, aligned between the two arms of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from study.scores import ViewScores

Booleans = npt.NDArray[np.bool_]
SHOWN = 3
"""Videos that an error names."""


@dataclass(frozen=True)
class VideoHits:
    """Which of N videos a trial got right.

    Attributes:
        video_ids: names (N,), sorted.
        labels: classes (N,).
        hits: (N,), whether the label is among the k highest scores.
    """

    video_ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    hits: Booleans


@dataclass(frozen=True)
class PairedHits:
    """Hits of two arms on the same videos in the same repeats.

    Attributes:
        repeats: numbers of the R repeats that both arms have.
        video_ids: names (N,), sorted.
        arm: hits (R, N) of the arm.
        baseline: hits (R, N) of what it is compared with.
    """

    repeats: tuple[int, ...]
    video_ids: npt.NDArray[np.str_]
    arm: Booleans
    baseline: Booleans

    @property
    def differences(self) -> npt.NDArray[np.float64]:
        """Arm minus baseline (R, N): 1 where only the arm is right, -1 where only the baseline is, else 0."""
        return self.arm.astype(np.float64) - self.baseline


def find_hits(parts: Sequence[ViewScores], protocols: Sequence[Sequence[str]], k: int = 1) -> VideoHits:
    """Hits of the logits averaged over views and then over ``parts``; one part is a trial by itself.

    Ties count by the order of classes, as in the trials' own metrics.

    Args:
        parts: one a trial that is fused; they may list the videos in different orders.
        protocols: names of the views to take of each part.
        k: how many of the highest scores count.

    Raises:
        ValueError: when a view is not stored, a video is listed twice, the parts are about different videos, labels
            or classes, or a score is not finite.
    """
    if not parts:
        raise ValueError("no scores to find hits in")
    total: npt.NDArray[np.float64] | None = None
    first: tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]] | None = None
    for part, views in zip(parts, protocols, strict=True):
        if not part.covers(views):
            raise ValueError(f"no scores of the views {', '.join(sorted(set(views) - set(part.views)))}")
        order = _sort_videos(part.video_ids)
        videos, labels = part.video_ids[order], part.labels[order]
        scores = part.select(views)[order].astype(np.float64).mean(axis=1)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"{_name(videos[~np.isfinite(scores).all(axis=1)])}: scores that are no finite numbers"
            )
        if first is None or total is None:
            first, total = (videos, labels), scores
            continue
        _check_same(*first, videos, labels, what="the fused trials")
        if scores.shape != total.shape:
            raise ValueError(f"the fused trials have {total.shape[1]} and {scores.shape[1]} classes")
        total = total + scores
    assert total is not None
    assert first is not None
    ranked = np.argsort(-total, axis=1, kind="stable")[:, :k]
    return VideoHits(first[0], first[1], (ranked == first[1][:, None]).any(axis=1))


def pool_folds(folds: Mapping[int, VideoHits]) -> VideoHits:
    """The videos of several folds side by side, each called "fold/video"; a video may be in more than one."""
    videos = np.concatenate([np.char.add(f"{fold}/", hits.video_ids) for fold, hits in folds.items()])
    order = _sort_videos(videos)
    labels = np.concatenate([hits.labels for hits in folds.values()])
    right = np.concatenate([hits.hits for hits in folds.values()])
    return VideoHits(videos[order], labels[order], right[order])


def pair_hits(arm: Mapping[int, VideoHits], baseline: Mapping[int, VideoHits]) -> PairedHits:
    """The hits of both arms in the repeats that both have, by number of the repeat.

    Raises:
        ValueError: when no repeat is common, or the trials are about different videos or labels. A comparison on
            the videos that happen to be common would be one of another data set.
    """
    repeats, videos, hits = stack_hits({"the arm": arm, "the baseline": baseline})
    return PairedHits(repeats, videos, hits[0], hits[1])


def stack_hits(
    arms: Mapping[str, Mapping[int, VideoHits]],
) -> tuple[tuple[int, ...], npt.NDArray[np.str_], Booleans]:
    """The repeats that all arms have, the videos (N,), and the hits (arms, repeats, N).

    Args:
        arms: the hits of each arm by number of the repeat; the names are for errors.

    Raises:
        ValueError: as :func:`pair_hits` does.
    """
    if not arms:
        raise ValueError("no arms to compare")
    repeats = tuple(sorted(set.intersection(*(set(hits) for hits in arms.values()))))
    if not repeats:
        had = "; ".join(f"{name} has {sorted(hits) or 'none'}" for name, hits in arms.items())
        raise ValueError(f"no repeat that all of them have: {had}")
    first_name = next(iter(arms))
    first = arms[first_name][repeats[0]]
    for name, hits in arms.items():
        for repeat in repeats:
            what = f"{first_name} in repeat {repeats[0]} and {name} in repeat {repeat}"
            one = hits[repeat]
            _check_same(first.video_ids, first.labels, one.video_ids, one.labels, what=what)
    if not first.video_ids.size:
        raise ValueError("no videos to compare on")
    stacked = np.stack([np.stack([hits[repeat].hits for repeat in repeats]) for hits in arms.values()])
    return repeats, first.video_ids, stacked


def _sort_videos(video_ids: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    order = np.argsort(video_ids, kind="stable")
    ordered = video_ids[order]
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        raise ValueError(f"scores name the same video twice: {_name(np.unique(twice))}")
    return order


def _check_same(
    videos: npt.NDArray[np.str_],
    labels: npt.NDArray[np.int64],
    other_videos: npt.NDArray[np.str_],
    other_labels: npt.NDArray[np.int64],
    what: str,
) -> None:
    """Raise ValueError unless both list the same videos with the same labels; all are sorted."""
    if not np.array_equal(videos, other_videos):
        left, right = np.setdiff1d(videos, other_videos), np.setdiff1d(other_videos, videos)
        raise ValueError(
            f"{what} were evaluated on different videos: {left.size} only in the first ({_name(left)}), "
            f"{right.size} only in the second ({_name(right)})"
        )
    if not np.array_equal(labels, other_labels):
        wrong = videos[labels != other_labels]
        raise ValueError(f"{what} have different labels for {wrong.size} videos: {_name(wrong)}")


def _name(videos: npt.NDArray[np.str_]) -> str:
    if not videos.size:
        return "none"
    return ", ".join(map(str, videos[:SHOWN])) + (", ..." if videos.size > SHOWN else "")
