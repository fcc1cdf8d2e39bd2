"""Which kernels this machine runs."""

from __future__ import annotations

import pytest
import torch

from study.errors import ModelError
from study.kernels.native import build


@pytest.fixture
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Select the kernels that the parameter names; skip where they cannot run."""
    monkeypatch.setenv("STH_KERNELS", request.param)
    if request.param == "off":
        return "off"
    try:
        library = build.load()
    except ModelError as reason:
        pytest.skip(str(reason))
    if library is None:
        pytest.skip("the kernels did not compile: no C++ compiler?")
    if request.param == "winograd" and build.lanes() != 16:
        pytest.skip("Winograd's kernel needs AVX-512")
    return str(request.param)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
