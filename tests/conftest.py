"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of real clips, lists and weights beside the repository, or the one that STH_SHARED names."""
    path = Path(os.environ.get("STH_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"real clips and weights are not at hand (looked in {path}; set STH_SHARED)")
    return path
