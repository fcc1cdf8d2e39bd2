"""Non-local block: attention of every pixel of a clip over all its pixels.

Wang et al., "Non-local Neural Networks", CVPR 2018, Eq. 1, 4 and 6, Figure 2: the embedded Gaussian form,

    z = x + BN(out(softmax(theta(x) phi(x)^T / sqrt(C/2)) g(x))),

with 1x1x1 convolutions to C/2 channels and back, phi and g on x max-pooled 1x2x2 (section 3.3), and a last
BatchNorm that starts at zero. Biases, the factor 1 / sqrt(C/2) and the initial values follow the authors'
code. It stands after a residual block, in networks of frames and of whole clips alike.

Costs count the two matrix products of the attention, which the published figures seem to leave out.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.blocks.temporal import flatten_clips, refold_clips
from study.models.blocks.views import clip_view, frame_view
from study.models.initialization import NewLayer
from study.models.placement import Site
from study.spec.blocks import NonLocalBlock

WEIGHT_STD = 0.01
"""Standard deviation of initial weights."""
BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


class NonLocal(NewLayer):
    """The block on its own: 2 C^2 + 9 C / 2 parameters for even C.

    Maps frames (N*T, C, H, W) with T = ``frames`` or, in networks of whole clips, (N, C, T, H, W) with any T, to
    the same shape.

    Args:
        channels: C.
        frames: T, frames of a clip that are folded into the batch.
        zero_gamma: whether the last BatchNorm starts at zero, which makes the block an identity.
    """

    def __init__(self, channels: int, frames: int, *, zero_gamma: bool) -> None:
        super().__init__()
        self.frames = frames
        self.zero_gamma = zero_gamma
        inner = max(1, channels // 2)
        self.scale = inner**-0.5
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 5:
            return clip_view(self.attend(frame_view(x), x.shape[2]), x.shape[2])
        return self.attend(x, self.frames)

    def attend(self, x: Tensor, frames: int) -> Tensor:
        """The block on frames (N*T, C, H, W) with T = ``frames``."""
        pool = [min(2, side) for side in x.shape[-2:]]
        pooled = functional.max_pool2d(x, kernel_size=pool)
        queries = flatten_clips(self.theta(x), frames)
        keys, values = (flatten_clips(layer(pooled), frames) for layer in (self.phi, self.g))
        affinity = torch.bmm(queries, keys.transpose(1, 2)) * self.scale
        attended = torch.bmm(affinity.softmax(dim=2).to(values.dtype), values)
        y: Tensor = x + self.bn(self.out(refold_clips(attended, x.shape)))
        return y

    def init_parameters(self, generator: torch.Generator) -> None:
        for conv in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(conv.weight, std=WEIGHT_STD, generator=generator)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        self.bn.reset_parameters()
        if self.zero_gamma:
            nn.init.zeros_(self.bn.weight)


class FollowedByNonLocal(nn.Module):
    """What :func:`build_nonlocal` makes any residual block a subclass of: the block, then its child ``nonlocal_``."""

    nonlocal_: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.nonlocal_(super().forward(x))
        return y


def build_nonlocal(spec: NonLocalBlock, site: Site, frames: int) -> nn.Module:
    """What stands at ``site``, followed by a non-local block.

    The residual block changes its class and gets one more child. Wrapped in another module, its layers would
    have other names: they would start from other random numbers than in the network without non-local blocks,
    and weights of that network would not find them.

    Raises:
        ModelError: when the number of channels that it puts out cannot be told, or it has such a block already.
    """
    block = site.module
    if isinstance(block, FollowedByNonLocal):
        raise ModelError(f"{site.name}: is followed by a non-local block already")
    block.add_module("nonlocal_", NonLocal(count_outputs(site), frames, zero_gamma=spec.zero_gamma))
    block.__class__ = followed_by_nonlocal(type(block))  # type: ignore[arg-type]  # a class can be hashed
    return block


@cache
def followed_by_nonlocal(kind: type[nn.Module]) -> type[nn.Module]:
    """A subclass of ``kind`` whose output passes ``nonlocal_``."""
    return type(f"{kind.__name__}NonLocal", (FollowedByNonLocal, kind), {})


def count_outputs(site: Site) -> int:
    """Channels of the output of the residual block at ``site``: those of the last BatchNorm of its branch.

    In a ResNet that is called bn3 or bn2; elsewhere it is the last one there is.

    Raises:
        ModelError: when there is none.
    """
    layers = dict(site.module.named_modules())
    named = [layers[name] for name in ("bn3", "bn2") if name in layers]
    norms = [layer for layer in (*layers.values(), *named[:1]) if isinstance(layer, BATCH_NORMS)]
    if not norms:
        kind = type(site.module).__name__
        raise ModelError(f"{site.name}: {kind} has no BatchNorm that tells how many channels it puts out")
    return norms[-1].num_features
