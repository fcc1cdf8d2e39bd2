"""Networks for inference as an engine would run them: BatchNorm folded, channels-last, oneDNN's weights prepacked,
ReLU and the residual sum fused. What differs between two of them is the second convolution of a bottleneck.

Weights are random: time does not depend on them, and folded BatchNorm is a weight and a bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from study.kernels import Geometry, pooled_means, sth_conv
from study.kernels.native import kernel
from study.models.blocks.attention import CostAttention

Op = Callable[[Tensor], Tensor]
STAGES = ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7))
"""Of ResNet-50: blocks, channels of the second convolution, size of the output."""
FRAMES = 8


class Conv:
    """A 2D convolution with prepacked weights; ReLU and a sum can be fused."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        images: tuple[int, int, int],
        dtype: torch.dtype,
        stride: int = 1,
        relu: bool = True,
    ) -> None:
        fan = inputs * kernel[0] * kernel[1]
        weight = torch.randn(outputs, inputs, *kernel) * math.sqrt((2 if relu else 0.5) / fan)
        self.stride, self.padding = [stride, stride], [kernel[0] // 2, kernel[1] // 2]
        self.bias, self.relu = torch.zeros(outputs, dtype=dtype), relu
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
            weight.to(dtype).to_mkldnn(),
            self.padding,
            self.stride,
            [1, 1],
            1,
            [images[0], inputs, *images[1:]],
        )

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        rest = (self.weight, self.bias, self.padding, self.stride, [1, 1], 1)
        if other is None:
            unary = "relu" if self.relu else "none"
            result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, *rest, unary, [], "")
        else:
            result = torch.ops.mkldnn._convolution_pointwise.binary(
                x, other, *rest, "add", 1.0, "relu", [], ""
            )
        return result


class Sth:
    """STH-Conv; its weights are packed when it runs for the first time."""

    def __init__(self, channels: int, stride: int, dtype: torch.dtype, attention: bool = False) -> None:
        shape = Geometry(channels, channels, 4, "hybrid", stride=(stride, stride))
        scale = math.sqrt(2 / (7.5 * channels))
        # What inference mode makes is packed anew whenever it runs: writing to it is not counted.
        with torch.inference_mode(False):
            self.spatial = (torch.randn(shape.spatial_shape) * scale).to(dtype)
            self.temporal = (torch.randn(shape.temporal_shape) * scale).to(dtype)
        self.bias = torch.zeros(channels)
        self.options = {"frames": FRAMES, "groups": 4, "stride": shape.stride}
        self.attention = CostAttention(channels, "avg").to(dtype) if attention else None

    def __call__(self, x: Tensor) -> Tensor:
        alphas: tuple[Tensor, ...] = ()
        if self.attention is not None:
            means = pooled_means(x, self.spatial, self.temporal, **self.options)
            alphas = self.attention(*means)
        return sth_conv(x, self.spatial, self.temporal, self.bias, *alphas, **self.options, relu=True)


class WinogradConv:
    """A 2D convolution, 3x3, fp32, by the Winograd kernel that STH-Conv has, with ReLU."""

    def __init__(self, channels: int) -> None:
        weight = torch.randn(channels, channels, 3, 3) * math.sqrt(2 / (9 * channels))
        self.layer, self.bias = kernel.Layer.plain(channels, channels).on_winograd, torch.zeros(channels)
        self.packed = kernel.pack(self.layer, weight, torch.empty(0), torch.float32)

    def __call__(self, x: Tensor) -> Tensor:
        return kernel.run(self.layer, x, self.packed, FRAMES, self.bias, relu=True)


def has_winograd(dtype: torch.dtype) -> bool:
    """Whether this machine has the Winograd kernel, for ``dtype``."""
    return kernel.offers_winograd(kernel.Layer.plain(64, 64), dtype)


