"""Counting what a model costs: fvcore, torch's FlopCounterMode, and a closed form, which must agree.

What the field prints as "FLOPs" is multiply-accumulates (MACs), and so is every figure here.
``gmacs_per_view`` holds convolutions and matrix products of the operators as defined: hybrid kernels are
counted in the form that executes exactly the kernels that exist. What the implementation executes on a CPU is
a figure of its own.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from study.cost.oracle import LayerCost, derive_layers, has_closed_form
from study.errors import CountError
from study.kernels.choice import implementation
from study.models.build import build_model
from study.spec.model import InitSpec, ModelSpec
from study.spec.record import Cost

TOLERANCE = 0.005
FVCORE_LIMIT = 70e9
"""Multiply-accumulates up to which fvcore counts too. It has to run the network on real numbers, which for
the largest takes a minute and gigabytes; torch counts shapes alone."""
PRODUCTS = frozenset({"conv", "linear", "matmul", "bmm", "addmm", "einsum"})
"""fvcore's names for convolutions and matrix products; it counts BatchNorm and adaptive pooling too."""
ELEMENTWISE = frozenset(
    "aten::" + name
    for name in (
        *(
            "add",
            "add_",
            "sub",
            "rsub",
            "mul",
            "mul_",
            "div",
            "lerp",
            "sum",
            "mean",
            "amax",
            "softmax",
            "sigmoid",
        ),
        *("max_pool2d", "avg_pool2d", "index_select"),
        *("max_pool3d", "avg_pool3d", "adaptive_avg_pool3d"),
        *("hardtanh_", "tanh", "pad"),
    )
)
"""Operators that fvcore leaves out and that cost at most a few operations for each element they touch."""
VIEWS = frozenset({"aten::unflatten"})
"""Operators that fvcore leaves out and that do nothing."""


@dataclass(frozen=True)
class _Counted:
    """What a counter found: MACs by module name ("" is the whole), its own total, what it left out."""

    macs: Mapping[str, float]
    total: float
    uncounted: Mapping[str, int]


def count_cost(model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3) -> Cost:
    """The cost of one view of ``frames`` frames of ``size`` x ``size`` pixels.

    Without fvcore, and for networks beyond ``FVCORE_LIMIT``, torch's counter stands in and ``fvcore_gmacs``
    is None. Networks without a closed form are counted by torch and fvcore alone.

    Args:
        model: the network; its initial weights are not loaded.
        num_classes: K.
        frames: T, frames of a view.
        size: height and width of a view, pixels.
        in_channels: C of a frame; flow has others than color.

    Raises:
        CountError: when counters disagree by more than 0.5 %, on the whole or on one module, or an operator
            of unknown cost is left out.
        ModelError: when the model cannot be built.
    """
    unloaded = model.model_copy(update={"init": InitSpec()})
    network = build_model(unloaded, num_classes=num_classes, frames=frames, in_channels=in_channels).eval()
    clip = torch.zeros(1, in_channels, frames, size, size)
    with implementation("gathered"):
        ours = _count_torch(network, clip)
        fvcore = _count_fvcore(network, clip) if ours.macs[""] <= FVCORE_LIMIT else None
    if has_closed_form(model):
        expected = derive_layers(
            model, num_classes=num_classes, frames=frames, size=size, in_channels=in_channels
        )
        _check_params(network, expected)
        _check_macs("torch.utils.flop_counter", ours.macs, expected)
        if fvcore is not None:
            _check_macs("fvcore", fvcore.macs, expected)
    elif fvcore is not None:
        _compare("the whole network: fvcore", fvcore.macs[""], ours.macs[""])
    if fvcore is not None:
        _check_uncounted(fvcore.uncounted)
    executed = _count_torch(network, clip)
    counted = fvcore or ours
    return Cost(
        params_m=sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        gmacs_per_view=counted.macs[""] / 1e9,
        fvcore_gmacs=None if fvcore is None else fvcore.total / 1e9,
        executed_gmacs=executed.macs[""] / 1e9,
        uncounted=dict(sorted(counted.uncounted.items())),
    )


def _count_torch(network: nn.Module, clip: torch.Tensor) -> _Counted:
    """Count on the meta device: shapes only, no arithmetic. torch counts two FLOPs for each MAC."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        copy.deepcopy(network).to("meta")(clip.to("meta"))
    root = type(network).__name__
    macs = {
        name.removeprefix(root).removeprefix("."): sum(flops.values()) / 2
        for name, flops in counter.get_flop_counts().items()
        if name.startswith(root)
    }
    return _Counted(macs, counter.get_total_flops() / 2, {})


def _count_fvcore(network: nn.Module, clip: torch.Tensor) -> _Counted | None:
    """Count with fvcore, on a copy in eval mode: it runs the network, which would alter its buffers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore annotates with a deprecated torch.jit decorator on import
        try:
            from fvcore.nn import FlopCountAnalysis
        except ImportError:
            return None
        analysis = FlopCountAnalysis(copy.deepcopy(network).eval(), clip)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_module = analysis.by_module_and_operator()
    uncounted = {name: n for name, n in analysis.unsupported_ops().items() if name not in VIEWS}
    macs = {
        name: float(sum(count for operator, count in counts.items() if operator in PRODUCTS))
        for name, counts in by_module.items()
    }
    return _Counted(macs, float(analysis.total()), uncounted)


def _check_params(network: nn.Module, expected: Iterable[LayerCost]) -> None:
    """Parameters are counted exactly, so they must agree exactly."""
    left = dict(network.named_parameters())
    for layer in expected:
        inside = [name for name in left if name.startswith(f"{layer.name}.")]
        found = sum(left.pop(name).numel() for name in inside)
        if found != layer.params:
            raise CountError(f"{layer.name}: {found} parameters, the closed form has {layer.params}")
    if left:
        raise CountError(f"{next(iter(left))}: a parameter that the closed form does not know")


def _check_macs(counter: str, found: Mapping[str, float], expected: Iterable[LayerCost]) -> None:
    """Compare module by module, then the whole, which also holds what is in no module of the closed form."""
    total = 0
    for layer in expected:
        total += layer.macs
        _compare(f"{layer.name}: {counter}", found.get(layer.name, 0), layer.macs)
    _compare(f"the whole network, outside of the modules with parameters: {counter}", found[""], total)


def _compare(where: str, found: float, expected: float) -> None:
    if abs(found - expected) > TOLERANCE * expected:
        raise CountError(f"{where} counts {found:.0f} multiply-accumulates, expected are {expected:.0f}")


def _check_uncounted(uncounted: Mapping[str, int]) -> None:
    unknown = sorted(set(uncounted) - ELEMENTWISE)
    if unknown:
        raise CountError(f"fvcore does not count {', '.join(unknown)}, and nobody has said what they cost")
