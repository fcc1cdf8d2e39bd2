"""What a record says about the place where a trial ran."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

import torch

from study.running.commit import find_commit
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
