"""Weights as the compiled kernels read them, packed once for as long as they stay what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from study.kernels.native import build, kernel

Key = tuple[object, ...]


@dataclass(frozen=True)
class _Packed:
    """Packed weights, and of which state of which weights."""

    storages: tuple[StorageWeakRef, StorageWeakRef]
    versions: tuple[int, int]
    weights: Tensor

    @property
    def dead(self) -> bool:
        return any(storage.expired() for storage in self.storages)  # type: ignore[no-untyped-call]


_kept: dict[Key, _Packed] = {}


def pack_once(
    layer: kernel.Layer, spatial_weight: Tensor, temporal_weight: Tensor, dtype: torch.dtype
) -> Tensor:
    """:func:`study.kernels.native.kernel.pack`, which takes a few percent of the time of a layer, but only where these
    weights have changed since the last time: written in place, moved, converted or replaced.

    PyTorch counts how often a tensor was written, and that is what tells a change. It does not count writing through
    ``weight.data``, which is therefore not seen, nor anything that happens to a tensor made under
    ``torch.inference_mode``, which is packed every time.
    """
    weights = spatial_weight, temporal_weight
    if any(weight.is_inference() for weight in weights):
        return kernel.pack(layer, *weights, dtype)
    key = (layer, dtype, build.requested(), *(_locate(weight) for weight in weights))
    versions = spatial_weight._version, temporal_weight._version
    found = _kept.get(key)
    # A reference that is held keeps the number of a storage from being given to another one.
    if found is not None and found.versions == versions and not found.dead:
        return found.weights
    for old in [other for other, packed in list(_kept.items()) if packed.dead]:
        _kept.pop(old, None)
    first, second = (StorageWeakRef(weight.untyped_storage()) for weight in weights)  # type: ignore[no-untyped-call]
    packed = kernel.pack(layer, *weights, dtype)
    _kept[key] = _Packed((first, second), versions, packed)
    return packed


def _locate(weight: Tensor) -> tuple[Any, ...]:
    """Which numbers of which storage a tensor is made of."""
    storage = weight.untyped_storage()._cdata
    return storage, weight.data_ptr(), weight.dtype, tuple(weight.shape), weight.stride()
