"""``launch`` end to end: everything once, failures told, interruptions resumed, MLflow and the report in step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.commands.launch import LaunchOptions, launch
from study.commands.progress import LaunchProgress, parse_duration
from study.errors import SchedulingError, SpecError, StoreError
from study.running.attempts import read_attempts
from study.running.plan import State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study
from study.tracking.read import load_runs
from tests.running.conftest import TOY

ROOT = Path(__file__).resolve().parents[2]


def toy(*extra: str, specs: tuple[str, ...] = ("table8",)) -> Study:
    return load_study(specs, overrides=[*TOY, *extra])


def inline(store: Store, **options: object) -> LaunchOptions:
    return LaunchOptions(storage=store.root, engine="inline", **options)  # type: ignore[arg-type]


def runs(store: Store, study: Study) -> pd.DataFrame:
    return load_runs(store.tracking_uri, study.name)


def test_launch_trains_once_tracks_and_reports(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    study = toy()
    assert launch(study, inline(store)) == 0
    frame = runs(store, study)
    assert sorted(frame["status"]) == ["completed", "completed"]
    assert sorted(frame["run_status"]) == ["FINISHED", "FINISHED"]
    for _, run in frame.iterrows():
        record = store.record(str(run["trial_id"]))
        assert record is not None
        assert run["metrics.final/1x1/top1"] == pytest.approx(record.metrics["1x1"].top1)
    page = (store.report / "report.html").read_text()
    assert "Table 8" in page
    assert "48.4" in page  # the published value, beside ours
    last = capsys.readouterr().out.strip().splitlines()[-3:]
    assert last[0].startswith("table8: best is ")
    assert (last[1].split(":")[0], last[2]) == (
        "Report",
        f"MLflow: uv run run_study.py ui --storage {store.root}",
    )

    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    assert launch(study, inline(store)) == 0
    assert "Nothing to train" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    assert {path for path in after if before.get(path) != after[path]} <= {store.root / "lock"}


def test_more_arms_add_only_what_is_missing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    launch(toy(), inline(store))
    capsys.readouterr()
    study = toy(specs=("table8", "figure6"))
    assert launch(study, inline(store)) == 0
    # Of figure 6's three arms p = 1/4 is table 8's "Fixed".
    assert "[2/2]" in capsys.readouterr().out
    frame = runs(store, study)
    assert len(frame) == 4
    shared = frame[frame["tags.tables"] == "table8, figure6"]
    assert len(shared) == 1


def test_a_failed_trial_is_told_and_the_others_go_on(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    # One arm of table 6 cannot be built: 1/128 divides no channels. The others train.
    study = load_study(["table6"], overrides=TOY)
    broken = study.experiments[0].arms[1].settings
    block = broken.model.block.model_copy(update={"p": type(broken.model.block.p)(1, 128)})  # type: ignore[union-attr]
    arm = study.experiments[0].arms[1]
    changed = broken.model_copy(update={"model": broken.model.model_copy(update={"block": block})})
    object.__setattr__(arm, "settings", changed)
    assert launch(study, inline(store)) == 1
    out = capsys.readouterr().out
    assert "failed: table6 / p=1/8" in out
    assert "does not divide" in out
    plan = make_plan(study, store)
    assert [planned.state for planned in plan.trials] == [State.DONE, State.FAILED, State.DONE, State.DONE]
    frame = runs(store, study)
    assert sorted(frame["run_status"]) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    assert "does not divide" in (store.report / "report.html").read_text()
    # Asked for nothing more, it is not tried again; asked to, it is.
    launch(study, inline(store))
    assert "[1/1]" not in capsys.readouterr().out
    launch(study, inline(store, retry=frozenset({"failed"})))
    assert "[1/1]" in capsys.readouterr().out


def test_a_trial_that_cannot_be_measured_again_is_told_and_the_others_go_on(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(toy(), inline(store)) == 0
    first, second = (planned.trial_id for planned in make_plan(toy(), store).trials)
    before = store.record(first)
    (store.folder(first) / "checkpoint.pt").unlink()
    capsys.readouterr()
    study = toy("evaluation.protocols.more={'clips': 2}")
    assert launch(study, inline(store)) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "Traceback" not in out
    assert "[1/2] Fixed · r0 · table8: not finished, StoreError: " in out
    assert f"not finished: table8 / Fixed ({first}): StoreError: " in out
    assert "checkpoint.pt: the final weights are missing" in out
    assert [planned.state for planned in make_plan(study, store).trials] == [State.PROTOCOL, State.DONE]
    assert store.record(first) == before
    assert [attempt.outcome for attempt in read_attempts(store.folder(first))] == ["completed", "failed"]
    assert [attempt.outcome for attempt in read_attempts(store.folder(second))] == ["completed", "completed"]


def test_two_launches_on_one_store_are_refused_where_none_may_wait(store: Store) -> None:
    with store.locked(), pytest.raises(StoreError, match="another launch is running"):
        launch(toy(), inline(store, wait_for_store=False))


def test_waiting_for_another_launch_is_part_of_the_budget(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, seconds = threading.Event(), 1.0

    def hold() -> None:
        with store.locked():
            held.set()
            time.sleep(seconds)

    monkeypatch.setattr(LaunchProgress, "estimate_block", lambda self, block: seconds)
    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    assert launch(toy(), inline(store, budget=1.5 * seconds)) == 0
    other.join()
    out = " ".join(capsys.readouterr().out.split())
    assert f"Another launch is at work on {store.root}: waiting for its end" in out
    assert "would not end within the 0 s that are left" in out
    assert launch(toy(), inline(store, budget=3600.0)) == 0
    assert make_plan(toy(), store).count(State.DONE) == 2


def test_unwritable_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        launch(toy(), LaunchOptions(storage=tmp_path / "file" / "store", engine="inline"))


@pytest.mark.slow
def test_ray_and_inline_give_the_same_records(store: Store, tmp_path: Path, toy_data: Path) -> None:
    study = toy()
    assert launch(study, LaunchOptions(storage=store.root)) == 0
    other = Store.at(tmp_path / "other")
    other.root.mkdir()
    other.data.symlink_to(toy_data)
    assert launch(study, inline(other)) == 0
    apart = {"started_at", "ended_at", "seconds", "environment"}
    for planned in make_plan(study, store).trials:
        records = [place.record(planned.trial_id) for place in (store, other)]
        assert records[0] is not None
        assert records[1] is not None
        assert records[0].model_dump(exclude=apart) == records[1].model_dump(exclude=apart)
    assert sorted(runs(store, study)["run_status"]) == ["FINISHED", "FINISHED"]


@pytest.mark.slow
def test_a_trial_that_no_machine_can_hold_is_refused_at_once(store: Store) -> None:
    with pytest.raises(SchedulingError, match="asks for 1 CPUs and 64 GPUs, and no node has them"):
        launch(toy("resources.gpus=64"), LaunchOptions(storage=store.root))


@pytest.mark.slow
# What the other two are answered with is told by tests/faults/test_interruption.py; here it is about what they leave.
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
    ],
)
def test_interrupted_and_launched_again(store: Store, number: signal.Signals) -> None:
    """A driver that is interrupted, terminated or killed while Ray trains; then the rest, once."""
    overrides = [*TOY, "training.epochs=15"]
    arguments = [f"--set={text}" for text in overrides]
    command = [
        sys.executable,
        str(ROOT / "run_study.py"),
        "launch",
        "table8",
        "--storage",
        str(store.root),
        *arguments,
    ]
    study = load_study(["table8"], overrides=overrides)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while not list(store.trials.glob("*/metrics.jsonl")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    assert "Traceback" not in err
    plan = make_plan(study, store)
    if number is not signal.SIGKILL:
        assert "launch again to go on" in out + err
        frame = runs(store, study)
        assert "RUNNING" not in set(frame["run_status"])
    done = {planned.trial_id for planned in plan.trials if planned.state is State.DONE}
    stamps = {trial_id: os.stat(store.folder(trial_id) / "record.json").st_mtime_ns for trial_id in done}

    assert launch(study, inline(store)) == 0
    frame = runs(store, study)
    assert (len(frame), set(frame["run_status"])) == (2, {"FINISHED"})
    for trial_id, stamp in stamps.items():
        assert os.stat(store.folder(trial_id) / "record.json").st_mtime_ns == stamp
    for planned in plan.trials:
        steps = [
            json.loads(line)["step"]
            for line in (store.folder(planned.trial_id) / "metrics.jsonl").read_text().splitlines()
        ]
        assert steps == list(range(1, 16))


FUSION = """
name: fusion
title: Fusion
question: Does an ensemble help?
baseline: a
arms:
  - {name: a, set: {model: {block: {type: conv2d}}}}
  - {name: b, set: {model: {block: {type: sth}}}}
  - {name: a+b, fuse: [a, b]}
  - {name: c, published_only: Nobody has it.}
