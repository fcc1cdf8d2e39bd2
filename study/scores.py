"""Scores of every video by view: what a trial leaves behind so that nothing has to be run again.

Any protocol whose views are stored, any ensemble and any fusion of streams is a mean over some of these scores.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from study.errors import StoreError

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, BadZipFile, zlib.error)
"""What reading a damaged npz file raises."""


@dataclass(frozen=True)
class ViewScores:
    """Scores of N videos under V views for K classes.

    Attributes:
        video_ids: names (N,).
        labels: classes (N,).
        views: names of the views (:attr:`study.spec.views.View.key`), V of them.
        logits: float32 (N, V, K).
        shown: (N, V), a fingerprint of the images and the crop that a view shows; 0 where it is not known. Two
            views of a video with one fingerprint show the same pixels.
    """

    video_ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    views: tuple[str, ...]
    logits: npt.NDArray[np.float32]
    shown: npt.NDArray[np.int64]

    def covers(self, views: Sequence[str]) -> bool:
        """Whether all of ``views`` are stored."""
        return set(views) <= set(self.views)

    def select(self, views: Sequence[str]) -> npt.NDArray[np.float32]:
        """The logits of ``views``, (N, len(views), K).

        Raises:
            KeyError: when one of them is not stored.
        """
        return self.logits[:, self._numbers(views)]

    def count_repeated(self, views: Sequence[str]) -> int | None:
        """Videos of which two or more of ``views`` show the same pixels, because the video is short; None where
        that was not stored.
        """
        shown = self.shown[:, self._numbers(views)]
        if not shown.all():
            return None
        return sum(len(set(row)) < len(views) for row in shown.tolist())

    def merged(self, other: ViewScores) -> ViewScores:
        """These scores with those views of ``other`` that they lack.

        Raises:
            ValueError: when the two are about different videos.
        """
        if not (
            np.array_equal(self.video_ids, other.video_ids) and np.array_equal(self.labels, other.labels)
        ):
            raise ValueError("the scores are of different videos")
        added = [number for number, view in enumerate(other.views) if view not in self.views]
        return ViewScores(
            self.video_ids,
            self.labels,
            (*self.views, *(other.views[number] for number in added)),
            np.concatenate([self.logits, other.logits[:, added]], axis=1),
            np.concatenate([self.shown, other.shown[:, added]], axis=1),
        )

    def _numbers(self, views: Sequence[str]) -> list[int]:
        known = {view: number for number, view in enumerate(self.views)}
        return [known[view] for view in views]


def dump_scores(scores: ViewScores) -> bytes:
    """``scores`` as the content of an npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        video_ids=scores.video_ids,
        labels=scores.labels,
        views=np.array(scores.views),
        logits=scores.logits,
        shown=scores.shown,
    )
    return buffer.getvalue()


def load_scores(path: Path, protocols: Mapping[str, Sequence[str]]) -> ViewScores:
    """The scores at ``path``.

    Args:
        path: the file.
        protocols: names of the views of each protocol of the trial; files of version 1 hold scores by protocol.

    Raises:
        StoreError: when the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        scores = _from_version_1(arrays, protocols) if "logits" not in arrays else _from_arrays(arrays)
    except UNREADABLE as error:
        raise StoreError(f"{path}: no readable scores: {error or type(error).__name__}") from None
    if not _is_sound(scores):
        shape = " x ".join(map(str, scores.logits.shape))
        raise StoreError(
            f"{path}: no scores: logits ({shape}) of {len(scores.labels)} labels do not fit together"
        )
    return scores


def _from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> ViewScores:
    views = tuple(map(str, arrays["views"]))
    return ViewScores(arrays["video_ids"], arrays["labels"], views, arrays["logits"], arrays["shown"])


def _is_sound(scores: ViewScores) -> bool:
    """Whether the arrays have the types and shapes that belong together, and the labels are classes."""
    videos, views, classes = (*scores.logits.shape, 0, 0, 0)[:3]
    return bool(
        scores.logits.ndim == 3
        and scores.logits.dtype == np.float32
        and scores.labels.dtype.kind == scores.shown.dtype.kind == "i"
        and scores.video_ids.dtype.kind == "U"
        and scores.video_ids.shape == scores.labels.shape == (videos,)
        and scores.shown.shape == (videos, views)
        and len(set(scores.views)) == len(scores.views) == views
        and min(videos, classes) > 0
        and scores.labels.min() >= 0
        and scores.labels.max() < classes
    )


def _from_version_1(
    arrays: Mapping[str, npt.NDArray[np.generic]], protocols: Mapping[str, Sequence[str]]
) -> ViewScores:
    """Scores by protocol as scores by view. What the views showed was not stored then."""
    columns: dict[str, npt.NDArray[np.float32]] = {}
    for protocol, views in protocols.items():
        if protocol in arrays:
            part = arrays[protocol].astype(np.float32)
            columns |= {view: part[:, number] for number, view in enumerate(views) if view not in columns}
    logits = np.stack(list(columns.values()), axis=1)
    return ViewScores(
        arrays["video_ids"].astype(np.str_),
        arrays["labels"].astype(np.int64),
        tuple(columns),
        logits,
        np.zeros(logits.shape[:2], np.int64),
    )
