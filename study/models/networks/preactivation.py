"""Residual units of 3D networks that add before BatchNorm, as the ResNet-18 of C3D's authors and its heirs do.

Tran et al., "ConvNet Architecture Search for Spatiotemporal Feature Learning", 2017. The shortcut carries sums
from before BatchNorm and ReLU, the branch sees them after. ECO and ARTNet are built of these units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""The sum so far, and what BatchNorm and ReLU make of it: (N, C, T, H, W) each."""


def conv3x3x3(inputs: int, outputs: int, stride: int = 1, *, bias: bool = True) -> nn.Conv3d:
    """Padded to keep the resolution; ``stride`` is in time as well as in space."""
    return nn.Conv3d(inputs, outputs, 3, stride, padding=1, bias=bias)


class PreActivationUnit(nn.Module):
    """3x3x3, BatchNorm, ReLU, ``second``; plus the shortcut; then BatchNorm and ReLU for the units that follow.

    Args:
        inputs: channels of the state before.
        outputs: channels of the state after. Where they differ, time, height and width are halved, and the
            shortcut is a 3x3x3 convolution of the activated input.
        second: maps (N, ``outputs``, T, H, W) to the same shape: a convolution.
        bias: whether the convolutions have one.
    """

    def __init__(self, inputs: int, outputs: int, second: nn.Module, *, bias: bool = True) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = conv3x3x3(inputs, outputs, stride, bias=bias)
        self.bn1 = nn.BatchNorm3d(outputs)
        self.conv2 = second
        self.down = None if inputs == outputs else conv3x3x3(inputs, outputs, stride, bias=bias)
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, state: State) -> State:
        total, activated = state
        branch = self.conv2(torch.relu(self.bn1(self.conv1(activated))))
        total = branch + (total if self.down is None else self.down(activated))
        return total, torch.relu(self.bn(total))
