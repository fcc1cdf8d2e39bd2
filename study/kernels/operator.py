"""The operator ``sth::conv``: one STH-Conv, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from study.errors import ModelError
from study.kernels.geometry import Geometry, make_geometry
from study.kernels.gradient import Saved, backward
from study.kernels.library import forward
from study.kernels.native import kernel
from study.kernels.native.build import requested
from study.kernels.native.packing import pack_once
from study.kernels.watching import note

SPELLING = tuple(field.name for field in fields(Geometry))
"""What a geometry is made of, in order."""


def sth_conv(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    bias: Tensor | None = None,
    alpha_s: Tensor | None = None,
    alpha_t: Tensor | None = None,
    *,
    frames: int,
    groups: int,
    arrangement: str = "hybrid",
    stride: Sequence[int] = (1, 1),
    spatial_dilation: int = 1,
    temporal_dilation: int = 1,
    relu: bool = False,
) -> Tensor:
    """STH-Conv (STH, section 3.2, Eq. 2 and 3): relu(alpha_S * O_S + alpha_T * O_T + bias).

    On a CPU with AVX-512, channels-last input runs on compiled kernels (:mod:`study.kernels.native`), where
    ``STH_KERNELS=winograd`` asks for it on Winograd's (:func:`runs_winograd`), on a GPU, where
    ``STH_KERNELS=triton`` asks for it, on the Triton kernel (:mod:`study.kernels.triton_sth`), all else on PyTorch's
    convolutions (:mod:`study.kernels.library`). It can be differentiated, compiled without graph
    breaks and exported. Under autocast it computes in autocast's dtype.

    Args:
        x: (N*T, C_i, H, W), frames folded into the batch.
        spatial_weight: the kernels that exist, see :mod:`study.kernels.geometry` for its shape.
        temporal_weight: the same, (.., .., k_t, 1).
        bias: (C_o).
        alpha_s: (N, C_o), coefficients of the spatial part for each clip; None is 1.
        alpha_t: the same of the temporal part; both or none. Not with ``merge_out``.
        frames: T.
        groups: G = 1/p.
        arrangement: ``hybrid``, ``merge_in`` or ``merge_out``.
        stride: (s_h, s_w).
        spatial_dilation: pixels between spatial taps; padded to an equal size.
        temporal_dilation: frames between temporal taps; padded with zero frames.
        relu: whether negative results become zero.

    Returns:
        (N*T, C_o, H', W') with H' = ceil(H / s_h), in the memory format of ``x``.

    Raises:
        ModelError: when arguments contradict each other; it names the argument and what is allowed.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, spatial_weight, temporal_weight = (t.to(dtype) for t in (x, spatial_weight, temporal_weight))
    result: Tensor = _conv(
        x,
        spatial_weight,
        temporal_weight,
        bias,
        alpha_s,
        alpha_t,
        frames,
        groups,
        arrangement,
        list(stride),
        spatial_dilation,
        temporal_dilation,
        relu,
    )
    return result


def runs_fused(x: Tensor, geometry: Geometry) -> bool:
    """Whether :func:`sth_conv` runs this on kernels that do all of a layer at once."""
    return runs_compiled(x, geometry) or runs_triton(x, geometry)


def runs_compiled(x: Tensor, geometry: Geometry) -> bool:
    """Whether :func:`sth_conv` runs this on compiled kernels."""
    return (
        x.device.type == "cpu"
        and x.numel() > 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and _prefers_compiled(x.dtype, *_spell_out(geometry))
    )


def runs_winograd(x: Tensor, geometry: Geometry) -> bool:
    """Whether :func:`sth_conv` runs the spatial kernels of this by Winograd's F(4x4, 3x3), which is faster and less
    exact (:mod:`study.kernels.native.winograd`): where STH_KERNELS asks for it and float32, a 3x3 kernel, stride 1,
    no spatial dilation and AVX-512 allow it.
    """
    return runs_compiled(x, geometry) and _asks_for_winograd(kernel.Layer.of(geometry), x.dtype)


def _asks_for_winograd(layer: kernel.Layer, dtype: torch.dtype) -> bool:
    return requested() == "winograd" and kernel.offers_winograd(layer, dtype)


def runs_triton(x: Tensor, geometry: Geometry) -> bool:
    """Whether :func:`sth_conv` runs this on the Triton kernel."""
    return x.device.type == "cuda" and _prefers_triton(*_spell_out(geometry))


def _spell_out(geometry: Geometry) -> tuple[Any, ...]:
    """Its values: PyTorch 2.11 cannot hand a dataclass to what it takes for a constant."""
    return tuple(getattr(geometry, name) for name in SPELLING)


# Compilers and the environment are asked while torch.compile traces, not by what it makes of it.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _prefers_compiled(dtype: torch.dtype, *spelled: Any) -> bool:
    return kernel.prefers(kernel.Layer.of(Geometry(*spelled)), dtype)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _prefers_triton(*spelled: Any) -> bool:
    geometry = Geometry(*spelled)
    if requested() != "triton":
        return False
    from study.kernels.triton_sth import is_supported

    return is_supported(geometry)


