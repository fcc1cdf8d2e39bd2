"""One real MLflow server for the tests that do not kill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from study.spec.trial import Trial
from study.tracking.mirror import MirrorItem
from study.tracking.names import TableRow
from tests import fabricated
from tests.faults.processes import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def items(tmp_path: Path) -> list[MirrorItem]:
    """Three trials that have finished and one that is under way."""
    return [make_item(tmp_path, repeat, ended=repeat < 3) for repeat in range(4)]


def make_item(store: Path, repeat: int, *, ended: bool = True) -> MirrorItem:
    settings = fabricated.load(["table7"]).experiments[0].arm("STH hybrid+attention").settings
    trial = Trial(settings, repeat, fabricated.DIGEST)
    folder = fabricated.begin(store, trial)
    if ended:
        fabricated.end(folder, trial, top1=0.5 + repeat / 10)
    return MirrorItem(folder, trial, (TableRow("table7", "STH", "STH", repeat),))