"""


def test_a_fusion_is_computed_from_stored_scores_and_an_unbuilt_row_says_why(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "fusion.yaml"
    path.write_text(FUSION)
    study = load_study([str(path)], overrides=TOY)
    assert launch(study, inline(store)) == 0
    plan = make_plan(study, store)
    assert len(plan.trials) == 2
    scores = [np.load(store.folder(planned.trial_id) / "scores.npz") for planned in plan.trials]
    fused = (scores[0]["logits"] + scores[1]["logits"]).mean(axis=1)
    expected = 100 * (fused.argmax(axis=1) == scores[0]["labels"]).mean()
    table = pd.read_csv(store.report / "tables" / "fusion.csv").set_index("arm")
    assert table.loc["a+b", "top1_percent_mean"] == pytest.approx(expected)
    assert np.isnan(table.loc["c", "top1_percent_mean"])
    assert "Not built: Nobody has it." in (store.report / "report.md").read_text()


def test_a_budget_ends_with_a_whole_repeat(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load_study(["table8"], overrides=list(TOY), repeats=3)
    # The first repeat fits, the second would take an hour.
    monkeypatch.setattr(
        LaunchProgress, "estimate_block", lambda self, block: 3600.0 * min(block[0].trial.repeat, 1)
    )
    assert launch(study, inline(store, budget=600.0)) == 0
    assert "repeat 1 (2 trials, about 1 h 00 min) would not end within the" in capsys.readouterr().out
    states = {(t.trial.repeat, t.state) for t in make_plan(study, store).trials}
    assert states == {(0, State.DONE), (1, State.MISSING), (2, State.MISSING)}
    monkeypatch.undo()
    assert launch(study, inline(store, budget=600.0)) == 0
    assert make_plan(study, store).count(State.DONE) == 6


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("8h", 28800), ("1h30m", 5400), ("2 d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["8", "", "8 huors", "-1h", "0h", "nan", "NaT"])
def test_no_durations(text: str) -> None:
    with pytest.raises(SpecError, match="is no duration"):
        parse_duration(text)
