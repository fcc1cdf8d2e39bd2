"""Memory of a network: its own tensors, and what one pass takes on top of them at most."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from study.cost.runtime.clocks import Step

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What makes Linux forget the largest resident set so far (proc(5), clear_refs)."""
SLACK_KIB = 4096
"""By which a resident set may grow between forgetting its peak and reading it."""
GIB = 2**30


@dataclass(frozen=True)
class Peak:
    """Peak memory in GiB, or None with the reason."""

    gib: float | None
    note: str = ""


class Gauge(Protocol):
    """Measures the memory of a pass."""

    def measure(self, step: Step) -> Peak:
        """Run ``step`` once, which has run before; what it took at most over what was taken when it began."""
        ...


class ResidentGauge:
    """The resident set of this process, whose peak Linux keeps. Pages that a library holds for later are given back
    before the pass as far as it lets them go, so it is exact to some MiB.
    """

    def __init__(self, status: Path = STATUS, clear_refs: Path = CLEAR_REFS) -> None:
        self._status, self._clear_refs = status, clear_refs

    def measure(self, step: Step) -> Peak:
        gc.collect()
        with suppress(OSError, AttributeError):  # other systems have no glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        problem, base = self._reset(), self._read("VmRSS")
        step()
        top = self._read("VmHWM")
        if problem or top is None or base is None:
            return Peak(None, problem or f"{self._status} does not tell it")
        return Peak((top - base) * 1024 / GIB)

    def _reset(self) -> str:
        """Forget the peak; why that was not possible."""
        try:
            self._clear_refs.write_text(RESET_PEAK)
        except OSError as error:
            return f"{self._clear_refs} cannot be written: {error.strerror or error}"
        top, now = self._read("VmHWM"), self._read("VmRSS")
        if top is None or now is None:
            return f"{self._status} does not tell it"
        return "" if top <= now + SLACK_KIB else "the system does not forget the peak of before"

    def _read(self, field: str) -> int | None:
        """A field of the status file, KiB."""
        with suppress(OSError, ValueError):
            for line in self._status.read_text().splitlines():
                name, _, value = line.partition(":")
                if name == field:
                    return int(value.split()[0])
        return None


class CudaGauge:
    """What PyTorch's allocator hands out on the current GPU."""

    def measure(self, step: Step) -> Peak:
        gc.collect()
        torch.cuda.synchronize()
        base = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return Peak((torch.cuda.max_memory_allocated() - base) / GIB)


def sum_storage(tensors: Iterable[Tensor]) -> float:
    """GiB of what lies behind ``tensors``, shared storage once."""
    storages = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
    return sum(storages.values()) / GIB


def choose_gauge(device: str) -> Gauge:
    """The gauge for ``device``, "cpu" or "cuda"."""
    return CudaGauge() if device == "cuda" else ResidentGauge()
