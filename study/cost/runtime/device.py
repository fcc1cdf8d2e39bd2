"""What networks run on: whether it is there, and what it is called."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

import torch

from study.errors import SpecError

CPU_INFO = Path("/proc/cpuinfo")


def check_device(device: str) -> None:
    """Raise SpecError where PyTorch cannot use ``device``."""
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError("--device cuda: PyTorch finds no GPU on this machine; allowed here: cpu")


def name_device(device: str, cpu_info: Path = CPU_INFO) -> str:
    """The device with its maker's name: "cpu: AMD EPYC 9R14", "cuda: NVIDIA H200"; the architecture of a CPU that
    does not tell.
    """
    if device == "cuda":
        return f"cuda: {torch.cuda.get_device_name()}"
    with suppress(OSError):
        for line in cpu_info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return f"cpu: {' '.join(value.split())}"
    return f"cpu: {platform.machine()}"
