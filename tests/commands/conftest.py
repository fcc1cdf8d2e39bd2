"""Stores and archives for the tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.commands.archive import export_study
from study.commands.launch import LaunchOptions, launch
from study.running.store import Store
from tests.commands.archived import toy


@pytest.fixture(scope="session")
def archived_store(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Store:
    """A store in which Table 8 was trained, with its report."""
    root = tmp_path_factory.mktemp("archive") / "runs"
    root.mkdir()
    (root / "data").symlink_to(toy_data)
    assert launch(toy(), LaunchOptions(storage=root, engine="inline")) == 0
    return Store.at(root)


@pytest.fixture(scope="session")
def archive_file(archived_store: Store) -> Path:
    """Its archive."""
    path = archived_store.root.parent / "study.zip"
    export_study(toy(), archived_store.root, path)
    return path


@pytest.fixture
def other_store(tmp_path: Path, toy_data: Path) -> Store:
    """An empty store elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "data").symlink_to(toy_data)
    return Store.at(tmp_path / "elsewhere")
