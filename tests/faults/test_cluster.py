"""A grid on a real Ray cluster of several nodes, each with a raylet of its own, all on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.running.attempts import read_attempts
from study.running.store import Store
from tests.faults.grid import ToyGrid, check_same_results
from tests.faults.processes import ROOT, launched, wait_for
from tests.faults.ray_node import FakeNode, can_unshare, ray_node

pytestmark = pytest.mark.long
BOX = {"num_cpus": 2, "num_gpus": 1, "resources": {"lab": 2}}
"""A machine for two trials of half a GPU each; no GPU is there, which Ray cannot tell."""
ASKED = ("resources.gpus=0.5", "resources.custom={lab: 1}")


@pytest.fixture(scope="module")
def head() -> Iterator[FakeNode]:
    """A cluster that consists of a head without CPUs: trials need nodes that join later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        with ray_node({"num_cpus": 0}) as node:
            yield node


@pytest.fixture(scope="module")
def changed_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout whose code no node has installed."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("study", "experiments", "reports"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "generated"))
    shutil.copy(ROOT / "run_study.py", root)
    with (root / "study" / "errors.py").open("a") as file:
        file.write("# changed\n")
    return root


def options(grid: ToyGrid, head: FakeNode, *more: str) -> list[str]:
    grid.overrides += ASKED
    return [*grid.arguments(), f"--address={head.address}", *more]


def begun(store: Store) -> list[str]:
    """Trials that have begun and not ended."""
    return [
        path.parent.name
        for path in store.trials.glob("*/attempts.jsonl")
        if any(attempt.ended_at is None for attempt in read_attempts(path.parent))
    ]


def test_a_grid_survives_its_node_on_one_that_joined_later(
    head: FakeNode, changed_checkout: Path, tmp_path: Path
) -> None:
    grid = ToyGrid(Store.at(tmp_path / "store"), epochs=14, specs=("table6",))
    hide = [changed_checkout] if can_unshare() else []
    arguments = options(grid, head, "--wait-for-nodes=3m")
    with launched(arguments, tmp_path / "launch.log", root=changed_checkout) as launch:
        wait_for(lambda: "waiting up to 180 s" in launch.output or not launch.running(), 120)
        assert launch.running(), launch.output
        # Neither node has the changed code but by way of the driver.
        with (
            ray_node(BOX, head.address, hide=hide) as first,
            ray_node(BOX, head.address, hide=hide),
        ):
            wait_for(lambda: grid.count_epochs() >= 4 or not launch.running(), 180)
            assert launch.running(), launch.output
            assert len(begun(grid.store)) in (2, 3, 4)
            first.lose_power()
            assert launch.wait(300) == 0, launch.output
    for folder in sorted(path.parent for path in grid.store.trials.glob("*/record.json")):
        steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(1, grid.epochs + 1))
    tries = [len(read_attempts(path)) for path in grid.store.trials.iterdir()]
    assert len(tries) == 4, "four trials, and no meeting point is left behind"
    assert max(tries) > 1, "the node that was killed held a trial"
    check_same_results(grid, grid.train_undisturbed(tmp_path / "undisturbed"))


@pytest.mark.skipif(not can_unshare(), reason="no right to unshare: a node cannot lose sight of the store")
def test_a_node_without_the_store_is_named_before_anything_starts(
    head: FakeNode, tmp_path: Path, toy_data: Path
) -> None:
    grid = ToyGrid(Store.at(tmp_path / "store"), epochs=2, specs=("table8",))
    grid.store.root.mkdir()
    grid.store.data.symlink_to(toy_data)
    with (
        ray_node(BOX, head.address, hide=[grid.store.root]),
        launched(options(grid, head), tmp_path / "launch.log") as launch,
    ):
        assert launch.wait(180) == 2, launch.output
        assert f"does not see the store {grid.store.trials}" in launch.output.replace("\n", "")
        assert "node " in launch.output
    assert not list(grid.store.trials.glob("*/*")), "nothing was begun"
