"""STH-Conv as one operator, and what runs it.

geometry    which weights meet which channels
operator    ``sth::conv``: shapes, gradient, choice; :func:`sth_conv` is its front
library     out of PyTorch's convolutions: runs everywhere
triton_sth  one fused Triton kernel for GPUs
native      C++ for CPUs, compiled at first use where there is a compiler
gradient    of all of them
means       pooled means of the parts, from sums of the input, without the parts
"""

from study.kernels.geometry import Geometry, make_geometry
from study.kernels.means import pooled_means
from study.kernels.operator import pack_weights, runs_compiled, sth_conv

__all__ = ["Geometry", "make_geometry", "pack_weights", "pooled_means", "runs_compiled", "sth_conv"]
