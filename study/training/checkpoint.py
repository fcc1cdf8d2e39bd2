"""Checkpoints: everything a trial needs to go on from the end of an epoch as if nothing had happened."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from study.errors import StoreError
from study.spec.record import write_atomically

CHECKPOINT_VERSION = 1


def save_checkpoint(
    path: Path,
    *,
    epoch: int,
    model: dict[str, Any],
    optimizer: dict[str, Any] | None,
    scaler: dict[str, Any] | None = None,
    history: dict[str, float] | None = None,
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        epoch: epochs finished.
        model: state dict of the model.
        optimizer: state dict of the optimizer; None once training has ended, when only weights matter.
        scaler: state dict of the gradient scaler, for fp16.
        history: training figures of the last epoch.

    No random state is needed: every random choice derives from (seed, repeat, epoch, video), see
    :mod:`study.seeding`; dropout is seeded anew at the start of each epoch.
    """
    buffer = io.BytesIO()
    state = {
        "version": CHECKPOINT_VERSION,
        "epoch": epoch,
        "model": model,
        "optimizer": optimizer,
        "scaler": scaler,
        "history": history or {},
    }
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint at ``path``, on the CPU; None when there is none.

    Raises:
        StoreError: when the file is damaged or of another version. It is never unpickled beyond tensors.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise StoreError(
            f"{path}: not a readable checkpoint ({type(error).__name__}); delete it to start anew"
        ) from error
    if not isinstance(state, dict) or state.get("version") != CHECKPOINT_VERSION:
        raise StoreError(f"{path}: checkpoint of another version; delete it to start anew")
    return state
