"""The short version of the chaos test: each kind of victim once. The long one is ``python -m tests.faults.chaos``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.chaos import VICTIMS, run_chaos


@pytest.mark.long
def test_nothing_is_lost_or_doubled_when_anything_is_killed(tmp_path: Path) -> None:
    chaos = run_chaos(tmp_path, kills=len(VICTIMS), epochs=8, seed=3, seconds=2.0, limit=600)
    assert sum(chaos.killed.values()) == len(VICTIMS)
    assert set(chaos.killed) == set(VICTIMS)
