"""Peak memory: from what Linux says, and why there is none where it does not say it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from study.cost.runtime.memory import GIB, ResidentGauge, sum_storage


def write_status(path: Path, now: int, top: int) -> None:
    path.write_text(f"Name:\tpython\nVmHWM:\t{top:>8} kB\nVmRSS:\t{now:>8} kB\n")


def test_the_peak_is_what_a_pass_adds(tmp_path: Path) -> None:
    status, clear = tmp_path / "status", tmp_path / "clear_refs"
    write_status(status, 50_000, 51_000)
    peak = ResidentGauge(status, clear).measure(lambda: write_status(status, 52_000, 50_000 + 3 * 1024))
    assert clear.read_text() == "5"
    assert peak.gib == pytest.approx(3 / 1024)


def test_a_system_that_keeps_the_peak_of_before_gives_none(tmp_path: Path) -> None:
    status, clear = tmp_path / "status", tmp_path / "clear_refs"
    write_status(status, 50_000, 900_000)
    peak = ResidentGauge(status, clear).measure(lambda: None)
    assert (peak.gib, peak.note) == (None, "the system does not forget the peak of before")

    write_status(status, 50_000, 50_000)
    refused = ResidentGauge(status, tmp_path / "no" / "such").measure(lambda: None)
    assert refused.gib is None
    assert "cannot be written: No such file" in refused.note

    status.write_text("Name:\tpython\n")
    silent = ResidentGauge(status, clear).measure(lambda: None)
    assert (silent.gib, silent.note) == (None, f"{status} does not tell it")


def test_memory_that_a_real_pass_takes_is_seen() -> None:
    def take() -> None:
        torch.ones(96 * 2**18)  # 96 MiB, written to

    peak = ResidentGauge().measure(take)
    if peak.gib is None:
        pytest.skip(f"this system does not tell the peak of a process: {peak.note}")
    assert 90 / 1024 < peak.gib < 160 / 1024


def test_shared_storage_counts_once() -> None:
    tensor = torch.zeros(2**18)
    assert sum_storage([tensor, tensor.view(2, -1), torch.zeros(2**18)]) == 2 * 2**20 / GIB
