"""A machine without Ray, MLflow, decord and fvcore: it trains and measures, and the rest is done elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.commands.archive import import_archive
from study.commands.report import write_report
from study.running.plan import State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.tracking.read import load_runs
from tests.running.conftest import TOY

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("ray", "mlflow", "decord", "fvcore")
WITHOUT = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
sys.path.insert(0, {str(ROOT)!r})
from study.cli import main
main()
"""
"""The command line where importing one of those fails."""


SETTINGS = [part for override in TOY for part in ("--set", override)]


def run_without(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_blocked_packages_cannot_be_imported() -> None:
    for name in ABSENT:
        code = f"import sys; sys.modules[{name!r}] = None; import {name}"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Trained and measured there."""
    store = Store.at(tmp_path_factory.mktemp("bare") / "store")
    there = ("table8", "--storage", str(store.root), "--no-tracking")
    launched = run_without("launch", *there, "--engine", "inline", *SETTINGS)
    assert launched.returncode == 0, launched.stdout + launched.stderr
    assert f"run_study.py report --storage {store.root}" in launched.stdout
    measured = run_without("bench", *there, "--profile", "laptop", "--rounds", "2", *SETTINGS)
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert not store.database.exists()
    assert not store.report.exists()
    return store


def check_report(store: Store, folder: Path) -> None:
    study = load_study(["table8"], overrides=TOY)
    page = write_report(study, store.root, tracking_uri=None, output=folder).read_text()
    assert "Table 8" in page
    assert "Speed" in page
    assert list(load_runs(store.tracking_uri, study.name)["run_status"]) == ["FINISHED"] * 2


@pytest.mark.slow
def test_what_was_trained_there_is_exported_there_and_reported_elsewhere(
    trained: Store, tmp_path: Path
) -> None:
    archive, here = tmp_path / "study.zip", Store.at(tmp_path / "here")
    exported = run_without("export", str(archive), "table8", "--storage", str(trained.root), *SETTINGS)
    assert exported.returncode == 0, exported.stdout + exported.stderr
    import_archive(archive, here.root)
    check_report(here, tmp_path / "report")


@pytest.mark.slow
def test_or_its_store_is_brought_elsewhere(trained: Store, tmp_path: Path) -> None:
    assert make_plan(load_study(["table8"], overrides=TOY), trained).count(State.DONE) == 2
    there = ("table8", "--storage", str(trained.root), "--no-tracking")
    again = run_without("launch", *there, "--engine", "inline", *SETTINGS)
    assert "Nothing to train" in again.stdout, again.stdout + again.stderr
    check_report(trained, tmp_path / "report")
