"""Sampling against arithmetic by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from study.data.sampling import sample_test, sample_train
from study.spec.clip import ClipSpec, FlowModality
from study.spec.training import ProtocolSpec
from study.spec.views import TestClip, derive_clips


def make_clip(frames: int, **options: object) -> ClipSpec:
    return ClipSpec.model_validate({"frames": frames, **options})


def draw_tests(num_images: int, clip: ClipSpec, clips: int = 1) -> list[list[int]]:
    protocol = ProtocolSpec(clips=clips)
    return [sample_test(num_images, clip, test).reshape(-1).tolist() for test in derive_clips(protocol, clip)]


def test_the_first_clip_takes_segment_centers_and_the_second_segment_starts() -> None:
    # 10 frames, 4 segments of 2.5: centers 1.25, 3.75, 6.25, 8.75; starts 0, 2.5, 5, 7.5.
    assert draw_tests(10, make_clip(4)) == [[1, 3, 6, 8]]
    assert draw_tests(10, make_clip(4), 2) == [[1, 3, 6, 8], [0, 2, 5, 7]]


def test_more_clips_are_spread_evenly_over_each_segment() -> None:
    # 24 frames, 2 segments of 12, 3 clips at 1/6, 3/6, 5/6 of a segment: 2, 6, 10.
    assert draw_tests(24, make_clip(2), 3) == [[2, 14], [6, 18], [10, 22]]


def test_a_video_shorter_than_a_clip_repeats_frames_in_order() -> None:
    # 3 frames, 8 segments of 0.375: centers 0.1875, 0.5625, 0.9375, 1.3125, ...
    assert draw_tests(3, make_clip(8)) == [[0, 0, 0, 1, 1, 2, 2, 2]]
    assert draw_tests(1, make_clip(4), 2) == [[0] * 4] * 2


def test_segment_centers_of_an_odd_span_are_symmetric_in_time() -> None:
    # The synthetic videos rely on it: reversed, 24 frames give the same eight.
    (centers,) = draw_tests(24, make_clip(8))
    assert [23 - index for index in reversed(centers)] == centers == [1, 4, 7, 10, 13, 16, 19, 22]


def test_dense_clips_go_from_the_first_frame_to_the_last() -> None:
    clip = make_clip(4, sampling="dense", stride=3)
    # A clip spans 10 frames; in 20 it can start at 0 to 10: one in the middle, three at 0, 5, 10.
    assert draw_tests(20, clip) == [[5, 8, 11, 14]]
    assert draw_tests(20, clip, 3) == [[0, 3, 6, 9], [5, 8, 11, 14], [10, 13, 16, 19]]
    # In 8 frames there is one place, and the last frame is repeated.
    assert draw_tests(8, clip, 2) == [[0, 3, 6, 7]] * 2


def test_a_protocol_may_sample_otherwise_than_training() -> None:
    clip = make_clip(4, stride=3)
    dense = derive_clips(ProtocolSpec(clips=2, sampling="dense"), clip)
    assert dense == (TestClip("dense", Fraction(0)), TestClip("dense", Fraction(1)))
    assert [sample_test(20, clip, test)[:, 0].tolist() for test in dense] == [[0, 3, 6, 9], [10, 13, 16, 19]]


def test_a_snippet_is_consecutive_and_stays_within_the_video() -> None:
    clip = make_clip(6, snippet=3)
    # 10 frames give 8 starts in 2 segments of 4: centers 2 and 6.
    assert draw_tests(10, clip) == [[2, 3, 4, 6, 7, 8]]
    # 2 frames: one start, the last frame repeated.
    assert draw_tests(2, clip) == [[0, 1, 1, 0, 1, 1]]
    drawn = np.stack([sample_train(10, clip, np.random.default_rng(n)) for n in range(200)])
    assert drawn.shape == (200, 2, 3)
    assert (np.diff(drawn, axis=2) == 1).all()
    assert set(drawn[:, 0, 0].tolist()) == {0, 1, 2, 3}
    assert set(drawn[:, 1, 0].tolist()) == {4, 5, 6, 7}


def test_flow_reads_a_stack_at_each_place() -> None:
    clip = ClipSpec(frames=2, modality=FlowModality(type="flow", stack=5))
    assert clip.channels == 10
    # 12 flow images give 8 starts in 2 segments of 4: centers 2 and 6.
    assert draw_tests(12, clip) == [[2, 3, 4, 5, 6, 6, 7, 8, 9, 10]]


@pytest.mark.parametrize(("frames", "segments"), [(24, 8), (17, 8), (8, 8), (3, 8), (1, 16), (250, 3)])
def test_training_frames_stay_in_their_segment_and_reach_all_of_it(frames: int, segments: int) -> None:
    rng, clip = np.random.default_rng(0), make_clip(segments)
    drawn = np.stack([sample_train(frames, clip, rng)[:, 0] for _ in range(4000)])
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
    rng, clip = np.random.default_rng(1), make_clip(8)
    drawn = np.concatenate([sample_train(24, clip, rng)[:, 0] for _ in range(6000)])
    counts = np.bincount(drawn, minlength=24)
    # 6000 draws in a segment of three frames: 2000 each, standard deviation 36.5.
    assert np.abs(counts - 2000).max() < 5 * 36.5


def test_dense_training_clips_start_anywhere_they_fit() -> None:
    rng, clip = np.random.default_rng(2), make_clip(4, sampling="dense", stride=3)
    drawn = np.stack([sample_train(14, clip, rng)[:, 0] for _ in range(600)])
    assert set(drawn[:, 0].tolist()) == {0, 1, 2, 3, 4}
    assert (np.diff(drawn, axis=1) == 3).all()


def test_nothing_can_be_drawn_from_nothing() -> None:
    clip = make_clip(8)
    with pytest.raises(ValueError, match="at least one"):
        sample_test(0, clip, TestClip("tsn", Fraction(1, 2)))
    with pytest.raises(ValueError, match="at least one"):
        sample_train(0, clip, np.random.default_rng(0))
