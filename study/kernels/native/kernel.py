"""Calls of the compiled kernels: from tensors to the structures of ``problem.h``."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from study.errors import ModelError
from study.kernels.geometry import Geometry, OutputGroup, Run
from study.kernels.native import build, winograd

FAILURES = {
    1: "the weights were packed for another data type or another CPU; pack them again with study.kernels.pack",
    2: "out of memory",
    3: "the kernel has more taps than the tables of direct.cpp or winograd.cpp hold",
    4: "these kernels were compiled without bfloat16",
    5: "these kernels were compiled without Winograd's, which needs AVX-512",
}


LEAST_FILLED = 0.75
"""Of the lanes of the registers, valid output channels; below, the arithmetic saved is lost again."""


class _Group(ctypes.Structure):
    _fields_ = [
        ("out_begin", ctypes.c_int64),
        ("out_end", ctypes.c_int64),
        ("spatial_begin", ctypes.c_int64 * 2),
        ("spatial_end", ctypes.c_int64 * 2),
        ("spatial_offset", ctypes.c_int64 * 2),
        ("temporal_begin", ctypes.c_int64),
        ("temporal_end", ctypes.c_int64),
        ("temporal_offset", ctypes.c_int64),
    ]


_INTEGERS = (
    "images",
    "frames",
    "height",
    "width",
    "in_channels",
    "out_height",
    "out_width",
    "out_channels",
    "kernel_height",
    "kernel_width",
    "kernel_time",
    "stride_height",
    "stride_width",
    "spatial_dilation",
    "temporal_dilation",
    "relu",
    "threads",
    "bf16",
    "group_count",
)
_STRIDES = ["spatial_out_stride", "spatial_in_stride", "temporal_out_stride", "temporal_in_stride", "flip"]
_POINTERS = ["spatial_weight", "temporal_weight", "x", "packed", "bias", "alpha_s", "alpha_t", "y"]
_GRADIENTS = ["grad", "spatial_grad", "temporal_grad"]


class _Problem(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        ("groups", ctypes.POINTER(_Group)),
        *((name, ctypes.c_int64) for name in _STRIDES),
        *((name, ctypes.c_void_p) for name in (*_POINTERS, *_GRADIENTS)),
    ]


@dataclass(frozen=True)
class Layer:
    """What the kernels run: an STH-Conv, or the gradient of its input as one.

    Attributes:
        groups: groups of output channels.
        in_channels, out_channels: of what is run.
        geometry: of the STH-Conv.
        backward: whether it is the gradient of the input.
        by_winograd: whether Winograd's kernel runs it, on weights packed for that, instead of the direct one.
    """

    groups: tuple[OutputGroup, ...]
    in_channels: int
    out_channels: int
    geometry: Geometry
    backward: bool = False
    by_winograd: bool = False

    @classmethod
    def of(cls, geometry: Geometry) -> Layer:
        """The STH-Conv itself: C_i to C_o channels."""
        return _forward(geometry)

    @classmethod
    def gradient(cls, geometry: Geometry) -> Layer:
        """The gradient of the input of an STH-Conv of stride 1: C_o to C_i channels."""
        return _gradient(geometry)

    @classmethod
    def plain(cls, in_channels: int, out_channels: int) -> Layer:
        """A 2D convolution, 3x3: the peer of STH-Conv that runs by the same means."""
        groups = (OutputGroup(0, out_channels, (Run(0, in_channels, 0),), ()),)
        # Of this geometry only the kernel and the strides of a weight (C_o, C_i, 3, 3) are read.
        shape = Geometry(in_channels, out_channels, 1, "merge_out", kernel=(1, 3, 3))
        return cls(groups, in_channels, out_channels, shape)

    @cached_property
    def on_winograd(self) -> Layer:
        """The same for Winograd's kernel; whether it has one is told by :func:`offers_winograd`."""
        return replace(self, by_winograd=True)

    @cached_property
    def _description(self) -> _Problem:
        """What the kernels are told of any run; it takes a layer of few channels longer to write than to run."""
        shape = self.geometry
        height, width = (winograd.POINTS, winograd.POINTS) if self.by_winograd else shape.kernel[1:]
        growth = height * width // (shape.kernel[1] * shape.kernel[2])
        groups = (_Group * len(self.groups))(*(_describe_group(group, growth) for group in self.groups))
        spatial = (shape.spatial_shape[1] * height * width, height * width)
        temporal = (shape.temporal_shape[1] * shape.kernel[0], shape.kernel[0])
        if self.backward:
            spatial, temporal = spatial[::-1], temporal[::-1]
        return _Problem(
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            kernel_time=shape.kernel[0],
            kernel_height=height,
            kernel_width=width,
            stride_height=shape.stride[0],
            stride_width=shape.stride[1],
            spatial_dilation=shape.spatial_dilation,
            temporal_dilation=shape.temporal_dilation,
            group_count=len(groups),
            groups=groups,
            spatial_out_stride=spatial[0],
            spatial_in_stride=spatial[1],
            temporal_out_stride=temporal[0],
            temporal_in_stride=temporal[1],
            flip=self.backward,
        )

    def describe(self, dtype: torch.dtype) -> _Problem:
        """A description to be filled in; it points into this layer, which must outlive it."""
        problem = _Problem.from_buffer_copy(self._description)
        problem.threads, problem.bf16 = torch.get_num_threads(), dtype == torch.bfloat16
        return problem


