"""The device a trial runs on, and arithmetic that repeats itself."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from study.errors import SpecError
from study.spec.training import TrainingSpec


def choose_device(gpus: float) -> torch.device:
    """The GPU that the scheduler gave this process when the trial asked for one, else the CPU."""
    return torch.device("cuda", 0) if gpus > 0 and torch.cuda.is_available() else torch.device("cpu")


def set_up_arithmetic(training: TrainingSpec, *, threads: int) -> None:
    """Thread count and deterministic algorithms for this process."""
    torch.set_num_threads(max(1, threads))
    # cuBLAS is deterministic only with a fixed workspace; it reads this when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(training.deterministic, warn_only=True)
    # By default every new tensor is then filled with NaN first, which shows a program that reads what it has not
    # written. It takes 4 to 6 % of a step at the laptop's scale.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not training.deterministic


def open_autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of the forward pass at ``precision``.

    Raises:
        SpecError: for fp16 on a CPU, which has no loss scaling worth its name.
    """
    if precision == "fp32":
        return nullcontext()
    if precision == "fp16" and device.type == "cpu":
        raise SpecError("training.precision: fp16 needs a GPU; on a CPU allowed: fp32, bf16")
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)
