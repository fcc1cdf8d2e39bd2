"""Costs on disk, so that a plan shows them without importing torch.

One small JSON file a cost, named by a digest of everything it depends on: the model, the classes, the
geometry of a view, and the source of the networks and the counters. A change of that code makes every entry
unreachable.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from study.errors import StoreError
from study.spec.model import ModelSpec
from study.spec.record import Cost, write_atomically
from study.spec.trial import derive_digest, identity_dump

PACKAGE = Path(__file__).resolve().parents[1]
SOURCES = ("models", "cost", "spec/blocks", "spec/model.py")
"""What a cost depends on, in the package."""
APART = "cost/runtime"
"""What lies among them and decides no count: the timer."""


class CostCache:
    """The costs kept in ``folder``, which is made when the first one is stored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(
        self, model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
    ) -> Path:
        """The file that holds, or would hold, this cost."""
        dumped = identity_dump(model)
        dumped.pop("init", None)
        key = {
            "model": dumped,
            "num_classes": num_classes,
            "frames": frames,
            "size": size,
            "in_channels": in_channels,
        }
        return self.folder / f"{derive_digest(key | {'code': source_fingerprint()})[:24]}.json"

    def lookup(
        self, model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
    ) -> Cost | None:
        """The cost of one view, or None when it is not known; a damaged entry counts as unknown.

        Raises:
            StoreError: when the entry exists and cannot be read.
        """
        path = self.path(model, num_classes=num_classes, frames=frames, size=size, in_channels=in_channels)
        try:
            return Cost.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None

    def store(
        self, cost: Cost, model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
    ) -> None:
        """Keep ``cost``; an entry that exists is replaced.

        Raises:
            StoreError: when it cannot be written.
        """
        path = self.path(model, num_classes=num_classes, frames=frames, size=size, in_channels=in_channels)
        try:
            write_atomically(path, cost.model_dump_json(indent=1))
        except OSError as error:
            raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None


@lru_cache(maxsize=1)
def source_fingerprint() -> str:
    """SHA-256 over the names and bytes of the sources that a cost depends on."""
    digest = hashlib.sha256()
    for source in SOURCES:
        path = PACKAGE / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file.is_relative_to(PACKAGE / APART):
                continue
            digest.update(f"{file.relative_to(PACKAGE).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
