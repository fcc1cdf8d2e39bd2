"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch

from study.running.store import Store

# The networks of the tests are small: threads that wait for each other would cost more than they save.
torch.set_num_threads(1)
# The collector looks at all that the imports of a whole stack have left again and again: a twelfth of the time.
gc.set_threshold(50_000, 20, 100)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of real clips, lists and weights beside the repository, or the one that STH_SHARED names."""
    path = Path(os.environ.get("STH_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"real clips and weights are not at hand (looked in {path}; set STH_SHARED)")
    return path


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic videos shared by all tests."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def store(tmp_path: Path, toy_data: Path) -> Store:
    """An empty store whose synthetic videos are the shared ones."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data").symlink_to(toy_data)
    return Store.at(tmp_path / "store")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread files over processes, each whole: what its fixtures make is made once.

    Tests that start clusters and servers, kill them and wait for them stay in one process, one after the other. They
    take the longest and come first.
    """
    for item in items:
        group = "faults" if _is_fault(item) else str(item.path.relative_to(REPOSITORY))
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_is_fault, reverse=True)


def _is_fault(item: pytest.Item) -> bool:
    return "faults" in item.path.relative_to(REPOSITORY).parts
