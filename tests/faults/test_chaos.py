"""The short version of the chaos test: each kind of victim once. The long one is ``python -m tests.faults.chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.running.store import Store
from tests.faults.chaos import VICTIMS, run_chaos
from tests.faults.grid import ToyGrid


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_anything_is_killed(tmp_path: Path) -> None:
    grid = ToyGrid(Store.at(tmp_path / "store"), epochs=8, specs=("table8",))
    chaos = run_chaos(tmp_path, grid, kills=len(VICTIMS), seed=3, seconds=1.0, limit=400)
    assert sum(chaos.killed.values()) == len(VICTIMS)
    assert set(chaos.killed) == set(VICTIMS)
