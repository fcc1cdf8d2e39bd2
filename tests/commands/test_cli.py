"""The command line as a user meets it: JSON, errors, exit codes, help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def study(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_study.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def test_plan_prints_nothing_but_json(tmp_path: Path) -> None:
    run = study("plan", "--json", "--no-cost", "--storage", str(tmp_path))
    assert (run.returncode, run.stderr) == (0, "")
    trials = json.loads(run.stdout)["trials"]
    assert len(trials) == 15
    for trial in trials:
        assert {"trial_id", "experiment", "arm", "repeat", "state", "tables", "params_m"} <= set(trial)
        assert trial["state"] == "missing"
    shared = next(trial for trial in trials if trial["arm"] == "p=1/4")
    assert shared["tables"] == ["table6", "table7"]
    assert shared["settings"]["model"]["block"]["p"] == "1/4"


def test_plan_for_people(tmp_path: Path) -> None:
    run = study("plan", "table8", "--repeats", "2", "--storage", str(tmp_path))
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0].split() == ["trial", "state", "repeat", "arm", "tables", "params_m", "gmacs_per_view"]
    assert "4 table rows, 4 distinct trials: 4 missing." in run.stdout
    # Counted, and from the cache the second time: the same text.
    assert (
        study("plan", "table8", "--repeats", "2", "--no-cost", "--storage", str(tmp_path)).stdout
        == run.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan", "tabel7"], "error: experiment 'tabel7' is unknown: did you mean 'table7'?"),
        (["launch", "--profile", "labtop"], "error: profile 'labtop' is unknown: did you mean 'laptop'?"),
        (["plan", "--set", "training.epochs=many"], "error: --set training.epochs=many: training.epochs: "),
        (["launch", "--set", "traning.epochs=3"], "did you mean 'training'?"),
        (["ui", "--storage", "nowhere"], "no MLflow database yet"),
        (["new", "../evil"], "error: name '../evil': allowed are letters"),
        (["new", "table7"], "exists; choose another name"),
    ],
)
def test_a_users_error_is_plain_and_ends_with_2(arguments: list[str], expected: str) -> None:
    run = study(*arguments)
    assert run.returncode == 2
    assert expected in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_launch_without_the_data_says_what_is_missing(tmp_path: Path) -> None:
    run = study("launch", "table7", "--profile", "paper", "--storage", str(tmp_path))
    assert run.returncode == 2
    assert "datasets/something-something-v1" in run.stderr
    assert "Traceback" not in run.stderr


def test_new_writes_an_experiment_that_plans(tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    assert study("new", "mine", "--folder", str(folder)).returncode == 0
    run = study("plan", str(folder / "mine.yaml"), "--json", "--no-cost", "--storage", str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert [trial["arm"] for trial in json.loads(run.stdout)["trials"]] == ["without", "with"] * 3


@pytest.mark.parametrize("command", ["", "plan", "launch", "cost", "report", "ui", "new"])
def test_help_is_a_page(command: str) -> None:
    run = study(*filter(None, [command, "--help"]))
    assert run.returncode == 0
    assert "Usage:" in run.stdout
    assert len(run.stdout.splitlines()) > 8


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, study.cli\n"
        "try: study.cli.app(['launch', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.strip() == "[]"
