"""Attentive integration of the spatial and the temporal part (STH, section 3.2, Eq. 3, Fig. 4).

    O = alpha_S * O_S + alpha_T * O_T,    alpha in R^(C_o), one pair of vectors for each clip.

Fig. 4 is not readable in the text we have. The structures here are those whose parameter count, C^2 for each
block up to biases, fits the published 22.0 M -> 23.2 M; the count cannot choose among them. All of them pool
over time and space, and all are normalized over the pair: alpha_S + alpha_T = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from study.errors import ModelError, suggest
from study.models.initialization import NewLayer

Pool = Literal["avg", "max"]
WEIGHT_STD = 0.01
"""Standard deviation of the initial weights (as CoST has it): alpha_S and alpha_T start near 1/2."""


class Attention(NewLayer):
    """Base of the structures: from the pooled parts, (N, C) each, to (alpha_S, alpha_T), (N, C) each."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, *pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients for what :meth:`squeeze` gives, or, where the pool is the average, for the means of the parts
        however they were found.
        """
        scores = self.score(*pooled)
        alpha_s, alpha_t = scores.softmax(dim=1).unbind(dim=1)
        return alpha_s, alpha_t

    def squeeze(self, spatial: Tensor, temporal: Tensor) -> tuple[Tensor, ...]:
        """Pool both parts, (N, T*H*W, C), over time and space: (N, C) each."""
        return self._squeeze(spatial), self._squeeze(temporal)

    def _squeeze(self, part: Tensor) -> Tensor:
        if self.pool == "max":
            return part.amax(dim=1)
        # A sum that is then divided: the gradient of a mean would be written out for every pixel.
        wide = torch.float32 if part.dtype in (torch.float16, torch.bfloat16) else part.dtype
        return (part.sum(dim=1, dtype=wide) / part.shape[1]).to(part.dtype)

    def score(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        """Scores (N, 2, C), the spatial ones first, of the pooled parts (N, C)."""
        raise NotImplementedError

    def init_parameters(self, generator: torch.Generator) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=WEIGHT_STD, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


class CostAttention(Attention):
    """As CoST (b) weighs its views: one C x C layer shared by the parts, then a 2 x 2 layer across them.

    Li et al., "Collaborative Spatiotemporal Feature Learning for Video Action Recognition", CVPR 2019.
    Neither bias nor ReLU. C^2 + 4 parameters.
    """

    def __init__(self, channels: int, pool: Pool) -> None:
        super().__init__(pool)
        self.shared = nn.Linear(channels, channels, bias=False)
        self.across = nn.Linear(2, 2, bias=False)

    def score(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        views: Tensor = self.shared(torch.stack([spatial, temporal], dim=1))
        scores: Tensor = self.across(views.transpose(1, 2))
        return scores.transpose(1, 2)


class ConcatAttention(Attention):
    """Both pooled parts concatenated, 2C -> C/4 -> 2C. C^2 + 9C/4 parameters."""

    def __init__(self, channels: int, pool: Pool) -> None:
        super().__init__(pool)
        self.mlp = _mlp(2 * channels, channels // 4, 2 * channels)

    def score(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        scores: Tensor = self.mlp(torch.cat([spatial, temporal], dim=1))
        return torch.stack(scores.chunk(2, dim=1), dim=1)


class SEPairAttention(Attention):
    """A squeeze-and-excitation path for each part, C -> C/4 -> C. C^2 + 5C/2 parameters."""

    def __init__(self, channels: int, pool: Pool) -> None:
        super().__init__(pool)
        self.spatial = _mlp(channels, channels // 4, channels)
        self.temporal = _mlp(channels, channels // 4, channels)

    def score(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        return torch.stack([self.spatial(spatial), self.temporal(temporal)], dim=1)


class SharedSEAttention(Attention):
    """One squeeze-and-excitation path, C -> C/2 -> C, applied to each part. C^2 + 3C/2 parameters."""

    def __init__(self, channels: int, pool: Pool) -> None:
        super().__init__(pool)
        self.mlp = _mlp(channels, channels // 2, channels)

    def score(self, spatial: Tensor, temporal: Tensor) -> Tensor:
        scores: Tensor = self.mlp(torch.stack([spatial, temporal], dim=1))
        return scores


class SumAttention(Attention):
    """A path on the pooled sum of the parts, and alpha_T its sigmoid, which is a softmax over (0, score)."""

    def __init__(self, path: nn.Module, pool: Pool) -> None:
        super().__init__(pool)
        self.path = path

    def forward(self, *pooled: Tensor) -> tuple[Tensor, Tensor]:
        total = pooled[0] if len(pooled) == 1 else pooled[0] + pooled[1]
        alpha_t: Tensor = self.path(total).sigmoid()
        return 1 - alpha_t, alpha_t

    def squeeze(self, spatial: Tensor, temporal: Tensor) -> tuple[Tensor, ...]:
        """The mean of a sum is the sum of the means; its largest value is not that of the parts."""
        if self.pool == "avg":
            return super().squeeze(spatial, temporal)
        return (self._squeeze(spatial + temporal),)


def _sk_attention(channels: int, pool: Pool) -> Attention:
    """C -> C/2 -> C on the sum. C^2 + 3C/2 parameters."""
    return SumAttention(_mlp(channels, channels // 2, channels), pool)


def _fc_attention(channels: int, pool: Pool) -> Attention:
    """One C x C layer on the sum. C^2 + C parameters."""
    return SumAttention(nn.Linear(channels, channels), pool)


STRUCTURES: dict[str, Callable[[int, Pool], Attention]] = {
    "cost": CostAttention,
    "concat": ConcatAttention,
    "se_pair": SEPairAttention,
    "sk_r2": _sk_attention,
    "shared_se_r2": SharedSEAttention,
    "fc_sigmoid": _fc_attention,
}


def build_attention(structure: str, channels: int, pool: Pool) -> Attention:
    """The structure of that name for ``channels`` output channels.

    Raises:
        ModelError: for an unknown name, or channels that the reduction does not divide.
    """
    if structure not in STRUCTURES:
        raise ModelError(f"model.block.attention: unknown '{structure}': {suggest(structure, STRUCTURES)}")
    if channels % 4:
        raise ModelError(
            f"model.block.attention: '{structure}' needs output channels divisible by 4, got {channels}"
        )
    return STRUCTURES[structure](channels, pool)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
