"""From the classifier's outputs by frame to scores by clip."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from study.registry import Registry


class Consensus(nn.Module):
    """What follows the classifier, a linear layer on the features of one frame.

    Maps its outputs (N, T, ``inputs``) to scores (N, K).

    Attributes:
        inputs: outputs of the linear layer; K unless the consensus has layers of its own.
    """

    inputs: int


class Average(Consensus):
    """The mean over frames of their scores (Wang et al., "Temporal Segment Networks", ECCV 2016)."""

    def __init__(self, num_classes: int, frames: int) -> None:
        super().__init__()
        self.inputs = num_classes

    def forward(self, scores: Tensor) -> Tensor:
        return scores.mean(dim=1)


ConsensusBuilder = Callable[[int, int], Consensus]
"""``build(num_classes, frames) -> Consensus``. Layers with parameters are :class:`NewLayer`."""

CONSENSUS: Registry[ConsensusBuilder] = Registry(
    "consensus",
    {
        "avg": "study.models.consensus:Average",
        "trn": "study.models.consensus_trn:TRNMultiscale",
    },
)
