"""The Triton kernel of STH-Conv against cuDNN's 2D convolution, layer by layer, on a GPU.

    uv run python -m benchmarks.sth_gpu                             the 3x3 layers of ResNet-50, batch 16, bf16
    uv run python -m benchmarks.sth_gpu --dtype fp16 --batch 32
    TRITON_INTERPRET=1 uv run python -m benchmarks.sth_gpu --toy    whether the program works, without a GPU

``--save`` keeps the figures. For each layer the tiles that fit are tried first and the fastest is printed, so that
:func:`study.kernels.triton_sth.choose_tile` can be put right. Then all contestants run in one process, in a random
order each round, timed by CUDA events; medians of the ratios within a round, with quartiles, and the target of each.
No figures of it are kept yet: it has not been run on a GPU.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.history import Keeper, add_save_option
from study.cost.runtime.clocks import EventTimer, Timer, WallTimer
from study.kernels import Geometry
from study.kernels.library import forward
from study.kernels.triton_sth import LEAST, Tile, choose_tile, sth_conv_triton

LAYERS = ((64, 56), (128, 28), (256, 14), (512, 7))
"""Channels of ResNet-50's 3x3 convolutions and the pixels of a side."""
FRAMES = 8
WARMUP = 3


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16, help="clips of 8 frames")
    parser.add_argument("--dtype", choices=("bf16", "fp16"), default="bf16")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument(
        "--toy", action="store_true", help="one small layer on the CPU, in Triton's interpreter"
    )
    add_save_option(parser)
    arguments = parser.parse_args()
    if arguments.toy:
        if arguments.save:
            parser.error("--save keeps figures of a GPU; allowed with --toy: none")
        if os.environ.get("TRITON_INTERPRET") != "1":
            parser.error("--toy needs TRITON_INTERPRET=1 in the environment")
        race(64, 4, 1, torch.float16, torch.device("cpu"), 2)
    elif not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU on this machine; allowed here: --toy")
    else:
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[arguments.dtype]
        device = torch.device("cuda")
        keeper = Keeper("sth_gpu", arguments.save, device="cuda")
        ratios = [race(*layer, arguments.batch, dtype, device, arguments.rounds) for layer in LAYERS]
        kind = f"{arguments.dtype}, batch {arguments.batch}"
        names = [f"layer of {channels} channels, STH / 2D, {kind}" for channels, _ in LAYERS]
        print(keeper.conclude(dict(zip(names, ratios, strict=True))))


def race(
    channels: int, size: int, batch: int, dtype: torch.dtype, device: torch.device, rounds: int
) -> list[float]:
    """Print what one layer takes, p = 1/4; the ratios of STH to 2D."""
    geometry = Geometry(channels, channels, 4, "hybrid")
    x = _draw((batch * FRAMES, channels, size, size), dtype, device).contiguous(
        memory_format=torch.channels_last
    )
    dense = _draw((channels, channels, 3, 3), dtype, device).contiguous(memory_format=torch.channels_last)
    spatial, temporal = (_draw(s, dtype, device) for s in (geometry.spatial_shape, geometry.temporal_shape))
    bias = _draw((channels,), dtype, device)
    alphas = [torch.rand(batch, channels, device=device) for _ in range(2)]
    timer: Timer = EventTimer() if device.type == "cuda" else WallTimer()

    def run(tile: Tile, *, attentive: bool = False) -> Tensor:
        weights = alphas if attentive else [None, None]
        return sth_conv_triton(x, spatial, temporal, bias, *weights, FRAMES, geometry, True, tile)

    tile = min(iter_tiles(geometry), key=lambda one: _time_alone(lambda: run(one), timer))
    contestants: dict[str, Callable[[], Tensor]] = {
        "2D": lambda: functional.conv2d(x, dense, bias, padding=1).relu_(),
        "STH": lambda: run(tile),
        "attention": lambda: run(tile, attentive=True),
        "PyTorch": lambda: forward(x, spatial, temporal, bias, None, None, FRAMES, geometry, True),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(WARMUP + rounds):
        for name in random.sample(list(contestants), len(contestants)):
            seconds = timer.measure(contestants[name]).seconds
            if number >= WARMUP:
                times[name].append(seconds)
    seconds_2d = np.array(times.pop("2D"))
    ratios = {name: np.array(values) / seconds_2d for name, values in times.items()}
    size_of_tile = f"{tile.pixels} x {tile.outputs} x {tile.inputs}, {tile.warps} warps, {tile.stages} stages"
    print(f"{channels} channels: 2D {1e6 * np.median(seconds_2d):.1f} us; tile {size_of_tile}; over 2D:")
    print(", ".join(f"{name} {_show(ratio)}" for name, ratio in ratios.items()))
    return [float(ratio) for ratio in ratios["STH"]]


def iter_tiles(geometry: Geometry) -> Iterator[Tile]:
    """Tiles worth trying for a layer: those around the one that would be chosen."""
    chosen = choose_tile(geometry)
    yield chosen
    outputs = [size for size in (32, 64, 128) if LEAST <= size <= chosen.outputs] or [chosen.outputs]
    inputs = [size for size in (16, 32, 64) if size <= geometry.slice_size]
    for pixels, columns, step, warps, stages in product((64, 128, 256), outputs, inputs, (4, 8), (2, 3, 4)):
        tile = Tile(pixels, columns, step, warps, stages)
        if tile != chosen and pixels * columns // (32 * warps) <= 128:
            yield tile


def _time_alone(step: Callable[[], Tensor], timer: Timer) -> float:
    """Median time of ``step``; infinite for a tile that does not fit the device."""
    try:
        return float(np.median([timer.measure(step).seconds for _ in range(WARMUP + 5)][WARMUP:]))
    except Exception as error:
        if "OutOfResources" not in type(error).__name__:
            raise
        return float("inf")


def _draw(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(shape, device=device).to(dtype)


def _show(ratio: np.ndarray) -> str:
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
