"""Looking at the nodes of a cluster before trials run there."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from study.errors import SchedulingError
from study.running.demand import bundle_of, fits
from study.running.executor import Job
from study.running.preflight import Survey, examine, list_unanswered

logger = logging.getLogger(__name__)

PREFLIGHT_SECONDS = 300.0
"""How long a node may take to answer: its first worker unpacks the code and imports."""
NEWCOMERS_SECONDS = 5.0
"""Pause between two looks for nodes that have joined."""
MOUNT_SECONDS = 600.0
"""How long a trial waits on a node that joined before its shared storage was mounted."""


class NodeWatch:
    """Looks at every node that could hold a trial, once."""

    def __init__(self, survey: Survey, jobs: Sequence[Job]) -> None:
        self._survey = survey
        self._bundles = [bundle_of(job.trial.settings.resources) for job in jobs]
        self._known: set[str] = set()
        self._names: dict[str, str] = {}
        self._pending: dict[Any, tuple[str, str]] = {}
        self._next = 0.0

    def check_all(self, nodes: list[dict[str, Any]]) -> None:
        """Look at ``nodes`` and wait for the answers.

        Raises:
            SchedulingError: with everything that is wrong, node by node.
        """
        import ray

        self._ask(nodes)
        asked = dict(self._pending.values())
        if self._pending:
            ray.wait(list(self._pending), num_returns=len(self._pending), timeout=PREFLIGHT_SECONDS)
        problems, silent = self._collect(), dict(self._pending.values())
        problems += [
            f"node {name}: does not answer after {PREFLIGHT_SECONDS:.0f} s" for name in silent.values()
        ]
        if not problems:
            problems = list_unanswered(self._survey, asked)
        if problems:
            raise SchedulingError("the cluster cannot run these trials:\n" + "\n".join(problems))

    def look(self) -> None:
        """Look at nodes that have joined; what is wrong with them is a warning, and trials there wait."""
        import ray

        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + NEWCOMERS_SECONDS
        for problem in self._collect():
            logger.warning("%s; trials that are placed there wait %.0f s", problem, MOUNT_SECONDS)
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        self._tell_of_losses(nodes)
        self._ask(nodes)

    def _tell_of_losses(self, nodes: list[dict[str, Any]]) -> None:
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        for node in sorted(self._names.keys() - alive):
            name = self._names.pop(node)
            logger.warning("node %s is gone; its trials go on elsewhere after their last whole epoch", name)

    def _ask(self, nodes: list[dict[str, Any]]) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = ray.remote(num_cpus=0, max_retries=0)(examine)
        for node in nodes:
            name = node["NodeID"]
            useful = node["Alive"] and any(fits(bundle, node["Resources"]) for bundle in self._bundles)
            if name in self._known or not useful:
                continue
            self._known.add(name)
            there = NodeAffinitySchedulingStrategy(name, soft=False)
            answer = remote.options(scheduling_strategy=there).remote(self._survey, name)
            self._names[name] = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
            self._pending[answer] = (name, self._names[name])

    def _collect(self) -> list[str]:
        """Problems that the answers name which have arrived."""
        import ray

        if not self._pending:
            return []
        ready, _ = ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        problems = []
        for answer in ready:
            node, name = self._pending.pop(answer)
            try:
                problems += [f"node {name}: {problem}" for problem in ray.get(answer)]
            except ray.exceptions.RayError as error:
                if node in _list_alive():  # one that has died meanwhile is no hindrance
                    problems.append(
                        f"node {name}: cannot run this code: {str(error).strip().splitlines()[-1]}"
                    )
        return problems


def _list_alive() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
