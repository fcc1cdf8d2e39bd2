"""What the project wants to be fast at: every target, the benchmark that measures it, and the command that does.

A target is a limit on one number: mostly a ratio of two times taken side by side, which says something on a busy
machine too, in some places seconds. A number without a limit is kept beside its neighbors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from study.errors import SpecError

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Target:
    """A number and its limit.

    Attributes:
        benchmark: module of this package that measures it.
        name: of the number, unique in its benchmark.
        limit: at most so much, or at least where ``better`` is "higher"; None where there is no target.
        better: which way is better.
        unit: "" for a ratio, "s" for seconds, "MiB".
        arguments: those of the benchmark's command that measure it.
        because: why there is no number yet, where no command measures it.
    """

    benchmark: str
    name: str
    limit: float | None
    better: Better = "lower"
    unit: str = ""
    arguments: str = ""
    because: str = ""

    def is_met(self, value: float) -> bool | None:
        """Whether ``value`` keeps the limit; None without one."""
        if self.limit is None:
            return None
        return value <= self.limit if self.better == "lower" else value >= self.limit

    @property
    def bound(self) -> str:
        """The limit in words: "at most 1.02", "at least 0.9", "" without one."""
        if self.limit is None:
            return ""
        return f"at {'most' if self.better == 'lower' else 'least'} {self.limit:g}{self.unit and ' ' + self.unit}"


NO_NETWORK = "only layers are timed on a GPU"


def _of_sth_cpu() -> Iterator[Target]:
    def target(name: str, limit: float | None, part: str) -> Target:
        return Target("sth_cpu", name, limit, arguments=f"--only {part}")

    limits = {"STH": 0.94, "STH+attention": 0.96, "STH on PyTorch's convolutions": 1.05}
    for dtype in ("fp32", "bf16"):
        yield target(f"layers, geometric mean, {dtype}", 0.84, "layers")
        for kind, limit in limits.items():
            yield target(f"ResNet-50, {kind} / 2D, {dtype}", limit, "network")
        yield target(f"ResNet-50, STH / TSM, {dtype}", 0.90, "network")
        yield target(f"ResNet-50, STH / (2+1)D, {dtype}", 0.82, "network")
    yield target("ResNet-50, STH by Winograd / 2D, fp32", 0.82, "network")
    yield target("ResNet-50, 2D by Winograd / 2D, fp32", None, "network")
    yield target("training step, layers, geometric mean, fp32", 0.98, "training")


def _of_sth_gpu() -> Iterator[Target]:
    for channels in (64, 128, 256, 512):
        limit = 0.90 if channels >= 256 else None
        yield Target("sth_gpu", f"layer of {channels} channels, STH / 2D, bf16, batch 16", limit)
    yield Target("sth_gpu", "ResNet-50, STH / 2D, bf16, batch 16", 1.00, because=NO_NETWORK)
    yield Target("sth_gpu", "ResNet-50, STH+attention / 2D, bf16, batch 16", 1.03, because=NO_NETWORK)
    yield Target(
        "sth_gpu", "ResNet-50, videos/s of STH / TSM, bf16, batch 16", 1.15, "higher", because=NO_NETWORK
    )


TARGETS: tuple[Target, ...] = (
    *_of_sth_cpu(),
    *_of_sth_gpu(),
    Target("training_loop", "training, harness / bare loop", 1.02),
    Target("training_loop", "training, harness without its loader / bare loop", None),
    Target("default_study", "launch of the default study on 2 cores", 300.0, unit="s"),
    Target("input_pipeline", "videos/s, frames / bare decord", 0.90, "higher"),
    Target("input_pipeline", "videos/s, clips / bare decord", None, "higher"),
    Target("input_pipeline", "growth of memory over 20,000 decodes", 1.10, arguments="--memory 20000"),
    Target("scheduling", "a trial that does nothing, ours / bare Tune", 1.10),
    Target("scheduling", "growth of the driver's memory over 1,000 trials", 1.10, arguments="--memory 1000"),
    Target("scheduling", "plan of 10,000 trials", 2.0, unit="s", arguments="--plan 10000"),
    Target("startup", "import of study.cli", 0.5, unit="s"),
    Target("startup", "run_study.py --help", None, unit="s"),
    Target("report", "report of 500 trials", 10.0, unit="s", arguments="--sizes 500"),
    Target("report", "report of 5000 trials", 60.0, unit="s", arguments="--sizes 5000"),
)


def find_targets(benchmark: str) -> dict[str, Target]:
    """The targets of ``benchmark`` by name.

    Raises:
        SpecError: when no benchmark is called so.
    """
    found = {target.name: target for target in TARGETS if target.benchmark == benchmark}
    if not found:
        raise SpecError(f"benchmark: no '{benchmark}'; allowed: {', '.join(list_benchmarks())}")
    return found


def list_benchmarks() -> list[str]:
    """Names of the benchmarks that have targets, each once."""
    return list(dict.fromkeys(target.benchmark for target in TARGETS))


def list_commands(benchmarks: list[str]) -> list[tuple[str, str]]:
    """(benchmark, arguments) of the commands that measure everything of ``benchmarks`` which can be measured."""
    wanted = (target for name in benchmarks for target in find_targets(name).values() if not target.because)
    return list(dict.fromkeys((target.benchmark, target.arguments) for target in wanted))