class TwoPlusOne:
    """A spatial and then a temporal convolution, the latter on the (T, H*W) view."""

    def __init__(self, channels: int, stride: int, size: int, clips: int, dtype: torch.dtype) -> None:
        images = (clips * FRAMES, size * stride, size * stride)
        self.spatial = Conv(channels, channels, (3, 3), images, dtype, stride)
        self.spatial.relu = False
        self.temporal = Conv(channels, channels, (3, 1), (clips, FRAMES, size * size), dtype)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.spatial(x)
        clips = y.permute(0, 2, 3, 1).unflatten(0, (-1, FRAMES)).flatten(2, 3).permute(0, 3, 1, 2)
        return (
            self.temporal(clips).permute(0, 2, 3, 1).reshape(y.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        )


def shift(x: Tensor) -> Tensor:
    """TSM's shift of a quarter of the channels, one copy in channels-last memory."""
    fold = x.shape[1] // 8
    clips = x.permute(0, 2, 3, 1).unflatten(0, (-1, FRAMES))
    y = torch.empty_like(clips)
    y[..., 2 * fold :] = clips[..., 2 * fold :]
    y[:, :-1, ..., :fold] = clips[:, 1:, ..., :fold]
    y[:, -1, ..., :fold] = 0
    y[:, 1:, ..., fold : 2 * fold] = clips[:, :-1, ..., fold : 2 * fold]
    y[:, 0, ..., fold : 2 * fold] = 0
    return y.flatten(0, 1).permute(0, 3, 1, 2)


def second_convolution(
    kind: str, channels: int, stride: int, size: int, clips: int, dtype: torch.dtype
) -> Op:
    """What stands between the two 1x1 convolutions of a bottleneck: ``2D``, ``STH``, ``STH+attention``, ``(2+1)D``,
    ``2D by Winograd`` (only where the stride is 1; ``2D`` elsewhere).
    """
    if kind.startswith("STH"):
        return Sth(channels, stride, dtype, attention="attention" in kind)
    if kind == "(2+1)D":
        return TwoPlusOne(channels, stride, size, clips, dtype)
    if kind == "2D by Winograd" and stride == 1:
        return WinogradConv(channels)
    images = (clips * FRAMES, size * stride, size * stride)
    return Conv(channels, channels, (3, 3), images, dtype, stride)


class Bottleneck:
    """1x1, ``kind``, 1x1 and the residual sum."""

    def __init__(
        self, kind: str, inputs: int, channels: int, stride: int, size: int, clips: int, dtype: torch.dtype
    ) -> None:
        before, after = (clips * FRAMES, size * stride, size * stride), (clips * FRAMES, size, size)
        self.shifts = kind == "TSM"
        self.first = Conv(inputs, channels, (1, 1), before, dtype)
        self.second = second_convolution(kind, channels, stride, size, clips, dtype)
        self.third = Conv(channels, 4 * channels, (1, 1), after, dtype, relu=False)
        self.shortcut: Conv | None = None
        if inputs != 4 * channels:
            self.shortcut = Conv(inputs, 4 * channels, (1, 1), before, dtype, stride, relu=False)

    def __call__(self, x: Tensor) -> Tensor:
        other = x if self.shortcut is None else self.shortcut(x)
        y = self.second(self.first(shift(x) if self.shifts else x))
        return self.third(y, other)


class ResNet50:
    """Frames (N*T, 3, 224, 224) to (N*T, 2048, 7, 7), with the last pooling left out as common to all."""

    def __init__(self, kind: str, dtype: torch.dtype, clips: int = 1) -> None:
        self.stem = Conv(3, 64, (7, 7), (clips * FRAMES, 224, 224), dtype, stride=2)
        self.blocks: list[Bottleneck] = []
        inputs = 64
        for stage, (count, channels, size) in enumerate(STAGES):
            for block in range(count):
                stride = 2 if stage and not block else 1
                self.blocks.append(Bottleneck(kind, inputs, channels, stride, size, clips, dtype))
                inputs = 4 * channels

    def __call__(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.max_pool2d(self.stem(x), 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return x
