"""STH-Conv as one operator, and what runs it.

geometry    which weights meet which channels
choice      which of the ways to run it a network takes
operator    ``sth::conv``: shapes, gradient, what runs it; :func:`sth_conv` is its front
library     out of PyTorch's convolutions: runs everywhere
temporal    convolution over time alone, out of the same
watching    what ran it
triton_sth  one fused Triton kernel for GPUs
native      C++ for CPUs, compiled at first use where there is a compiler
gradient    of all of them
means       pooled means of the parts, from sums of the input, without the parts
"""

from study.kernels.choice import chosen, implementation
from study.kernels.geometry import Geometry, make_geometry
from study.kernels.means import pooled_means
from study.kernels.operator import runs_compiled, runs_fused, runs_winograd, sth_conv
from study.kernels.watching import watch

__all__ = [
    "Geometry",
    "chosen",
    "implementation",
    "make_geometry",
    "pooled_means",
    "runs_compiled",
    "runs_fused",
    "runs_winograd",
    "sth_conv",
    "watch",
]
