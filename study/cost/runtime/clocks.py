"""Clocks. Nothing but the pass itself stands between the two readings of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from study.spec.runtime import RuntimeConditions

Step = Callable[[], object]
"""One pass of a network whose input is at hand."""


@dataclass(frozen=True)
class Reading:
    """What one pass took: ``seconds`` by the clock that is compared, ``wall_seconds`` by the clock on the wall."""

    seconds: float
    wall_seconds: float


class Timer(Protocol):
    """Takes the time of a pass."""

    def measure(self, step: Step) -> Reading:
        """Run ``step`` once."""
        ...


class ProcessTimer:
    """Time that this process spent computing, in all its threads.

    On a shared machine a pass waits for other processes; the wall's clock counts that, this one does not. With several
    threads it adds their times up and says nothing about how long anybody waits, so it is for one thread.
    """

    def measure(self, step: Step) -> Reading:
        wall, spent = time.perf_counter(), time.process_time()
        step()
        spent, wall = time.process_time() - spent, time.perf_counter() - wall
        return Reading(spent, wall)


class WallTimer:
    """Time by the clock on the wall."""

    def measure(self, step: Step) -> Reading:
        wall = time.perf_counter()
        step()
        wall = time.perf_counter() - wall
        return Reading(wall, wall)


class EventTimer:
    """Time between two events on the current CUDA stream, which the GPU itself stamps. The device is idle before."""

    def __init__(self) -> None:
        self._begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def measure(self, step: Step) -> Reading:
        torch.cuda.synchronize()
        wall = time.perf_counter()
        self._begin.record()
        step()
        self._end.record()
        self._end.synchronize()
        wall = time.perf_counter() - wall
        return Reading(self._begin.elapsed_time(self._end) / 1000, wall)


def choose_timer(conditions: RuntimeConditions) -> Timer:
    """The timer of :attr:`~study.spec.runtime.RuntimeConditions.clock`."""
    if conditions.clock == "CUDA events":
        return EventTimer()
    return ProcessTimer() if conditions.clock == "process CPU time" else WallTimer()
