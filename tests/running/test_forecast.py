"""The forecast of the time that is left: by hand, and by simulation."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from study.running.forecast import AtWork, Forecast, estimate_work
from study.spec.loading import load_study


def test_seconds_are_a_constant_and_a_rate() -> None:
    # 5 + 2 x work: the third trial was never seen.
    forecast = Forecast({"a": 7.0, "b": 25.0}, {"a": 1.0, "b": 10.0, "c": 30.0})
    assert forecast.seconds_of("c") == pytest.approx(65.0)


def test_one_finished_trial_gives_a_rate_and_none_the_prior() -> None:
    work = {"a": 2.0, "b": 6.0}
    assert Forecast({"a": 10.0}, work).seconds_of("b") == pytest.approx(30.0)
    assert Forecast({}, work, prior=35.0).seconds_of("b") == 35.0
    assert Forecast({}, work).seconds_of("b") is None
    assert Forecast({}, work).seconds_for(["a", "b"], 2) is None


def test_a_trial_of_unknown_work_takes_the_mean() -> None:
    assert Forecast({"a": 10.0, "b": 30.0}, {"a": 1.0, "b": 3.0}).seconds_of("c") == 20.0


def test_trials_are_laid_out_on_the_places() -> None:
    work = {name: float(seconds) for name, seconds in zip("abcd", (10, 4, 5, 3), strict=True)}
    finished = {"a": 10.0}
    # Two places: a until 10; b until 4, c until 9, d until 12.
    assert Forecast(finished, work).seconds_for(list("abcd"), 2) == pytest.approx(12.0)
    # Another like a has had 8 of its 10 s: b starts at once and ends at 4, c on its place from 2 to 7, d from 4 to 7.
    work["e"] = 10.0
    assert Forecast(finished, work, {"e": AtWork(8.0)}).seconds_for(list("bcd"), 2) == pytest.approx(7.0)
    # One that takes longer than foreseen is about to end, unless its epochs say otherwise.
    assert Forecast(finished, work, {"e": AtWork(80.0)}).seconds_for([], 2) == 0.0
    assert Forecast(finished, work, {"e": AtWork(80.0, 0.75, 75.0)}).seconds_for([], 2) == pytest.approx(20.0)


def test_more_running_than_places_wait_for_the_first() -> None:
    work = dict.fromkeys("abcd", 1.0)
    forecast = Forecast({"a": 10.0}, work, {"b": AtWork(0.0), "c": AtWork(4.0)})
    assert forecast.seconds_for(["d"], 1) == pytest.approx(16.0)


def test_within_15_percent_after_20_percent_of_the_work() -> None:
    """Grids of arms of very different cost, three repeats, times that scatter by 10 %, two to eight places."""
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        arms, places = int(generator.integers(4, 20)), int(generator.integers(2, 9))
        cost = generator.uniform(1, 10, arms)
        ids = [f"{repeat}-{arm}" for repeat in range(3) for arm in range(arms)]
        work = {name: float(cost[int(name.split("-")[1])]) for name in ids}
        constant, rate = generator.uniform(0, 10), generator.uniform(5, 20)
        seconds = {name: (constant + rate * work[name]) * generator.normal(1, 0.1) for name in ids}
        ends, clock = {}, [0.0] * places
        for name in ids:
            ends[name] = heapq.heappop(clock) + seconds[name]
            heapq.heappush(clock, ends[name])
        now = 0.2 * max(ends.values())
        finished = {name: seconds[name] for name in ids if ends[name] <= now}
        begun = {name: now - ends[name] + seconds[name] for name in ids if name not in finished}
        running = {
            name: AtWork(spent, epochs / 10, epochs / 10 * seconds[name])
            for name, spent in begun.items()
            if spent >= 0
            for epochs in [int(10 * spent / seconds[name])]
        }
        waiting = [name for name in ids if name not in finished and name not in running]
        left = Forecast(finished, work, running, prior=60.0).seconds_for(waiting, places)
        assert left is not None
        errors.append(abs(left / (max(ends.values()) - now) - 1))
    assert np.quantile(errors, 0.95) < 0.15


def test_work_is_training_and_evaluation() -> None:
    settings = load_study(["table6"]).experiments[0].arm("p=1/4").settings
    gmacs = 0.0447  # of one view, as the report of the laptop study has it
    work = estimate_work(settings, train_videos=900, val_videos=480)
    assert work == pytest.approx(gmacs * (900 * 8 * 3 + 480), rel=2e-3)
    network = load_study(["table2"]).experiments[0].arm("I3D").settings
    assert estimate_work(network, 900, 480) is None
