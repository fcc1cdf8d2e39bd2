"""Plans: order, sharing, states, speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from study.running.plan import Plan, State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.record import CodeFingerprint, Environment, Failure, ProtocolMetrics, TrialRecord, save_record

NOWHERE = Environment(python="", platform="", device="", versions={}, git_commit=None, threads=1)


TABLES = ["table6", "table7", "table8"]


def plan(tmp_path: Path, **options: object) -> Plan:
    return make_plan(load_study(**({"specs": TABLES} | options)), Store.at(tmp_path))  # type: ignore[arg-type]


def write_record(tmp_path: Path, index: int, **changes: object) -> str:
    from study.running.fingerprint import fingerprint_code

    planned = plan(tmp_path).trials[index]
    fields = {
        "trial_id": planned.trial_id,
        "status": "completed",
        "trial": planned.trial.to_json(),
        "protocols": planned.trial.protocols,
        "primary": "1x1",
        "metrics": {"1x1": ProtocolMetrics(top1=0.5, top5=None, loss=1.0, videos=10, views=1)},
        "environment": NOWHERE,
        "code": fingerprint_code(planned.trial.settings),
        "started_at": 0.0,
        "ended_at": 1.0,
        "seconds": {"train": 30.0},
    }
    save_record(
        TrialRecord(**(fields | changes)), Store.at(tmp_path).folder(planned.trial_id) / "record.json"
    )
    return planned.trial_id


def test_eleven_rows_are_nine_trials_and_know_their_tables(tmp_path: Path) -> None:
    trials = plan(tmp_path).trials
    assert len(trials) == 9
    assert sum(len(planned.uses) for planned in trials) == 11
    shared = [planned.tables for planned in trials if len(planned.uses) > 1]
    assert shared == [["table6", "table7"], ["table7", "table8"]]


def test_repeats_come_in_blocks_over_all_arms(tmp_path: Path) -> None:
    repeats = [planned.trial.repeat for planned in plan(tmp_path, repeats=3).trials]
    assert repeats == [0] * 9 + [1] * 9 + [2] * 9


def test_states(tmp_path: Path) -> None:
    write_record(tmp_path, 0)
    write_record(tmp_path, 1, code=CodeFingerprint(digest="old", modules={"study.training.fit": "old"}))
    write_record(tmp_path, 2, protocols={"1x1": ("another view",)})
    write_record(tmp_path, 3, status="failed", failure=Failure(kind="DataError", message="clip.mp4: broken"))
    present = plan(tmp_path)
    states = [planned.state for planned in present.trials]
    assert states == [State.DONE, State.STALE, State.PROTOCOL, State.FAILED] + [State.MISSING] * 5
    assert "study.training.fit changed" in present.trials[1].reason
    assert present.trials[3].reason == "DataError: clip.mp4: broken"
    assert [t.state for t in present.runnable()] == [State.PROTOCOL] + [State.MISSING] * 5
    assert len(present.runnable(frozenset({State.FAILED, State.STALE}))) == 8


def test_time_is_learned_from_finished_trials(tmp_path: Path) -> None:
    write_record(tmp_path, 0)
    # Eight are left, four rounds of two, at 30 s each as far as they cost what p = 0 does.
    assert plan(tmp_path).estimate_seconds(2) == pytest.approx(120.0, rel=0.05)
    costs = {planned.uses[0].arm: planned.work for planned in plan(tmp_path).trials}
    assert costs["p=1/2"] < costs["p=1/4"] < costs["p=0"] < costs["(2+1)D sequential"]


def test_missing_data_are_a_warning_and_not_an_error(tmp_path: Path) -> None:
    present = plan(tmp_path, specs=["table7"], profile="paper")
    assert len(present.trials) == 5
    assert present.warnings
    assert "datasets/something-something-v1" in present.warnings[0]


def test_a_plan_needs_no_torch(tmp_path: Path) -> None:
    write_record(tmp_path, 0)  # so that a fingerprint is taken
    code = (
        "import sys\n"
        "from study.running.plan import make_plan\n"
        "from study.running.store import Store\n"
        "from study.spec.loading import load_study\n"
        f"plan = make_plan(load_study(['table6']), Store.at({str(tmp_path)!r}))\n"
        "print(plan.trials[0].state.value, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "done False"
