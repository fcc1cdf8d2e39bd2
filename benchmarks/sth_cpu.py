"""STH-Conv against the 2D convolution and its rivals on one core of a CPU.

    uv run python -m benchmarks.sth_cpu                         layers, networks and training steps
    uv run python -m benchmarks.sth_cpu --only layers           one of them: layers, network, training
    uv run python -m benchmarks.sth_cpu --rounds 15             more turns
    uv run python -m benchmarks.sth_cpu --save                  keeps the figures

The peer is the 2D network at its best: BatchNorm folded, channels-last, oneDNN with prepacked weights, ReLU and
the residual sum fused (:mod:`benchmarks.frozen`). One thread, process CPU time, all contestants in one process
and in a random order each round. What is printed are medians of the ratios within a round, with quartiles: times
on a shared machine mean little, ratios of neighbors in time mean something. CPU time does not see how well
threads share work. "By Winograd" is what STH_KERNELS=winograd asks for: fp32 layers of stride 1, STH-Conv and, for
comparison, 2D convolutions by the same kernel; no other contestant runs on it.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from benchmarks.frozen import FRAMES, STAGES, ResNet50, has_winograd, second_convolution
from benchmarks.history import Keeper, add_save_option
from study.kernels import Geometry, runs_compiled, sth_conv

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Contestants = Mapping[str, Callable[[], object]]
Times = dict[str, np.ndarray]
COLUMNS = ("STH", "STH+attention", "STH, PyTorch", "STH by Winograd", "2D by Winograd")
"""Of the table of layers."""


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("layers", "network", "training"), help="instead of all three")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each contestant")
    add_save_option(parser)
    arguments = parser.parse_args()
    keeper = Keeper("sth_cpu", arguments.save)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found: dict[str, np.ndarray] = {}
    parts = {"layers": race_layers, "network": race_networks, "training": race_training}
    for name, part in parts.items():
        if arguments.only in (None, name):
            found |= part(arguments.rounds)
    print(keeper.conclude({name: ratio.tolist() for name, ratio in found.items()}))


def race(contestants: Contestants, rounds: int, calls: int) -> Times:
    """CPU seconds of each contestant in each round."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()
    for _ in range(rounds):
        for name in random.sample(list(contestants), len(contestants)):
            start = time.process_time()
            for _ in range(calls):
                contestants[name]()
            times[name].append((time.process_time() - start) / calls)
    return {name: np.array(seconds) for name, seconds in times.items()}


@torch.inference_mode()
def race_layers(rounds: int) -> dict[str, np.ndarray]:
    """The 3x3 layers of ResNet-50, B = 1: STH, with attention's coefficients, and by Winograd, against 2D."""
    rows, found = [], {}
    for name, dtype in DTYPES.items():
        ratios = []
        for _, channels, size in STAGES:
            x = _frames(channels, size, dtype)
            kinds = ["2D", "STH", "STH+attention"] + ["2D by Winograd"] * has_winograd(dtype)
            layers = {kind: second_convolution(kind, channels, 1, size, 1, dtype) for kind in kinds}
            contestants = {kind: (lambda layer=layer, x=x: layer(x)) for kind, layer in layers.items()}
            contestants["STH, PyTorch"] = _on("off", contestants["STH"])
            if has_winograd(dtype):
                contestants["STH by Winograd"] = _on("winograd", contestants["STH"])
            times = race(contestants, rounds, calls=4)
            ratios.append(times["STH"] / times["2D"])
            shape = Geometry(channels, channels, 4, "hybrid")
            rows.append(
                [name, channels, runs_compiled(x, shape), f"{np.median(times['2D']) * 1e3:.2f} ms"]
                + [_show(times[kind] / times["2D"]) if kind in times else "" for kind in COLUMNS]
            )
        found[f"layers, geometric mean, {name}"] = np.prod(ratios, axis=0) ** (1 / len(ratios))
    print(
        tabulate(rows, headers=["", "channels", "compiled", "2D", *(f"{kind} / 2D" for kind in COLUMNS)]),
        end="\n\n",
    )
    return found


