"""Gate-shift-fuse (GSF).

Sudhakaran, Escalera and Lanz, "Gate-Shift-Fuse for Video Action Recognition", TPAMI 2023, the successor of
their gate-shift module (CVPR 2020). We have the authors' code and not the paper: the structure, the place after
the last convolution of a bottleneck, and the fraction of 1/4 are the code's. Equations are not cited.

A gate in [-1, 1] for every pixel says how much of it moves to the neighboring frame: with y the gated part and
r = x - y what stays, the output is w shift(y) + (1 - w) r, with a weight w for every channel and frame. The
first half of the channels takes from the next frame, the second half from the previous one.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.blocks.residual import OpenResidual
from study.models.blocks.views import clip_view, frame_view
from study.models.initialization import NewLayer, kaiming_
from study.models.placement import Site
from study.spec.blocks.shift import GSFBlock

FROM_NEXT, FROM_PREVIOUS = (-1, 1), (1, -1)
"""Paddings in time, before and after."""


class GateShiftFuse(NewLayer):
    """Gated shift of the first ``channels`` channels: (N*T, C, H, W) to the same shape; the others stay."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.channels = channels
        self.frames = frames
        self.norm = nn.BatchNorm3d(channels)
        self.gate = nn.Conv3d(channels, 2, kernel_size=3, padding=1, groups=2)
        self.fuse_next = nn.Conv2d(2, 1, kernel_size=3, padding=1)
        self.fuse_previous = nn.Conv2d(2, 1, kernel_size=3, padding=1)

    def init_parameters(self, generator: torch.Generator) -> None:
        """As the authors' code leaves them: the gate as torch does, the fusion by He's rule over the fan-out."""
        self.norm.reset_parameters()
        _draw_as_torch(self.gate, generator)
        for conv in (self.fuse_next, self.fuse_previous):
            _draw_as_torch(conv, generator)
            kaiming_(conv.weight, generator)

    def forward(self, x: Tensor) -> Tensor:
        gated, rest = torch.split(x, [self.channels, x.shape[1] - self.channels], dim=1)
        clips = clip_view(gated, self.frames)
        gates = torch.tanh(self.gate(functional.relu(self.norm(clips)))).chunk(2, dim=1)
        first, second = clips.chunk(2, dim=1)
        halves = [
            _fuse(first, gates[0], FROM_NEXT, self.fuse_next),
            _fuse(second, gates[1], FROM_PREVIOUS, self.fuse_previous),
        ]
        fused = torch.cat([_interleave(half) for half in halves], dim=1)
        return torch.cat([frame_view(fused), rest], dim=1)


def _draw_as_torch(conv: nn.Conv2d | nn.Conv3d, generator: torch.Generator) -> None:
    """Torch's default for convolutions: uniform within one over the square root of the fan-in, biases too."""
    assert conv.bias is not None
    bound = conv.weight[0].numel() ** -0.5
    nn.init.uniform_(conv.weight, -bound, bound, generator=generator)
    nn.init.uniform_(conv.bias, -bound, bound, generator=generator)


def _fuse(half: Tensor, gate: Tensor, place: tuple[int, int], conv: nn.Module) -> Tensor:
    """What moves of ``half`` (N, C, T, H, W) and what stays, weighted by channel and frame.

    ``gate`` is (N, 1, T, H, W); ``conv`` maps the pooled parts, planes of C x T, to the weights.
    """
    moving = gate * half
    staying = half - moving
    moved = functional.pad(moving, [0, 0, 0, 0, *place])
    pooled = torch.stack([moved.mean(dim=(3, 4)), staying.mean(dim=(3, 4))], dim=1)
    weight = torch.sigmoid(conv(pooled)).squeeze(1)[..., None, None]
    return torch.lerp(staying, moved, weight.to(moved.dtype))


def _interleave(half: Tensor) -> Tensor:
    """Channel i of the first half of ``half`` comes to place 2 i, channel i of its second half to 2 i + 1."""
    return torch.unflatten(half, 1, (2, -1)).transpose(1, 2).flatten(1, 2)


class GSFResidual(OpenResidual):
    """A residual block with :class:`GateShiftFuse` between its last convolution and that one's BatchNorm."""

    def __init__(self, site: Site, fraction: Fraction, frames: int) -> None:
        super().__init__(site)
        outputs = (self.bn3 if self.is_bottleneck else self.bn2).num_features
        channels = fraction * outputs
        if channels.denominator != 1 or channels % 4:
            raise ModelError(
                f"{site.name}: model.block.fraction: {fraction} of its {outputs} channels is no multiple of 4"
            )
        self.gsf = GateShiftFuse(int(channels), frames)

    def last(self, x: Tensor) -> Tensor:
        conv, norm = (self.conv3, self.bn3) if self.is_bottleneck else (self.conv2, self.bn2)
        y: Tensor = norm(self.gsf(conv(x)))
        return y


def build_gsf(spec: GSFBlock, site: Site, frames: int) -> nn.Module:
    """The residual block at ``site`` with gate-shift-fuse; in a basic block on its second 3x3, our choice.

    Raises:
        ModelError: when what stands there is no residual block of a ResNet, or the fraction is no multiple of 4
            channels.
    """
    return GSFResidual(site, spec.fraction, frames)
