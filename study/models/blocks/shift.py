"""Channels that move by one frame, row or column: TSM and STSM.

Lin et al., "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019, section 4; Yang, An and
Zhang, "STSM: Spatio-Temporal Shift Module for Efficient Action Recognition", Mathematics 10(18):3290, 2022, of
which we have abstracts only. A shift has neither weights nor multiply-accumulates.

TSM's first channels take the next frame's values and the following ones the previous frame's, as in its
authors' code; its Figure 1 has them the other way around.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from study.errors import ModelError
from study.models.blocks.views import clip_view, frame_view
from study.models.placement import Site
from study.spec.blocks.shift import AxisShift, STSMBlock, TSMBlock, TSMInPlaceBlock

AXES = "WHT"
"""Axes of a clip from the last one backwards, the order in which paddings are given."""


class Move(NamedTuple):
    """What the next ``channels`` channels do: along ``axis``, place i takes the value of place i - ``step``."""

    axis: str
    step: int
    channels: int


def shift_channels(x: Tensor, frames: int, moves: Sequence[Move]) -> Tensor:
    """Move channels, from the first on; those that are left stay.

    A group of channels moves by a padding of one place on one side and of minus one on the other. The groups
    then meet in one concatenation, the only allocation of the full size. Writing slices into a tensor of zeros
    takes as long forwards, but autograd copies the whole gradient once a slice: on a CPU, 256 channels of
    8 x 56 x 56, forward and backward, 59 ms against 5 ms.

    Args:
        x: (N*T, C, H, W).
        frames: T.
        moves: axes, steps and channels; zeros enter where the content leaves the border.

    Returns:
        (N*T, C, H, W), in channels-last memory where ``x`` is.
    """
    rest = x.shape[1] - sum(move.channels for move in moves)
    sizes = [move.channels for move in moves] + ([rest] if rest else [])
    parts = list(torch.split(clip_view(x, frames), sizes, dim=1))
    for number, move in enumerate(moves):
        parts[number] = functional.pad(parts[number], _padding(move))
    return frame_view(torch.cat(parts, dim=1))


def _padding(move: Move) -> list[int]:
    before = AXES.index(move.axis) * 2
    padding = [0] * 6
    padding[before : before + 2] = move.step, -move.step
    return padding


class ShiftedInput(nn.Module):
    """``layer`` on shifted frames: (N*T, C, H, W) to what the layer puts out.

    Before the first convolution of a residual branch this is the residual shift, before a whole residual block
    the in-place one.
    """

    def __init__(self, layer: nn.Module, frames: int, moves: Sequence[Move]) -> None:
        super().__init__()
        self.layer = layer
        self.frames = frames
        self.moves = tuple(moves)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(shift_channels(x, self.frames, self.moves))
        return y

    def extra_repr(self) -> str:
        return ", ".join(f"{move.axis}{move.step:+d}: {move.channels}" for move in self.moves)


def build_shift(spec: TSMBlock | TSMInPlaceBlock | STSMBlock, site: Site, frames: int) -> nn.Module:
    """What stands at ``site``, on shifted frames; untouched where nothing is to be shifted.

    Raises:
        ModelError: when a fraction is no whole number of channels.
    """
    moves = _list_moves(spec.list_shifts(), _count_inputs(site), site)
    if not moves:
        return site.module
    return ShiftedInput(site.module, frames, moves)


def _count_inputs(site: Site) -> int:
    """Channels that what stands at ``site`` takes in: those of its first convolution."""
    conv = next(layer for layer in site.module.modules() if isinstance(layer, nn.Conv2d))
    return conv.in_channels


def _list_moves(shifts: Sequence[AxisShift], channels: int, site: Site) -> list[Move]:
    moves = []
    for shift in shifts:
        moved = shift.fraction * channels
        if moved.denominator != 1:
            raise ModelError(
                f"{site.name}: {shift.fraction} of its {channels} channels, to be shifted along {shift.axis}, is "
                "no whole number. Take another fraction in model.block, or leave the stage out of model.placement"
            )
        moves.append(Move(shift.axis, shift.step, int(moved)))
    return moves
