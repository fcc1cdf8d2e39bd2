"""TSN sampling against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from study.data.sampling import sample_test, sample_train


def test_the_first_clip_takes_segment_centers_and_the_second_segment_starts() -> None:
    # 10 frames, 4 segments of 2.5: centers 1.25, 3.75, 6.25, 8.75; starts 0, 2.5, 5, 7.5.
    assert sample_test(10, 4, 1).tolist() == [[1, 3, 6, 8]]
    assert sample_test(10, 4, 2).tolist() == [[1, 3, 6, 8], [0, 2, 5, 7]]


def test_more_clips_are_spread_evenly_over_each_segment() -> None:
    # 24 frames, 2 segments of 12, 3 clips at 1/6, 3/6, 5/6 of a segment: 2, 6, 10.
    assert sample_test(24, 2, 3).tolist() == [[2, 14], [6, 18], [10, 22]]


def test_a_video_shorter_than_a_clip_repeats_frames_in_order() -> None:
    # 3 frames, 8 segments of 0.375: centers 0.1875, 0.5625, 0.9375, 1.3125, ...
    assert sample_test(3, 8).tolist() == [[0, 0, 0, 1, 1, 2, 2, 2]]
    assert sample_test(1, 4, 2).tolist() == [[0] * 4] * 2


def test_segment_centers_of_an_odd_span_are_symmetric_in_time() -> None:
    # The synthetic videos rely on it: reversed, 24 frames give the same eight.
    centers = sample_test(24, 8)[0]
    assert (23 - centers[::-1]).tolist() == centers.tolist() == [1, 4, 7, 10, 13, 16, 19, 22]


@pytest.mark.parametrize(("frames", "segments"), [(24, 8), (17, 8), (8, 8), (3, 8), (1, 16), (1000, 3)])
def test_training_frames_stay_in_their_segment_and_reach_all_of_it(frames: int, segments: int) -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([sample_train(frames, segments, rng) for _ in range(4000)])
    for segment in range(segments):
        first = int(np.floor(segment * frames / segments))
        last = min(int(np.ceil((segment + 1) * frames / segments)) - 1, frames - 1)
        values = drawn[:, segment]
        assert values.min() >= first
        assert values.max() <= last
        if frames <= 24:
            assert set(values.tolist()) == set(range(first, last + 1))
    assert (np.diff(drawn, axis=1) >= 0).all()


def test_training_frames_are_uniform_within_a_segment() -> None:
    rng = np.random.default_rng(1)
    drawn = np.concatenate([sample_train(24, 8, rng) for _ in range(6000)])
    counts = np.bincount(drawn, minlength=24)
    # 6000 draws in a segment of three frames: 2000 each, standard deviation 36.5.
    assert np.abs(counts - 2000).max() < 5 * 36.5


@pytest.mark.parametrize(("frames", "segments"), [(0, 8), (8, 0), (-1, 2)])
def test_nothing_can_be_drawn_from_nothing(frames: int, segments: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        sample_test(frames, segments)
    with pytest.raises(ValueError, match="at least one"):
        sample_train(frames, segments, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least one clip"):
        sample_test(8, 8, 0)
