"""What follows the backbone: the classifier, a linear layer on every frame, and the consensus over frames."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from study.cost.oracle.geometry import Cost, LayerCost
from study.spec.model import ModelSpec

TRN_FEATURES = 256
TRN_SUBSETS = 3


def derive_head(model: ModelSpec, *, features: int, num_classes: int, frames: int) -> Iterator[LayerCost]:
    """The layers after a backbone that puts out ``features`` numbers for each of ``frames`` frames."""
    outputs = TRN_FEATURES if model.consensus == "trn" else num_classes
    yield LayerCost("classifier", (features + 1) * outputs, features * outputs * frames)
    if model.consensus == "trn":
        yield LayerCost("consensus", *_trn(num_classes, frames))


def _trn(num_classes: int, frames: int) -> Cost:
    """TRN, multi-scale: a perceptron 256 s -> 256 -> K for each scale s, run on up to three subsets of frames."""
    params = macs = 0
    for scale in range(2, frames + 1):
        weights = TRN_FEATURES * (scale * TRN_FEATURES + num_classes)
        params += weights + TRN_FEATURES + num_classes
        macs += weights * min(TRN_SUBSETS, comb(frames, scale))
    return params, macs