@torch.inference_mode()
def race_networks(rounds: int) -> dict[str, np.ndarray]:
    """ResNet-50 on 8 x 224 x 224, B = 1."""
    found = {}
    for name, dtype in DTYPES.items():
        x = _frames(3, 224, dtype)
        kinds = ["2D", "STH", "STH+attention", "TSM", "(2+1)D"] + ["2D by Winograd"] * has_winograd(dtype)
        networks = {kind: ResNet50(kind, dtype) for kind in kinds}
        contestants = {kind: (lambda network=network, x=x: network(x)) for kind, network in networks.items()}
        contestants["PyTorch"] = _on("off", contestants["STH"])
        if has_winograd(dtype):
            contestants["STH by Winograd"] = _on("winograd", contestants["STH"])
        times = race(contestants, rounds, calls=1)
        print(name, {kind: f"{np.median(seconds) * 1e3:.0f} ms" for kind, seconds in times.items()})
        for kind in ("STH", "STH+attention"):
            found[f"ResNet-50, {kind} / 2D, {name}"] = times[kind] / times["2D"]
        found[f"ResNet-50, STH on PyTorch's convolutions / 2D, {name}"] = times["PyTorch"] / times["2D"]
        for kind in ("STH by Winograd", "2D by Winograd"):
            if kind in times:
                found[f"ResNet-50, {kind} / 2D, {name}"] = times[kind] / times["2D"]
        for rival in ("TSM", "(2+1)D"):
            found[f"ResNet-50, STH / {rival}, {name}"] = times["STH"] / times[rival]
    print()
    return found


def race_training(rounds: int) -> dict[str, np.ndarray]:
    """Forward and backward of the 3x3 layers, B = 1, fp32; weights are packed in every step."""
    rows, ratios = [], []
    for _, channels, size in STAGES:
        x = _frames(channels, size, torch.float32).requires_grad_()
        grad = torch.randn_like(x)
        shape = Geometry(channels, channels, 4, "hybrid")
        dense = torch.randn(channels, channels, 3, 3, requires_grad=True)
        spatial = torch.randn(shape.spatial_shape, requires_grad=True)
        temporal = torch.randn(shape.temporal_shape, requires_grad=True)

        def step_2d(x: Tensor = x, grad: Tensor = grad, weight: Tensor = dense) -> object:
            return torch.autograd.grad(torch.nn.functional.conv2d(x, weight, padding=1), (x, weight), grad)

        def step_sth(x: Tensor = x, grad: Tensor = grad, s: Tensor = spatial, t: Tensor = temporal) -> object:
            return torch.autograd.grad(sth_conv(x, s, t, frames=FRAMES, groups=4), (x, s, t), grad)

        contestants = {"2D": step_2d, "STH": step_sth, "PyTorch": _on("off", step_sth)}
        times = race(contestants, rounds, calls=2)
        ratios.append(times["STH"] / times["2D"])
        rows.append(
            [
                channels,
                f"{np.median(times['2D']) * 1e3:.1f} ms",
                _show(ratios[-1]),
                _show(times["PyTorch"] / times["2D"]),
            ]
        )
    print(tabulate(rows, headers=["channels", "2D step", "STH / 2D", "on PyTorch"]), end="\n\n")
    return {"training step, layers, geometric mean, fp32": np.prod(ratios, axis=0) ** (1 / len(ratios))}


def quartiles(ratio: np.ndarray) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [float(value) for value in np.quantile(ratio, (0.25, 0.5, 0.75))]


def _show(ratio: np.ndarray) -> str:
    low, middle, high = quartiles(ratio)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _frames(channels: int, size: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(FRAMES, channels, size, size).to(dtype).contiguous(memory_format=torch.channels_last)


def _on(kernels: str, contestant: Callable[[], object]) -> Callable[[], object]:
    """The contestant with ``kernels`` for STH_KERNELS."""

    def run() -> object:
        with _asking_for(kernels):
            return contestant()

    return run


@contextmanager
def _asking_for(kernels: str) -> Iterator[None]:
    before = os.environ.get("STH_KERNELS")
    os.environ["STH_KERNELS"] = kernels
    try:
        yield
    finally:
        if before is None:
            del os.environ["STH_KERNELS"]
        else:
            os.environ["STH_KERNELS"] = before


if __name__ == "__main__":
    main()
