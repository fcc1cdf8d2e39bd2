"""One session: all networks built, then timed in interleaved rounds, in this process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from study.cost.runtime.clocks import Reading, choose_timer
from study.cost.runtime.device import check_device
from study.cost.runtime.memory import Peak, choose_gauge
from study.cost.runtime.rounds import Progress, describe_failure, measure_rounds
from study.cost.runtime.workload import NetworkRequest, Workload, prepare
from study.kernels.choice import implementation
from study.spec.runtime import RuntimeConditions


@dataclass(frozen=True)
class NetworkRuntime:
    """What one network gave: readings, one a round, or ``reason`` why there are none."""

    readings: tuple[Reading, ...] = ()
    peak: Peak = field(default_factory=lambda: Peak(None))
    graph: bool | None = None
    note: str = ""
    reason: str = ""
    sth_layers: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Session:
    """What all of them gave, by name, and their orders in the rounds that count."""

    networks: dict[str, NetworkRuntime] = field(default_factory=dict)
    orders: list[tuple[str, ...]] = field(default_factory=list)


def measure_networks(
    requests: Sequence[NetworkRequest],
    conditions: RuntimeConditions,
    *,
    rounds: int,
    warmup: int,
    seed: int,
    prepared: Callable[[str], None] = lambda name: None,
    progress: Progress = lambda done, total: None,
) -> Session:
    """Measure ``requests`` under ``conditions``.

    All networks are in memory at once. One that cannot be built or does not run, for want of memory or otherwise, has
    a reason instead of times, and the others go on.

    Args:
        requests: the networks, each with a name of its own.
        conditions: what they are measured under.
        rounds: rounds that count, at least one.
        warmup: rounds before them that do not.
        seed: of the order in each round.
        prepared: told the name of each network once it is ready.
        progress: told after each round.

    Raises:
        SpecError: when there is no such device.
    """
    check_device(conditions.device)
    session = Session()
    workloads: dict[str, Workload] = {}
    with _arithmetic(conditions, len(requests)):
        gauge = choose_gauge(conditions.device)
        for request in requests:
            try:
                workloads[request.name] = prepare(request, conditions, gauge)
            except Exception as error:  # whatever it is, it is one network's
                session.networks[request.name] = NetworkRuntime(reason=describe_failure(error))
            _release(conditions.device)
            prepared(request.name)
        steps = {name: workload.step for name, workload in workloads.items()}
        about = {name: (one.peak, one.graph, one.note, "", one.sth_layers) for name, one in workloads.items()}
        # From here on the steps alone keep networks alive, so that one that fails gives its memory back.
        workloads.clear()
        measured = measure_rounds(
            steps, choose_timer(conditions), rounds=rounds, warmup=warmup, seed=seed, progress=progress
        )
        steps.clear()
    _release(conditions.device)
    session.orders = measured.orders
    for name, rest in about.items():
        if name in measured.failures:
            session.networks[name] = NetworkRuntime(reason=measured.failures[name])
        else:
            session.networks[name] = NetworkRuntime(tuple(measured.readings[name]), *rest)
    return session


@contextmanager
def _arithmetic(conditions: RuntimeConditions, networks: int) -> Iterator[None]:
    """Threads and libraries as the conditions say; afterwards as they were.

    A forward pass runs on the fastest kernels that there are, as whoever uses a network would have it; training on
    those that it always runs on (:mod:`study.kernels.choice`).
    """
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    torch.set_num_threads(conditions.threads)
    torch.backends.cudnn.benchmark = True
    try:
        with (
            torch.random.fork_rng(),
            implementation("fused" if conditions.mode == "inference" else "library"),
            _compiling(networks) if conditions.compile else _plain(),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def _compiling(networks: int) -> Iterator[None]:
    """Let each network be compiled on its own. By default PyTorch gives up after eight and runs the rest uncompiled,
    without a word.
    """
    import torch._dynamo as dynamo

    limit = 8 * networks + 64
    dynamo.reset()
    with dynamo.config.patch(
        recompile_limit=limit, accumulated_recompile_limit=64 * limit, fail_on_recompile_limit_hit=True
    ):
        yield
    dynamo.reset()


@contextmanager
def _plain() -> Iterator[None]:
    yield


def _release(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
