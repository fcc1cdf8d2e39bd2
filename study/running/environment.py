"""What a record says about the place where a trial ran."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from study.spec.record import Environment

LIBRARIES = ("torch", "torchvision", "fvcore", "decord", "av", "numpy", "ray", "mlflow")


def describe_environment(device: torch.device) -> Environment:
    """The environment of this process."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return Environment(
        python=platform.python_version(),
        platform=f"{sys.platform}-{platform.machine()}",
        device=f"{device.type}: {name}",
        versions={name: version for name in LIBRARIES if (version := _version(name))},
        git_commit=find_commit(),
        threads=torch.get_num_threads(),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@cache
def find_commit() -> str | None:
    """The git commit of this code, with "-dirty" when tracked files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None