@torch.library.custom_op("sth::conv", mutates_args=())
def _conv(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    bias: Tensor | None,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    frames: int,
    groups: int,
    arrangement: str,
    stride: Sequence[int],
    spatial_dilation: int,
    temporal_dilation: int,
    relu: bool,
) -> Tensor:
    geometry = make_geometry(
        spatial_weight, temporal_weight, groups, arrangement, stride, spatial_dilation, temporal_dilation
    )
    require_fit(x, bias, alpha_s, alpha_t, frames, geometry)
    if runs_compiled(x, geometry):
        layer = kernel.Layer.of(geometry)
        if _asks_for_winograd(layer, x.dtype):
            layer = layer.on_winograd
        note("winograd" if layer.by_winograd else "native")
        packed = pack_once(layer, spatial_weight, temporal_weight, x.dtype)
        return kernel.run(layer, x, packed, frames, bias, alpha_s, alpha_t, relu)
    if runs_triton(x, geometry):
        from study.kernels.triton_sth import sth_conv_triton

        note("triton")
        weights = spatial_weight, temporal_weight
        y = sth_conv_triton(x, *weights, bias, alpha_s, alpha_t, frames, geometry, relu)
        return y.contiguous(memory_format=_format(x))
    note("library")
    y = forward(x, spatial_weight, temporal_weight, bias, alpha_s, alpha_t, frames, geometry, relu)
    return y.contiguous(memory_format=_format(x))


@_conv.register_fake
def _(
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    bias: Tensor | None,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    frames: int,
    groups: int,
    arrangement: str,
    stride: Sequence[int],
    spatial_dilation: int,
    temporal_dilation: int,
    relu: bool,
) -> Tensor:
    geometry = make_geometry(
        spatial_weight, temporal_weight, groups, arrangement, stride, spatial_dilation, temporal_dilation
    )
    require_fit(x, bias, alpha_s, alpha_t, frames, geometry)
    height, width = geometry.output_size(x.shape[2], x.shape[3])
    y = x.new_empty(x.shape[0], geometry.out_channels, height, width)
    return y.contiguous(memory_format=_format(x))


@torch.library.custom_op("sth::conv_backward", mutates_args=())
def _conv_backward(
    grad: Tensor,
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    result: Tensor | None,
    needed: Sequence[bool],
    frames: int,
    groups: int,
    arrangement: str,
    stride: Sequence[int],
    spatial_dilation: int,
    temporal_dilation: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    geometry = make_geometry(
        spatial_weight, temporal_weight, groups, arrangement, stride, spatial_dilation, temporal_dilation
    )
    if result is not None:
        grad = grad * (result > 0)
    saved = Saved(x, spatial_weight, temporal_weight, alpha_s, alpha_t, frames, geometry)
    gradients = backward(grad, saved, list(needed))
    return (
        _or_empty(gradients[0], x),
        _or_empty(gradients[1], x),
        _or_empty(gradients[2], x),
        _or_empty(gradients[3], x),
        _or_empty(gradients[4], x),
        _or_empty(gradients[5], x),
    )


@_conv_backward.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    spatial_weight: Tensor,
    temporal_weight: Tensor,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    result: Tensor | None,
    needed: Sequence[bool],
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    def like(index: int, tensor: Tensor | None) -> Tensor:
        return x.new_empty(0) if tensor is None or not needed[index] else torch.empty_like(tensor)

    return (
        torch.empty_like(x) if needed[0] else x.new_empty(0),
        like(1, spatial_weight),
        like(2, temporal_weight),
        x.new_empty(grad.shape[1]) if needed[3] else x.new_empty(0),
        like(4, alpha_s),
        like(5, alpha_t),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, spatial_weight, temporal_weight, bias, alpha_s, alpha_t, *options, relu = inputs
    # What ReLU let through is told by its result, which the next layer keeps anyway.
    ctx.save_for_backward(x, spatial_weight, temporal_weight, alpha_s, alpha_t, output if relu else None)
    ctx.options = options
    ctx.bias_dtype = None if bias is None else bias.dtype


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = [bool(need) for need in ctx.needs_input_grad[:6]]
    found = _conv_backward(grad, *ctx.saved_tensors, needed, *ctx.options)
    gradients = [tensor if need else None for tensor, need in zip(found, needed, strict=True)]
    if gradients[3] is not None:
        gradients[3] = gradients[3].to(ctx.bias_dtype)
    return (*gradients, *([None] * 7))


_conv.register_autograd(_differentiate, setup_context=_setup)


def require_fit(
    x: Tensor,
    bias: Tensor | None,
    alpha_s: Tensor | None,
    alpha_t: Tensor | None,
    frames: int,
    geometry: Geometry,
) -> None:
    """Raise ModelError where these arguments of :func:`sth_conv` do not fit the geometry of its weights."""
    if x.dim() != 4 or x.shape[1] != geometry.in_channels:
        raise ModelError(
            f"x: shape {tuple(x.shape)}, but the weights need (N*T, {geometry.in_channels}, H, W)"
        )
    if frames < 1 or x.shape[0] % frames:
        raise ModelError(f"frames: {frames} does not divide the {x.shape[0]} images of x")
    if (alpha_s is None) != (alpha_t is None):
        raise ModelError("alpha_s and alpha_t: needs both or none")
    if alpha_s is not None and geometry.arrangement == "merge_out":
        raise ModelError(
            "alpha_s, alpha_t: 'merge_out' has no channel with both parts; allowed: hybrid, merge_in"
        )
    for name, vector, shape in (
        ("bias", bias, (geometry.out_channels,)),
        ("alpha_s", alpha_s, (x.shape[0] // frames, geometry.out_channels)),
        ("alpha_t", alpha_t, (x.shape[0] // frames, geometry.out_channels)),
    ):
        if vector is not None and tuple(vector.shape) != shape:
            raise ModelError(f"{name}: shape {tuple(vector.shape)}, needs {shape}")


def _format(x: Tensor) -> torch.memory_format:
    cl = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if cl else torch.contiguous_format


def _or_empty(gradient: Tensor | None, x: Tensor) -> Tensor:
    return x.new_empty(0) if gradient is None else gradient
