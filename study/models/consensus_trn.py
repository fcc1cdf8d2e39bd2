"""TRN's multi-scale head: relations between ordered subsets of frames.

Zhou et al., "Temporal Relational Reasoning in Videos", ECCV 2018, Eq. 3 and section 3.3. The features of
every frame pass a linear layer to 256 (the recognizer's classifier). For each scale s = 2 .. T a perceptron
of its own sees s frames in order, ReLU, 256 s -> 256, ReLU, 256 -> K, and the scores of all scales and
subsets are added up, not averaged.

Scale T has one subset. Of the others, min(3, C(T, s)) different ones are drawn anew in each forward pass of
training, from torch's global random state, as in the authors' code. That code draws in testing too, so its
scores change from run to run; here testing has subsets that depend on T and s alone and are the same in every
trial.

With 8 frames and 174 classes the head gives 26.64 M parameters with a ResNet-50 and 13.14 M with BNInception.
The published 31.8 M and 18.3 M are 5.2 M higher and cannot be had from the head that the authors released.
"""

from __future__ import annotations

from math import comb

import torch
from torch import Tensor, nn

from study.errors import ModelError
from study.models.consensus import Consensus
from study.models.initialization import NewLayer
from study.seeding import derive_seed

FEATURES = 256
"""Features of a frame, and hidden units of each scale's perceptron."""
SUBSETS = 3
"""Subsets of frames for each scale, at most."""

Subset = tuple[int, ...]
"""Frames in ascending order."""


class TRNMultiscale(Consensus, NewLayer):
    """From the features of frames (N, T, 256) to scores of clips (N, K).

    Args:
        num_classes: K.
        frames: T, at least 2.

    Raises:
        ModelError: for fewer frames.
    """

    def __init__(self, num_classes: int, frames: int) -> None:
        super().__init__()
        if frames < 2:
            raise ModelError(
                f"model.consensus: 'trn' relates frames and needs at least 2, got {frames}; networks of whole "
                "clips put out one (allowed: avg)"
            )
        self.inputs = FEATURES
        self.frames = frames
        self.scales = range(frames, 1, -1)
        self.relations = nn.ModuleList(_perceptron(scale, num_classes) for scale in self.scales)
        self.test_subsets = [fixed_subsets(frames, scale) for scale in self.scales]

    def forward(self, scores: Tensor) -> Tensor:
        subsets = [draw_subsets(self.frames, s) for s in self.scales] if self.training else self.test_subsets
        frames = scores.unbind(dim=1)
        parts = []
        for relation, chosen in zip(self.relations, subsets, strict=True):
            tuples = [torch.cat([frames[t] for t in subset], dim=1) for subset in chosen]
            parts.append(relation(torch.stack(tuples, dim=1)).sum(dim=1))
        return torch.stack(parts).sum(dim=0)

    def init_parameters(self, generator: torch.Generator) -> None:
        """Torch's own initial values of a linear layer, which the authors' code leaves in place."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


def _perceptron(scale: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(), nn.Linear(scale * FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, num_classes)
    )


def draw_subsets(frames: int, scale: int) -> list[Subset]:
    """Different random subsets of ``scale`` of ``frames`` frames, min(3, C(T, s)) of them."""
    drawn: set[Subset] = set()
    while len(drawn) < min(SUBSETS, comb(frames, scale)):
        drawn.add(tuple(sorted(torch.randperm(frames)[:scale].tolist())))
    return sorted(drawn)


def fixed_subsets(frames: int, scale: int) -> list[Subset]:
    """The subsets of testing: as many as :func:`draw_subsets` has, by a hash of T, s and a counter.

    >>> fixed_subsets(3, 2)
    [(0, 1), (0, 2), (1, 2)]
    """
    count = comb(frames, scale)
    ranks: list[int] = []
    attempt = 0
    while len(ranks) < min(SUBSETS, count):
        rank = derive_seed("trn", frames, scale, attempt) % count
        ranks += [rank] if rank not in ranks else []
        attempt += 1
    return [unrank_subset(frames, scale, rank) for rank in sorted(ranks)]


def unrank_subset(frames: int, scale: int, rank: int) -> Subset:
    """The subset number ``rank`` of all C(T, s) in lexicographic order.

    >>> unrank_subset(4, 2, 3)
    (1, 2)
    """
    subset: list[int] = []
    for frame in range(frames):
        left = scale - len(subset)
        if not left:
            break
        with_frame = comb(frames - frame - 1, left - 1)
        if rank < with_frame:
            subset.append(frame)
        else:
            rank -= with_frame
    return tuple(subset)
