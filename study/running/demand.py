"""What trials ask of a cluster, and which of it no node can give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from study.running.executor import Job
from study.spec.training import ResourcesSpec

Bundle = Mapping[str, float]
"""Amounts by Ray's names: "CPU", "GPU" and those that the cluster names itself."""


def bundle_of(resources: ResourcesSpec) -> dict[str, float]:
    """What one trial occupies, by Ray's names."""
    return {"CPU": resources.cpus, "GPU": resources.gpus, **resources.custom}


def fits(wanted: Bundle, offer: Bundle) -> bool:
    """Whether a node with ``offer`` altogether could ever hold ``wanted``."""
    return all(offer.get(name, 0) >= amount for name, amount in wanted.items())


def find_misfits(jobs: Sequence[Job], offers: Sequence[Bundle]) -> list[dict[str, float]]:
    """What jobs ask for and no single one of the nodes ``offers`` could ever hold; each kind of request once."""
    distinct = {tuple(sorted(bundle.items())): bundle for bundle in map(_bundle_of_job, jobs)}
    return [bundle for bundle in distinct.values() if not any(fits(bundle, offer) for offer in offers)]


def count_concurrent(asked: Sequence[ResourcesSpec], offers: Sequence[Bundle]) -> int:
    """How many trials the nodes ``offers`` hold at a time, at least 1, when all ask for as much as the largest."""
    counts = []
    for bundle in {tuple(sorted(bundle_of(resources).items())) for resources in asked}:
        amounts = [(name, amount) for name, amount in bundle if amount > 0]
        # A thousandth is what Ray counts by: three times a third is a whole.
        held = (min((int(offer.get(n, 0) / a + 1e-3) for n, a in amounts), default=1) for offer in offers)
        counts.append(sum(held))
    return max(1, min(counts, default=1))


def describe_misfit(wanted: Bundle, offers: Sequence[Bundle], *, growing: bool) -> str:
    """Why ``wanted`` cannot be had and what to do; ``growing``: of a cluster that may get more nodes."""
    have = "; ".join(_describe(wanted, offer, ", ") for offer in offers) or "none"
    options = " ".join(f"--set resources.{key}=…" for key in ("cpus", "gpus"))
    custom = [name for name in wanted if name not in ("CPU", "GPU")]
    if custom:
        options += " --set 'resources.custom={…}'"
    wait = "; a cluster that grows when asked is waited for with --wait-for-nodes 10m" if growing else ""
    return (
        f"resources: a trial asks for {_describe(wanted, wanted, ' and ')}, and no node has them "
        f"(nodes: {have}). Lower it with {options} or another --profile{wait}"
    )


def _bundle_of_job(job: Job) -> dict[str, float]:
    return bundle_of(job.trial.settings.resources)


def _describe(names: Bundle, amounts: Bundle, joint: str) -> str:
    """The amounts that stand behind ``names``: "1 CPUs and 0.5 GPUs"."""
    words = {"CPU": "CPUs", "GPU": "GPUs"}
    return joint.join(f"{amounts.get(name, 0):g} {words.get(name, name)}" for name in names)
