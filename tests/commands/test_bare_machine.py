"""A machine without Ray, MLflow, decord and fvcore: it trains, and its store is tracked and reported elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from study.cli import app
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


def run_without(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_blocked_packages_cannot_be_imported() -> None:
    for name in ABSENT:
        code = f"import sys; sys.modules[{name!r}] = None; import {name}"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode


@pytest.mark.slow
def test_what_it_trains_is_tracked_and_reported_elsewhere(store: Store, tmp_path: Path) -> None:
    changed = [part for override in TOY for part in ("--set", override)]
    storage = ("--storage", str(store.root))
    launched = run_without(
        ROOT, "launch", "table8", *storage, "--engine", "inline", "--no-tracking", *changed
    )
    assert launched.returncode == 0, launched.stdout + launched.stderr
    assert f"run_study.py report --storage {store.root}" in launched.stdout
    assert not store.database.exists()
    assert not store.report.exists()
    study = load_study(["table8"], overrides=TOY)
    assert make_plan(study, store).count(State.DONE) == 2
    again = run_without(ROOT, "launch", "table8", *storage, "--engine", "inline", "--no-tracking", *changed)
    assert "Nothing to train" in again.stdout, again.stdout + again.stderr

    page = write_report(study, store.root, tracking_uri=None, output=tmp_path / "report")
    assert "Table 8" in page.read_text()
    assert list(load_runs(store.tracking_uri, study.name)["run_status"]) == ["FINISHED"] * 2


def test_an_address_of_mlflow_contradicts_it(tmp_path: Path) -> None:
    arguments = ["launch", "table8", "--no-tracking", "--tracking-uri", "http://127.0.0.1:1", "--storage"]
    refused = CliRunner().invoke(app, [*arguments, str(tmp_path)])
    assert refused.exit_code == 2
    assert "leave out --tracking-uri" in refused.output
