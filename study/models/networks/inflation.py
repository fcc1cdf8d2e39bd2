"""Changing torchvision's networks: a time axis for 2D layers, other input channels, what a builder checks.

A 2D network becomes a 3D one by exchanging its layers, which keep their names: its forward pass runs
unchanged on clips, and weights of the 2D network find their places (:mod:`study.models.weights` divides a
kernel that is repeated in time by its length: Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR
2017, section 2.4).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from study.errors import ModelError

TimeSpan = tuple[int, int]
"""Kernel and stride in time."""
STILL: TimeSpan = (1, 1)
"""A layer that sees one frame at a time."""


def inflate(network: nn.Module, span_of: Callable[[str, nn.Conv2d | nn.MaxPool2d], TimeSpan]) -> None:
    """Exchange the 2D layers of ``network`` for 3D ones, in place.

    Convolutions are padded in time by half their kernel. Max-pools are padded in time as in space where the
    kernel is as long as it is wide, and not at all otherwise.

    Args:
        network: maps frames (N, C, H, W); afterwards clips (N, C, T, H, W).
        span_of: kernel and stride in time of a convolution or max-pool, by its qualified name.
    """
    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.Conv2d):
            network.set_submodule(name, _inflate_conv(layer, *span_of(name, layer)))
        elif isinstance(layer, nn.MaxPool2d):
            network.set_submodule(name, _inflate_pool(layer, *span_of(name, layer)))
        elif isinstance(layer, nn.BatchNorm2d):
            network.set_submodule(name, nn.BatchNorm3d(layer.num_features, layer.eps, layer.momentum))
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            network.set_submodule(name, nn.AdaptiveAvgPool3d(1))


def _inflate_conv(conv: nn.Conv2d, kernel: int, stride: int) -> nn.Conv3d:
    return nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        (kernel, *_pair(conv.kernel_size)),
        (stride, *_pair(conv.stride)),
        (kernel // 2, *_pair(conv.padding)),
        groups=conv.groups,
        bias=conv.bias is not None,
    )


def _inflate_pool(pool: nn.MaxPool2d, kernel: int, stride: int) -> nn.MaxPool3d:
    size, padding = _pair(pool.kernel_size), _pair(pool.padding)
    return nn.MaxPool3d(
        (kernel, *size),
        (stride, *_pair(pool.stride)),
        (padding[0] if kernel == size[0] else 0, *padding),
        ceil_mode=pool.ceil_mode,
    )


def _pair(value: object) -> tuple[int, int]:
    """A setting of a 2D layer as (vertical, horizontal)."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, tuple) and len(value) == 2:
        return value
    raise ModelError(f"expected an integer or a pair of them, got {value!r}")


def set_input_channels(network: nn.Module, name: str, in_channels: int) -> None:
    """Exchange the first convolution, called ``name``, for one that takes ``in_channels`` channels."""
    conv = network.get_submodule(name)
    if not isinstance(conv, nn.Conv2d | nn.Conv3d):
        raise ModelError(f"{name}: expected a convolution, found {type(conv).__name__}")
    if conv.in_channels == in_channels:
        return
    settings = {key: getattr(conv, key) for key in ("kernel_size", "stride", "padding")}
    network.set_submodule(
        name, type(conv)(in_channels, conv.out_channels, bias=conv.bias is not None, **settings)
    )


def require_frames(network: str, frames: int, least: int, most: int | None = None) -> None:
    """Refuse a number of frames that the temporal strides of a network cannot take.

    Raises:
        ModelError: unless ``least`` <= ``frames`` <= ``most``.
    """
    if frames < least or (most is not None and frames > most):
        allowed = (
            f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        )
        raise ModelError(f"clip.frames: {frames}: {network} takes {allowed}")
