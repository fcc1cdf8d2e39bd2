"""Gradients of STH-Conv, without running it again.

Both parts are linear in their weights, so with the weight gradient dW_n of clip n for coefficients of one,

    dL/dW = sum over n of alpha_n * dW_n,        dL/d alpha_n = sum over the kernel of W * dW_n,

and neither O_S nor O_T is needed; in float32 compiled kernels find dW_n. At stride 1 the gradient of the input is
again an STH-Conv, which compiled kernels run like any other
(:meth:`study.kernels.geometry.Geometry.input_groups`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from study.kernels.geometry import Geometry
from study.kernels.library import gather, gathered_inputs, runs_gathered, scatter, select
from study.kernels.native import kernel
from study.kernels.temporal import unfold_frames


@dataclass(frozen=True)
class Saved:
    """What the forward pass had; see :func:`study.kernels.sth_conv`."""

    x: Tensor
    spatial_weight: Tensor
    temporal_weight: Tensor
    alpha_s: Tensor | None
    alpha_t: Tensor | None
    frames: int
    geometry: Geometry


def backward(grad: Tensor, saved: Saved, needed: list[bool]) -> list[Tensor | None]:
    """Gradients of (x, spatial weight, temporal weight, bias, alpha_s, alpha_t), None where not needed.

    Args:
        grad: of the result before ReLU, (N*T, C_o, H', W').
        saved: the arguments.
        needed: six truths.
    """
    found: list[Tensor | None] = [None] * 6
    if needed[0]:
        found[0] = _of_input(grad, saved)
    if needed[1] or needed[4]:
        found[1], found[4] = _of_weight(grad, saved, spatial=True)
    if needed[2] or needed[5]:
        found[2], found[5] = _of_weight(grad, saved, spatial=False)
    if needed[3]:
        found[3] = grad.sum((0, 2, 3))
    return found


def _of_input(grad: Tensor, saved: Saved) -> Tensor:
    layer = kernel.Layer.gradient(saved.geometry) if saved.geometry.stride == (1, 1) else None
    x, weighted = saved.x, saved.alpha_s is not None and saved.alpha_t is not None
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    if layer and not weighted and x.device.type == "cpu" and channels_last and kernel.prefers(layer, x.dtype):
        packed = kernel.pack(layer, saved.spatial_weight, saved.temporal_weight, x.dtype)
        return kernel.run(layer, grad, packed, saved.frames)
    spatial, temporal = _of_part(grad, saved, spatial=True), _of_part(grad, saved, spatial=False)
    if saved.alpha_s is not None and saved.alpha_t is not None:
        spatial = spatial * _by_frame(saved.alpha_s, saved)
        temporal = temporal * _by_frame(saved.alpha_t, saved)
    found = torch.zeros_like(x)
    _spatial_backward(spatial, x, saved, into=found)
    _temporal_backward(temporal, x, saved, into=found)
    return found


def _of_weight(grad: Tensor, saved: Saved, spatial: bool) -> tuple[Tensor, Tensor | None]:
    alpha, weight = saved.alpha_t, saved.temporal_weight
    if spatial:
        alpha, weight = saved.alpha_s, saved.spatial_weight
    if alpha is None:
        return _sum_products(grad, saved.x, saved, spatial), None
    total, coefficients = torch.zeros_like(weight), []
    clips = zip(
        torch.split(grad, saved.frames), torch.split(saved.x, saved.frames), alpha.unbind(), strict=True
    )
    for grad_of_clip, x_of_clip, alpha_of_clip in clips:
        found = _sum_products(grad_of_clip, x_of_clip, saved, spatial)
        coefficients.append((found * weight).sum((1, 2, 3)))
        total += found * alpha_of_clip.to(found.dtype)[:, None, None, None]
    return total, torch.stack(coefficients).to(alpha.dtype)


def _sum_products(grad: Tensor, x: Tensor, saved: Saved, spatial: bool) -> Tensor:
    """Gradient of one stored weight where no coefficients are."""
    layer = kernel.Layer.of(saved.geometry)
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    if x.device.type == "cpu" and channels_last and kernel.offers_weight_gradients(layer, x.dtype):
        return kernel.weight_gradient(layer, x, grad, saved.frames, spatial=spatial)
    backward_of_part = _spatial_backward if spatial else _temporal_backward
    return backward_of_part(_of_part(grad, saved, spatial), x, saved)


def _of_part(grad: Tensor, saved: Saved, spatial: bool) -> Tensor:
    """Of the gradient the output channels that have spatial, or temporal, kernels."""
    if saved.geometry.arrangement != "merge_out":
        return grad
    cut = saved.geometry.temporal_outputs
    return grad[:, cut:] if spatial else grad[:, :cut]


def _spatial_backward(grad: Tensor, x: Tensor, saved: Saved, into: Tensor | None = None) -> Tensor:
    """Of the stored spatial weight; or with ``into`` of the input, added to it."""
    shape, weight, groups = saved.geometry, saved.spatial_weight, 1
    gathered = shape.arrangement == "hybrid" and runs_gathered(x, shape)
    if shape.arrangement == "merge_in":
        x = x[:, shape.slice_size :]
        into = None if into is None else into[:, shape.slice_size :]
    elif gathered:
        x, groups = gather(x, shape), shape.groups
    elif shape.arrangement == "hybrid":
        weight = scatter(weight, shape)
    found = _convolution_backward(
        grad, x, weight, shape.stride, shape.padding, shape.spatial_dilation, groups, into is not None
    )
    if into is None:
        dense = shape.arrangement == "hybrid" and not gathered
        return select(found, shape) if dense else found
    if gathered:
        return into.index_add_(1, gathered_inputs(shape, x.device).flatten(), found)
    return into.add_(found)


def _temporal_backward(grad: Tensor, x: Tensor, saved: Saved, into: Tensor | None = None) -> Tensor:
    """Of the stored temporal weight; or with ``into`` of the input, added to it."""
    shape, (height, width) = saved.geometry, saved.geometry.stride
    if shape.arrangement == "merge_in":
        x = x[:, : shape.slice_size]
        into = None if into is None else into[:, : shape.slice_size]
    x = x[:, :, ::height, ::width]
    d, groups = shape.temporal_dilation, shape.groups if shape.arrangement == "hybrid" else 1
    found = _convolution_backward(
        unfold_frames(grad, saved.frames),
        unfold_frames(x, saved.frames),
        saved.temporal_weight,
        (1, 1),
        (d * (shape.kernel[0] // 2), 0),
        (d, 1),
        groups,
        into is not None,
    )
    if into is None:
        return found
    found = torch.unflatten(found, 3, x.shape[-2:]).transpose(1, 2).flatten(0, 1)
    into[:, :, ::height, ::width] += found
    return into


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: int | tuple[int, int],
    groups: int,
    of_input: bool,
) -> Tensor:
    dilation = (dilation, dilation) if isinstance(dilation, int) else dilation
    found = torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        None,
        stride,
        padding,
        dilation,
        False,
        (0, 0),
        groups,
        (of_input, not of_input, False),
    )
    result: Tensor = found[0] if of_input else found[1]
    return result


def _by_frame(alpha: Tensor, saved: Saved) -> Tensor:
    return alpha.to(saved.x.dtype).repeat_interleave(saved.frames, dim=0)[:, :, None, None]