@lru_cache(maxsize=256)
def _forward(geometry: Geometry) -> Layer:
    groups = tuple(geometry.output_groups())
    return Layer(groups, geometry.in_channels, geometry.out_channels, geometry)


@lru_cache(maxsize=256)
def _gradient(geometry: Geometry) -> Layer:
    groups = tuple(geometry.input_groups())
    return Layer(groups, geometry.out_channels, geometry.in_channels, geometry, backward=True)


def supports(layer: Layer, dtype: torch.dtype) -> bool:
    """Whether compiled kernels run ``layer`` on this machine; the first call may compile them."""
    if dtype not in (torch.float32, torch.bfloat16) or (dtype == torch.bfloat16 and not _even(layer)):
        return False
    library = build.load()
    return library is not None and (dtype == torch.float32 or bool(library.sth_has_bf16()))


def prefers(layer: Layer, dtype: torch.dtype) -> bool:
    """Whether compiled kernels run ``layer``, and are the better choice.

    They are for AVX-512 where registers are filled; that narrower ones beat PyTorch is not measured, so they
    are taken only where STH_KERNELS names them.
    """
    if not supports(layer, dtype):
        return False
    if build.requested() in build.SETS:
        return True
    lanes = build.lanes()
    filled = sum(-(-(group.end - group.begin) // lanes) * lanes for group in layer.groups)
    return lanes == 16 and layer.out_channels >= LEAST_FILLED * filled


def offers_winograd(layer: Layer, dtype: torch.dtype) -> bool:
    """Whether Winograd's kernel runs ``layer`` on this machine; it is never the better choice by itself."""
    return winograd.fits(layer.geometry, dtype) and not layer.backward and build.lanes() == 16


def pack(layer: Layer, spatial_weight: Tensor, temporal_weight: Tensor, dtype: torch.dtype) -> Tensor:
    """The stored weights in the order in which the kernels read them, as bytes.

    Raises:
        ModelError: where no compiled kernels are there, or not the ones that ``layer`` asks for.
    """
    library = _require(layer, dtype)
    problem = layer.describe(dtype)
    if layer.by_winograd:
        spatial_weight = winograd.transform(spatial_weight.detach())
    packed = torch.empty(library.sth_packed_bytes(ctypes.byref(problem)), dtype=torch.uint8)
    spatial, temporal = (w.detach().float().contiguous() for w in (spatial_weight, temporal_weight))
    problem.spatial_weight, problem.temporal_weight = spatial.data_ptr(), temporal.data_ptr()
    problem.packed = packed.data_ptr()
    _check(library.sth_pack(ctypes.byref(problem)))
    return packed


def run(
    layer: Layer,
    x: Tensor,
    packed: Tensor,
    frames: int,
    bias: Tensor | None = None,
    alpha_s: Tensor | None = None,
    alpha_t: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Run ``layer``: (N*T, C_in, H, W) to (N*T, C_out, H', W') in channels-last memory.

    Args:
        layer: what to run.
        x: float32 or bfloat16.
        packed: :func:`pack` of its weights for the dtype of ``x``.
        frames: T.
        bias: (C_out), added after the coefficients.
        alpha_s: (N, C_out), coefficients of the spatial part.
        alpha_t: the same of the temporal part.
        relu: whether negative results become zero.

    Raises:
        ModelError: when ``packed`` is not what these kernels read.
    """
    library = _require(layer, x.dtype)
    x = _lay_out(x)
    height, width = layer.geometry.output_size(x.shape[2], x.shape[3])
    y = x.new_empty(x.shape[0], height, width, layer.out_channels).permute(0, 3, 1, 2)
    problem = _describe_run(library, layer, x, packed, frames)
    problem.relu, problem.y = relu, y.data_ptr()
    alive = []
    for name, vector in (("bias", bias), ("alpha_s", alpha_s), ("alpha_t", alpha_t)):
        if vector is not None:
            floats = vector.detach().float().contiguous()
            alive.append(floats)
            setattr(problem, name, floats.data_ptr())
    entry = library.sth_winograd if layer.by_winograd else library.sth_forward
    _check(entry(ctypes.byref(problem)))
    del alive
    return y


def pooled_means(layer: Layer, x: Tensor, packed: Tensor, frames: int) -> Tensor:
    """Means of both parts over time and space, without the parts: (N, 2, C_out), the spatial ones first, float32.

    Arguments are those of :func:`run`. In bfloat16 the sums of what the taps meet are rounded to it.

    Raises:
        ModelError: when ``packed`` is not what these kernels read.
    """
    library = _require(layer, x.dtype)
    x = _lay_out(x)
    y = torch.empty(x.shape[0] // frames, 2, layer.out_channels)
    problem = _describe_run(library, layer, x, packed, frames)
    problem.y = y.data_ptr()
    _check(library.sth_means(ctypes.byref(problem)))
    return y


def offers_weight_gradients(layer: Layer, dtype: torch.dtype) -> bool:
    """Whether :func:`weight_gradient` takes this, and is the better choice."""
    return dtype == torch.float32 and prefers(layer, dtype)


def weight_gradient(layer: Layer, x: Tensor, grad: Tensor, frames: int, *, spatial: bool) -> Tensor:
    """The gradient of the stored spatial or temporal weight, float32.

    Args:
        layer: an STH-Conv, not its gradient.
        x: (N*T, C_in, H, W), what it ran on, float32.
        grad: (N*T, C_out, H', W'), of its result before bias and ReLU, without coefficients.
        frames: T.
        spatial: which weight.
    """
    library = _require(layer, torch.float32)
    x, grad = _lay_out(x), _lay_out(grad)
    shape = layer.geometry
    found = x.new_empty(shape.spatial_shape if spatial else shape.temporal_shape)
    problem = layer.describe(torch.float32)
    problem.images, problem.frames = x.shape[0], frames
    problem.height, problem.width = x.shape[2:]
    problem.out_height, problem.out_width = grad.shape[2:]
    problem.x, problem.grad = x.data_ptr(), grad.data_ptr()
    setattr(problem, "spatial_grad" if spatial else "temporal_grad", found.data_ptr())
    _check(library.sth_weights(ctypes.byref(problem)))
    return found


def _lay_out(x: Tensor) -> Tensor:
    """``x`` as the kernels read it: (N, H, W, C) without gaps, seen as (N, C, H, W)."""
    x = x.detach().contiguous(memory_format=torch.channels_last)
    if x.permute(0, 2, 3, 1).is_contiguous():
        return x
    # One pixel or one channel: any strides pass for channels-last.
    return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)


def _describe_run(library: ctypes.CDLL, layer: Layer, x: Tensor, packed: Tensor, frames: int) -> _Problem:
    """The layer on this input and these weights."""
    problem = layer.describe(x.dtype)
    if packed.numel() != library.sth_packed_bytes(ctypes.byref(problem)):
        raise ModelError(f"packed: {FAILURES[1]}")
    problem.images, problem.frames = x.shape[0], frames
    problem.height, problem.width = x.shape[2:]
    problem.out_height, problem.out_width = layer.geometry.output_size(x.shape[2], x.shape[3])
    problem.x, problem.packed = x.data_ptr(), packed.data_ptr()
    return problem


def _describe_group(group: OutputGroup, growth: int) -> _Group:
    """The group for spatial weights that are ``growth`` times as large as they are stored."""
    first, second = (*group.spatial, Run(0, 0, 0), Run(0, 0, 0))[:2]
    (temporal,) = group.temporal or (Run(0, 0, 0),)
    return _Group(
        out_begin=group.begin,
        out_end=group.end,
        spatial_begin=(first.begin, second.begin),
        spatial_end=(first.end, second.end),
        spatial_offset=(first.offset * growth, second.offset * growth),
        temporal_begin=temporal.begin,
        temporal_end=temporal.end,
        temporal_offset=temporal.offset,
    )


def _even(layer: Layer) -> bool:
    """Whether bfloat16 can be read in pairs of channels."""
    bounds = [layer.in_channels]
    for group in layer.groups:
        for run in (*group.spatial, *group.temporal):
            bounds += [run.begin, run.end]
    return all(bound % 2 == 0 for bound in bounds)


def _require(layer: Layer, dtype: torch.dtype) -> ctypes.CDLL:
    library = build.load()
    if library is None:
        raise ModelError("no compiled STH-Conv kernels: switched off by STH_KERNELS, or they did not compile")
    if layer.by_winograd and not offers_winograd(layer, dtype):
        raise ModelError(
            "Winograd's kernel needs AVX-512, float32 and a 3x3 kernel without stride and spatial dilation, got "
            f"{dtype}, {layer.geometry}"
        )
    return library


def _check(code: int) -> None:
    if code:
        raise ModelError(f"STH-Conv kernel: {FAILURES[code]}")
