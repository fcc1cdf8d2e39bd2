"""Rounds, under a clock that is told what to say."""

from __future__ import annotations

import weakref
from collections import Counter

import pytest

from study.cost.runtime.clocks import Reading, Step
from study.cost.runtime.rounds import draw_orders, measure_rounds


class FakeTimer:
    """Says of the n-th pass that it took n seconds."""

    def __init__(self) -> None:
        self.count = 0

    def measure(self, step: Step) -> Reading:
        step()
        self.count += 1
        return Reading(self.count, 2 * self.count)


def record_steps(names: str, log: list[str]) -> dict[str, Step]:
    return {name: (lambda name=name: log.append(name)) for name in names}  # type: ignore[misc]


def test_every_network_runs_once_in_every_round_and_warm_up_does_not_count() -> None:
    log: list[str] = []
    told: list[tuple[int, int]] = []
    found = measure_rounds(
        record_steps("abc", log),
        FakeTimer(),
        rounds=4,
        warmup=2,
        seed=3,
        progress=lambda *state: told.append(state),
    )
    assert len(log) == 18
    by_round = [tuple(log[begin : begin + 3]) for begin in range(0, 18, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in by_round)
    assert found.orders == by_round[2:]
    assert told == [(n, 6) for n in range(1, 7)]
    # Six passes of warm-up, then the pass's own number: each reading is of the round and place that it says.
    for name in "abc":
        places = [6 + 3 * number + order.index(name) + 1 for number, order in enumerate(found.orders)]
        assert [reading.seconds for reading in found.readings[name]] == places
        assert [reading.wall_seconds for reading in found.readings[name]] == [2 * place for place in places]


def test_orders_are_drawn_anew_and_repeat_with_their_seed() -> None:
    orders = draw_orders("abcd", 2400, seed=1)
    assert orders == draw_orders("abcd", 2400, seed=1)
    assert orders != draw_orders("abcd", 2400, seed=2)
    counts = Counter(orders)
    assert len(counts) == 24
    # Each of the 24 orders is expected 100 times, with a standard deviation below 10.
    assert all(50 < count < 150 for count in counts.values())


@pytest.mark.parametrize("fails_in", [0, 3])
def test_a_network_that_fails_gives_its_memory_back_and_the_others_go_on(fails_in: int) -> None:
    class Held:
        runs = 0

        def __call__(self) -> None:
            self.runs += 1
            if self.runs > fails_in:
                raise MemoryError("out of memory\nand a page of explanation")

    held = Held()
    seen = weakref.ref(held)
    log: list[str] = []
    steps: dict[str, Step] = {**record_steps("ab", log), "c": held}
    del held
    alive: list[bool] = []
    found = measure_rounds(
        steps,
        FakeTimer(),
        rounds=5,
        warmup=1,
        seed=0,
        progress=lambda done, total: alive.append(seen() is not None),
    )
    assert found.failures == {"c": "MemoryError: out of memory"}
    assert sorted(found.readings) == ["a", "b"]
    assert {len(readings) for readings in found.readings.values()} == {5}
    assert log.count("a") == log.count("b") == 6
    assert alive == [number < fails_in for number in range(6)]
    assert ["c" in order for order in found.orders] == [number <= fails_in for number in range(1, 6)]


def test_an_interruption_is_no_failure_of_a_network() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_rounds({"a": stop}, FakeTimer(), rounds=1, warmup=0, seed=0)
