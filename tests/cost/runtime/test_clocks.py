"""Clocks: which of them is read, and that nothing but the pass lies between two readings."""

from __future__ import annotations

import time

import pytest

from study.cost.runtime.clocks import ProcessTimer, Timer, WallTimer, choose_timer
from study.spec.runtime import RuntimeConditions


@pytest.mark.parametrize(("timer", "seconds"), [(ProcessTimer(), 3.0), (WallTimer(), 5.0)])
def test_a_timer_reads_its_clock_right_before_and_right_after(
    monkeypatch: pytest.MonkeyPatch, timer: Timer, seconds: float
) -> None:
    now = {"cpu": 100.0, "wall": 900.0}
    log: list[str] = []

    def read(name: str) -> float:
        log.append(name)
        return now[name]

    def step() -> None:
        log.append("step")
        now["cpu"] += 3.0
        now["wall"] += 5.0

    monkeypatch.setattr(time, "process_time", lambda: read("cpu"))
    monkeypatch.setattr(time, "perf_counter", lambda: read("wall"))
    reading = timer.measure(step)
    assert (reading.seconds, reading.wall_seconds) == (seconds, 5.0)
    assert log in (["wall", "cpu", "step", "cpu", "wall"], ["wall", "step", "wall"])


def test_waiting_is_no_time_of_the_process() -> None:
    reading = ProcessTimer().measure(lambda: time.sleep(0.2))
    assert reading.wall_seconds >= 0.2
    assert reading.seconds < reading.wall_seconds


def test_one_thread_is_timed_by_the_process_and_several_by_the_wall() -> None:
    assert isinstance(choose_timer(RuntimeConditions(threads=1)), ProcessTimer)
    assert isinstance(choose_timer(RuntimeConditions(threads=2)), WallTimer)
