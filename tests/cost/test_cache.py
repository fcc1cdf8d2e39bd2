"""The cache of costs: what a key depends on, and what happens to damaged entries."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from study.cost import cache as caching
from study.cost.cache import CostCache
from study.errors import StoreError
from study.spec.model import ModelSpec
from study.spec.record import Cost

COST = Cost(
    params_m=1.5, gmacs_per_view=2.5, fvcore_gmacs=None, executed_gmacs=3.5, uncounted={"aten::add": 2}
)
VIEW: dict[str, int] = {"num_classes": 174, "frames": 8, "size": 224}


@pytest.fixture
def cache(tmp_path: Path) -> CostCache:
    return CostCache(tmp_path / "costs")


def test_what_is_stored_is_found(cache: CostCache) -> None:
    assert cache.lookup(ModelSpec(), **VIEW) is None
    cache.store(COST, ModelSpec(), **VIEW)
    assert CostCache(cache.folder).lookup(ModelSpec(), **VIEW) == COST


@pytest.mark.parametrize(("model", "view"), [
    ({"backbone": "resnet18"}, {}), ({"block": {"type": "sth"}}, {}), ({"placement": {"every": 2}}, {}),
    ({}, {"num_classes": 400}), ({}, {"frames": 16}), ({}, {"size": 256}),
])  # fmt: skip
def test_what_a_cost_depends_on(cache: CostCache, model: dict[str, Any], view: dict[str, int]) -> None:
    cache.store(COST, ModelSpec(), **VIEW)
    assert cache.lookup(ModelSpec.model_validate(model), **(VIEW | view)) is None


def test_initial_weights_do_not_matter(cache: CostCache) -> None:
    cache.store(COST, ModelSpec(), **VIEW)
    assert cache.lookup(ModelSpec.model_validate({"init": {"weights": "imagenet"}}), **VIEW) == COST


@pytest.mark.parametrize(
    "source", ["models/build.py", "models/blocks/sth.py", "cost/oracle/geometry.py", "spec/blocks/sth.py"]
)
def test_a_changed_source_is_another_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    before = caching.source_fingerprint()
    package = tmp_path / "study"
    shutil.copytree(caching.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(caching, "PACKAGE", package)
    assert caching.source_fingerprint.__wrapped__() == before
    with (package / source).open("a") as file:
        file.write("# changed\n")
    assert caching.source_fingerprint.__wrapped__() != before


def test_a_damaged_entry_is_unknown_and_replaced(cache: CostCache) -> None:
    cache.store(COST, ModelSpec(), **VIEW)
    path = cache.path(ModelSpec(), **VIEW)
    for content in (b"", b"{", b'{"params_m": 1}', b"\xff\xfe"):
        path.write_bytes(content)
        assert cache.lookup(ModelSpec(), **VIEW) is None
    cache.store(COST, ModelSpec(), **VIEW)
    assert cache.lookup(ModelSpec(), **VIEW) == COST


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = CostCache(tmp_path / "file")
    with pytest.raises(StoreError, match="file"):
        cache.store(COST, ModelSpec(), **VIEW)
    with pytest.raises(StoreError, match="file"):
        cache.lookup(ModelSpec(), **VIEW)
