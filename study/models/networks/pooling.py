"""The average that ends the Inception networks of clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW = (2, 7, 7)
"""Frames, height and width of the window: at 224 x 224 pixels, two frames of the whole last feature map."""


class WindowAverage(nn.Module):
    """Average in windows of 2x7x7 at stride 1, then over the windows: (N, C, T, H, W) to (N, C).

    The first and last frame are in one window and the others in two, so it is no plain mean over time. The
    original classifies every window and averages scores over windows; the classifier is linear, so averaging
    before it gives the same. A window is cut to a smaller feature map.
    """

    def forward(self, x: Tensor) -> Tensor:
        window = [min(side, length) for side, length in zip(WINDOW, x.shape[2:], strict=True)]
        # In fp32, since PyTorch has no such average of bf16 on CPUs.
        averages = functional.avg_pool3d(x.float(), window, stride=1)
        return torch.mean(averages, dim=(2, 3, 4)).to(x.dtype)
