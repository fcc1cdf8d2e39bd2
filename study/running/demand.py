"""What trials ask of a cluster, and which of it the nodes cannot give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.running.executor import Job
from study.spec.training import ResourcesSpec

Bundle = Mapping[str, float]
"""Amounts by Ray's names: "CPU", "GPU" and those that the cluster names itself."""


@dataclass(frozen=True)
class Demand:
    """What a trial asks for.

    Attributes:
        bundle: of each process, which one node has to hold.
        processes: how many of them, on any nodes.
    """

    bundle: Bundle
    processes: int = 1

    def count_places(self, offers: Sequence[Bundle]) -> int:
        """How many such processes nodes with ``offers`` altogether hold."""
        return sum(_count_on_node(self.bundle, offer) for offer in offers)

    def is_met(self, offers: Sequence[Bundle]) -> bool:
        """Whether nodes with ``offers`` altogether could ever hold the trial."""
        return (
            any(fits(self.bundle, offer) for offer in offers) and self.count_places(offers) >= self.processes
        )


def demand_of(resources: ResourcesSpec) -> Demand:
    """What one trial asks for."""
    return Demand(bundle_of(resources), resources.processes)


def bundle_of(resources: ResourcesSpec) -> dict[str, float]:
    """What each process of a trial occupies, by Ray's names."""
    share = resources.of_one_process()
    return {"CPU": share.cpus, "GPU": share.gpus, **share.custom}


def fits(wanted: Bundle, offer: Bundle) -> bool:
    """Whether a node with ``offer`` altogether could ever hold ``wanted``."""
    return all(offer.get(name, 0) >= amount for name, amount in wanted.items())


def find_misfits(jobs: Sequence[Job], offers: Sequence[Bundle]) -> list[Demand]:
    """What jobs ask for and nodes with ``offers`` could never hold; each kind of request once."""
    demands = (demand_of(job.trial.settings.resources) for job in jobs)
    distinct: dict[Any, Demand] = {(tuple(sorted(d.bundle.items())), d.processes): d for d in demands}
    return [demand for demand in distinct.values() if not demand.is_met(offers)]


def count_concurrent(asked: Sequence[ResourcesSpec], offers: Sequence[Bundle]) -> int:
    """How many trials the nodes ``offers`` hold at a time, at least 1, when all ask for as much as the largest."""
    demands = map(demand_of, asked)
    return max(1, min((d.count_places(offers) // d.processes for d in demands), default=1))


def describe_misfit(wanted: Demand, offers: Sequence[Bundle], *, growing: bool) -> str:
    """Why ``wanted`` cannot be had and what to do; ``growing``: of a cluster that may get more nodes."""
    bundle = wanted.bundle
    have = "; ".join(_describe(bundle, offer, ", ") for offer in offers) or "none"
    keys = ("processes", "cpus", "gpus") if wanted.processes > 1 else ("cpus", "gpus")
    options = " ".join(f"--set resources.{key}=…" for key in keys)
    custom = [name for name in bundle if name not in ("CPU", "GPU")]
    if custom:
        options += " --set 'resources.custom={…}'"
    wait = "; a cluster that grows when asked is waited for with --wait-for-nodes 10m" if growing else ""
    asked = _describe(bundle, bundle, " and ")
    if wanted.processes > 1:
        places = wanted.count_places(offers)
        problem = (
            f"a trial asks for {wanted.processes} processes with {asked} each, and there is room for {places}"
        )
    else:
        problem = f"a trial asks for {asked}, and no node has them"
    return f"resources: {problem} (nodes: {have}). Lower it with {options} or another --profile{wait}"


def _count_on_node(wanted: Bundle, offer: Bundle) -> int:
    # A thousandth is what Ray counts by: three times a third is a whole.
    counts = (int(offer.get(name, 0) / amount + 1e-3) for name, amount in wanted.items() if amount > 0)
    return min(counts, default=1)


def _describe(names: Bundle, amounts: Bundle, joint: str) -> str:
    """The amounts that stand behind ``names``: "1 CPUs and 0.5 GPUs"."""
    words = {"CPU": "CPUs", "GPU": "GPUs"}
    return joint.join(f"{amounts.get(name, 0):g} {words.get(name, name)}" for name in names)
