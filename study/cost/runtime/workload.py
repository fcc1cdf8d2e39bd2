"""A network with its input, ready for the clock: everything that is done once is done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from study.cost.runtime.clocks import Step
from study.cost.runtime.memory import Gauge, Peak, sum_storage
from study.kernels.geometry import Geometry
from study.kernels.watching import watch
from study.models.build import build_model
from study.spec.model import InitSpec, ModelSpec
from study.spec.runtime import RuntimeConditions
from study.spec.training import OptimizerSpec

Network = Callable[[Tensor], Tensor]
"""Class scores (N, K) of clips (N, C, T, H, W)."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CAPTURE_WARMUP = 3
"""Passes on a side stream before a CUDA graph is captured, as PyTorch asks for."""


@dataclass(frozen=True)
class NetworkRequest:
    """A network to be timed.

    Attributes:
        name: unique in a session.
        model: the network; its initial weights are not loaded, they change no time.
        num_classes: K.
        frames: T of a clip.
        size: height and width of a clip, pixels.
        channels: C of a clip.
        optimizer: of the training step.
    """

    name: str
    model: ModelSpec
    num_classes: int
    frames: int
    size: int
    channels: int = 3
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)


@dataclass(frozen=True)
class Workload:
    """A pass that is ready to be timed.

    Attributes:
        step: runs it.
        peak: memory that it takes.
        graph: whether ``step`` replays a CUDA graph; None on a CPU.
        note: why it does not.
        sth_layers: layers of STH-Conv by what runs them: ``native``, ``triton`` or ``library``.
        held: what has to stay alive for it.
    """

    step: Step
    peak: Peak
    graph: bool | None = None
    note: str = ""
    sth_layers: Mapping[str, int] = field(default_factory=dict)
    held: tuple[object, ...] = ()


def prepare(request: NetworkRequest, conditions: RuntimeConditions, gauge: Gauge) -> Workload:
    """Build ``request`` and its input, run it twice (which compiles it, where asked), and capture a graph on a GPU.

    Raises:
        ModelError: when the network cannot be built; whatever PyTorch raises when it does not run.
    """
    network, clip = _build(request, conditions)
    run: Network = torch.compile(network, dynamic=False) if conditions.compile else network
    held = [clip, *network.parameters(), *network.buffers()]
    if conditions.mode == "inference":
        step = _make_forward(run, clip)
        ran = _run_watched(step, network)
    else:
        labels = torch.arange(conditions.batch, device=clip.device) % request.num_classes
        optimizer = _build_optimizer(network, request.optimizer)
        step = _make_training_step(run, clip, labels, optimizer, conditions)
        ran = _run_watched(step, network)
        held += [one.grad for one in network.parameters() if one.grad is not None]
        held += [one for state in optimizer.state.values() for one in state.values() if torch.is_tensor(one)]
    own = sum_storage(held)
    held.clear()
    peak = gauge.measure(step)
    if peak.gib is not None:
        peak = Peak(own + peak.gib)
    if conditions.device == "cpu":
        return Workload(step, peak, sth_layers=ran)
    if conditions.mode == "training" and conditions.dtype == "fp16":
        return Workload(
            step,
            peak,
            graph=False,
            note="loss scaling asks the GPU whether gradients are finite",
            sth_layers=ran,
        )
    return replace(_capture(step, peak), sth_layers=ran)


def _run_watched(step: Step, network: nn.Module) -> dict[str, int]:
    """Run ``step``; the layers of STH-Conv in ``network`` by what ran them. What is no call of the operator ran on
    PyTorch's convolutions.
    """
    layers = sum(isinstance(getattr(one, "geometry", None), Geometry) for one in network.modules())
    with watch() as ran:
        step()
    fused = {name: ran[name] for name in ("native", "winograd", "triton") if ran[name]}
    rest = layers - sum(fused.values())
    return fused | ({"library": rest} if rest else {})


def _build(request: NetworkRequest, conditions: RuntimeConditions) -> tuple[nn.Module, Tensor]:
    """The network on its device, in its mode and type, and a batch (N, C, T, H, W) of normal noise."""
    network: nn.Module = build_model(
        request.model.model_copy(update={"init": InitSpec()}),
        num_classes=request.num_classes,
        frames=request.frames,
        in_channels=request.channels,
    )
    inference = conditions.mode == "inference"
    dtype = DTYPES[conditions.dtype] if inference else torch.float32
    network = network.to(conditions.device, dtype).train(not inference)
    shape = (conditions.batch, request.channels, request.frames, request.size, request.size)
    # Drawn on the CPU by a generator of its own: the same numbers everywhere, and the global state is left alone.
    clip = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return network, clip.to(conditions.device, dtype)


def _make_forward(network: Network, clip: Tensor) -> Step:
    def step() -> None:
        with torch.no_grad():
            network(clip)

    return step


def _build_optimizer(network: nn.Module, options: OptimizerSpec) -> torch.optim.Optimizer:
    """SGD as the arm has it, with all parameters in one group."""
    return torch.optim.SGD(
        network.parameters(),
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )


def _make_training_step(
    network: Network,
    clip: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    conditions: RuntimeConditions,
) -> Step:
    """Forward, cross-entropy, backward, a step of ``optimizer``."""
    scaler = torch.amp.GradScaler(conditions.device, enabled=conditions.dtype == "fp16")
    dtype, lowered = DTYPES[conditions.dtype], conditions.dtype != "fp32"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        # Weights that autocast has cast may not be kept from one replay of a graph to the next.
        with torch.autocast(conditions.device, dtype if lowered else None, lowered, cache_enabled=False):
            loss = nn.functional.cross_entropy(network(clip), labels)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()

    return step


def _capture(step: Step, peak: Peak) -> Workload:
    """``step`` as a CUDA graph where that works, else itself with the reason. What a graph replays is the work of the
    GPU without the time that Python takes to ask for it.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(CAPTURE_WARMUP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
        graph.replay()
        torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        torch.cuda.synchronize()
        lines = str(error).splitlines() or [type(error).__name__]
        return Workload(step, peak, graph=False, note=f"no graph could be captured: {lines[0]}")
    return Workload(graph.replay, peak, graph=True, held=(graph, step))
