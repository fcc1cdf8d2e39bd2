"""Trials laid out on many devices, and what they do and leave, against arithmetic by hand."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.running.scaling import derive_footprint, derive_work, simulate
from study.spec.loading import load_study
from study.spec.trial import TrialSettings


def test_trials_take_the_device_that_is_free_first() -> None:
    schedule = simulate([["a", "b", "c", "d"]], {"a": 5, "b": 1, "c": 2, "d": 3}, 2)
    # a: 0 to 5; b: 0 to 1, c: 1 to 3, d: 3 to 6.
    assert (schedule.seconds, schedule.busy, schedule.longest) == (6, 11, 5)
    assert schedule.bound == 5.5
    assert schedule.utilization == pytest.approx(11 / 12)


def test_a_group_waits_for_all_of_the_one_before() -> None:
    seconds = {"a": 5.0, "b": 1.0, "c": 2.0}
    assert simulate([["a", "b", "c"]], seconds, 2).seconds == 5
    assert simulate([["a", "b"], ["c"]], seconds, 2).seconds == 7


def test_the_longest_chain_goes_from_parent_to_child() -> None:
    seconds = {"a": 5.0, "b": 1.0, "c": 2.0}
    schedule = simulate([["a", "b"], ["c"]], seconds, 64, {"c": "b"})
    assert schedule.longest == 5, "a alone is longer than b and c"
    assert simulate([["a", "b"], ["c"]], seconds, 64, {"c": "a"}).longest == 7


def test_a_trial_cannot_stand_beside_its_parent() -> None:
    with pytest.raises(ValueError, match="trial c stands before the end of a"):
        simulate([["a", "c"]], {"a": 1, "c": 1}, 2, {"c": "a"})
    with pytest.raises(ValueError, match="places 0: allowed: 1 and more"):
        simulate([["a"]], {"a": 1}, 0)


# No time limits: how fast examples are drawn depends on what else the machine does.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.floats(0, 1e4), max_size=8), max_size=4),
    st.integers(1, 12),
)
def test_no_schedule_beats_its_bounds_nor_one_after_the_other(groups: list[list[float]], places: int) -> None:
    named = [[f"{g}.{t}" for t in range(len(group))] for g, group in enumerate(groups)]
    seconds = {f"{g}.{t}": value for g, group in enumerate(groups) for t, value in enumerate(group)}
    schedule = simulate(named, seconds, places)
    total = sum(seconds.values())
    slack = 1e-9 * (1 + total)
    assert schedule.seconds >= total / places - slack
    assert schedule.seconds >= max(seconds.values(), default=0) - slack
    assert schedule.seconds >= schedule.bound - slack
    assert schedule.seconds <= total + slack
    # Graham's bound holds for each group.
    graham = sum(sum(group) / places + max(group, default=0) for group in groups)
    assert schedule.seconds <= graham + slack
    assert simulate(named, seconds, 1).seconds == pytest.approx(total)


def settings_of(*overrides: str, arm: str = "STH hybrid", experiment: str = "table7") -> TrialSettings:
    study = load_study([experiment], profile="paper", overrides=list(overrides), repeats=1)
    return next(one for one in study.experiments[0].arms if one.name == arm).settings


def test_work_of_a_trial_at_the_papers_scale() -> None:
    work = derive_work(settings_of(), 86_017, 11_522)
    # 1,344 whole batches of 64; 2 x 3 at 256 pixels after epochs 5, 10, ... 45 and at the end with 1 x 1 at 224.
    assert work.training_clips == 50 * 1_344 * 64
    assert dict(work.views) == {256: 11_522 * 6 * 10, 224: 11_522}
    # 2 x 3 has the centers and the starts of segments; the centers are those of 1 x 1.
    assert dict(work.readings) == {8: 50 * 1_344 * 64, 16: 11_522 * 10}
    assert work.opened == 50 * 1_344 * 64 + 11_522 * 10
    assert work.images == 8 * (50 * 1_344 * 64 + 11_522 * 10 * 2)


def test_flow_reads_two_images_for_each_displacement() -> None:
    flow = derive_work(settings_of(arm="STH flow 16f", experiment="table2"), 640, 64)
    color = derive_work(settings_of(arm="STH 16f", experiment="table2"), 640, 64)
    assert flow.opened == color.opened
    assert flow.images == 10 * color.images


def test_gmacs_of_views_grow_with_their_area() -> None:
    work = derive_work(settings_of("training.epochs=1", "training.batch_size=10"), 10, 1)
    training, evaluation = work.count_gmacs(33.0, 224)
    assert training == 3 * 10 * 33
    assert evaluation == pytest.approx(33 * (1 + 6 * (256 / 224) ** 2))


def test_what_a_trial_leaves_behind() -> None:
    left = derive_footprint(settings_of(), 23.5, 11_522, 174, 90)
    assert left.checkpoint == 94_000_000
    assert left.peak_checkpoint == 4 * 94_000_000
    assert left.scores == 11_522 * 7 * 174 * 4
    # Loss, accuracy and rate of 50 epochs; validation loss and accuracy after every fifth.
    assert left.rows == 90 + 3 * 50 + 2 * 10


def test_without_validation_amid_training_the_last_one_counts() -> None:
    short = settings_of("evaluation.every=0", "training.epochs=2")
    assert dict(derive_work(short, 64, 10).views) == {256: 60, 224: 10}
    assert derive_footprint(short, 1.0, 10, 2, 0).rows == 3 * 2 + 2
