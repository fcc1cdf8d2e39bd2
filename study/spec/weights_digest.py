"""Which file holds a backbone's initial weights, and what identifies its content. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from study.errors import WeightsError, suggest
from study.spec.model import InitSpec

IMAGENET_FILES: dict[str, str] = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "vgg16_bn": "vgg16_bn-6c64b313.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
    "i3d_resnet50": "resnet50-0676ba61.pth",
    "i3d_resnet50_k400": "resnet50-0676ba61.pth",
    "i3d_inception": "googlenet-1378be20.pth",
    "stnet50": "resnet50-0676ba61.pth",
    "stnet101": "resnet101-63fe2227.pth",
}
"""torchvision's IMAGENET1K_V1 weights, the ones of the paper's time. The name ends in the first digits of the
file's SHA-256. A 3D network has the file of the 2D network that it inflates."""
IMAGENET_URL = "https://download.pytorch.org/models/"


def hub_folder() -> Path:
    """Folder where torch.hub keeps weights: TORCH_HOME, else XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def find_weights(init: InitSpec, backbone: str) -> Path | None:
    """The file of initial weights, whether or not it exists; None without one.

    Raises:
        WeightsError: when ``imagenet`` is asked for and torchvision has none for this backbone.
    """
    if init.weights == "random":
        return None
    if isinstance(init.weights, Path):
        return init.weights
    return hub_folder() / _imagenet_file(backbone)


def weights_digest(init: InitSpec, backbone: str) -> str:
    """What identifies the content of the initial weights; empty without any.

    For ``imagenet`` it is the file's name, which carries the digest of its content, so that trials can be
    planned where the file is absent; loading checks the content against it. For a file of the user it is the
    SHA-256 of its bytes.

    Raises:
        WeightsError: when the user's file cannot be read, or the backbone has no ImageNet weights.
    """
    if init.weights == "random":
        return ""
    if isinstance(init.weights, Path):
        return file_sha256(init.weights)
    return _imagenet_file(backbone).removesuffix(".pth")


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of the file at ``path``, in hexadecimal.

    Raises:
        WeightsError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"model.init.weights: {path}: cannot be read: {error.strerror or error}") from None


def _imagenet_file(backbone: str) -> str:
    if backbone not in IMAGENET_FILES:
        raise WeightsError(
            f"model.init.weights: 'imagenet': torchvision has no ImageNet weights for backbone '{backbone}'; "
            f"{suggest(backbone, IMAGENET_FILES)}"
        )
    return IMAGENET_FILES[backbone]
