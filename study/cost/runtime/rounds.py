"""Interleaved rounds: whatever a machine does meanwhile, it does to all networks alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from study.cost.runtime.clocks import Reading, Step, Timer

Progress = Callable[[int, int], None]
"""Called with (done, total) rounds."""
REASON_LENGTH = 500


@dataclass
class Rounds:
    """What the rounds gave.

    Attributes:
        readings: of each network that got through all rounds, one a round that counts.
        failures: why the others did not.
        orders: names in each round that counts as they were run.
    """

    readings: dict[str, list[Reading]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    orders: list[tuple[str, ...]] = field(default_factory=list)


def draw_orders(names: Sequence[str], rounds: int, seed: int) -> list[tuple[str, ...]]:
    """For each round every name once, in an order of its own; the same for the same ``seed``."""
    random = Random(seed)
    return [tuple(random.sample(list(names), len(names))) for _ in range(rounds)]


def measure_rounds(
    steps: dict[str, Step],
    timer: Timer,
    *,
    rounds: int,
    warmup: int,
    seed: int,
    progress: Progress = lambda done, total: None,
) -> Rounds:
    """Time every step once in each of ``warmup + rounds`` rounds; the first ``warmup`` do not count.

    Args:
        steps: by name. A step that raises is taken out, with the memory it holds, and the others go on.
        timer: what takes the times.
        rounds: rounds that count.
        warmup: rounds before them.
        seed: of the orders.
        progress: told after each round.
    """
    found = Rounds()
    orders = draw_orders(list(steps), warmup + rounds, seed)
    collecting = gc.isenabled()
    gc.disable()  # a collection would count for whichever network it happens in
    try:
        for number, order in enumerate(orders):
            ran = tuple(name for name in order if name in steps)
            for name in ran:
                try:
                    reading = timer.measure(steps[name])
                except Exception as error:  # whatever it is, it is one network's
                    found.failures[name] = describe_failure(error)
                    del steps[name]
                    continue
                if number >= warmup:
                    found.readings.setdefault(name, []).append(reading)
            if number >= warmup:
                found.orders.append(ran)
            gc.collect()
            progress(number + 1, len(orders))
    finally:
        if collecting:
            gc.enable()
    found.readings = {name: found.readings[name] for name in steps}
    return found


def describe_failure(error: Exception) -> str:
    """Why a network has no times, in a line: "OutOfMemoryError: CUDA out of memory"."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else '(no message)'}"[:REASON_LENGTH]
