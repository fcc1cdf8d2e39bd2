"""Stored numbers of benchmarks: what may stand in them, when a target is met, when a number has become worse."""

from __future__ import annotations

import importlib
import json
import platform
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.__main__ import main, render
from benchmarks.history import RESULTS, Keeper, Measurement, describe_commit, judge, load_history
from benchmarks.targets import TARGETS, Target, find_targets, list_benchmarks, list_commands
from study.errors import SpecError, StoreError

LOOP = find_targets("training_loop")["training, harness / bare loop"]
DECODE = find_targets("input_pipeline")["videos/s, frames / bare decord"]


def measure(target: Target, *values: float, **changes: object) -> Measurement:
    low, middle, high = values
    fields: dict[str, object] = {
        "benchmark": target.benchmark,
        "name": target.name,
        "value": middle,
        "q1": low,
        "q3": high,
        "rounds": 7,
        "unit": target.unit,
        "target": target.limit,
        "better": target.better,
        "met": target.is_met(middle),
        "device": "cpu: A",
        "cores": 2,
        "load": 0.5,
        "versions": {"torch": "2.15.0"},
        "commit": "0123456789ab",
        "date": "2026-01-02T03:04:05Z",
    }
    return Measurement.model_validate(fields | changes)


def write(folder: Path, *measured: Measurement) -> None:
    for one in measured:
        with (folder / f"{one.benchmark}.jsonl").open("a") as file:
            file.write(one.model_dump_json() + "\n")


def test_a_limit_is_kept_at_the_limit_itself_and_on_its_better_side() -> None:
    assert [LOOP.is_met(value) for value in (1.0, 1.02, 1.021)] == [True, True, False]
    assert [DECODE.is_met(value) for value in (0.95, 0.9, 0.899)] == [True, True, False]
    assert Target("startup", "x", None).is_met(5) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"met": False}, "met is False, but the value against the target says True"),
        ({"q3": 0.9}, "median does not lie between"),
        ({"rounds": 0}, "greater than or equal to 1"),
        ({"date": "yesterday"}, "pattern"),
        ({"device": "cpu: /home/somebody"}, "names a place"),
        ({"commit": r"at C:\work"}, "names a place"),
        ({"device": f"cpu: {platform.node()}"}, "names a place"),
        ({"host": "h"}, "Extra inputs"),
    ],
)
def test_what_does_not_follow_or_names_a_place_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        measure(LOOP, 1.0, 1.01, 1.02, **changes)


def test_worse_is_apart_on_the_worse_side_on_the_same_class_of_device(tmp_path: Path) -> None:
    before, after = measure(LOOP, 1.00, 1.01, 1.02), measure(LOOP, 1.03, 1.04, 1.05)
    write(tmp_path, before, measure(LOOP, 0.8, 0.9, 1.0, device="cpu: B"), after)
    (standing,) = judge([LOOP], tmp_path)
    assert (standing.last, standing.before, standing.regressed) == (after, before, True)
    assert not before.is_worse_than(after)
    assert not measure(LOOP, 1.015, 1.04, 1.05).is_worse_than(before), "the quartiles meet"
    assert not measure(LOOP, 1.03, 1.04, 1.05, rounds=2).is_worse_than(before), "two rounds have no quartiles"


def test_where_more_is_better_less_is_worse() -> None:
    fast, slow = measure(DECODE, 0.94, 0.95, 0.96), measure(DECODE, 0.88, 0.89, 0.9)
    assert slow.is_worse_than(fast)
    assert not fast.is_worse_than(slow)


def test_the_first_on_a_device_is_compared_with_nothing(tmp_path: Path) -> None:
    write(tmp_path, measure(LOOP, 1, 1.01, 1.02), measure(LOOP, 2, 2, 2, device="cpu: B"))
    (standing,) = judge([LOOP], tmp_path)
    assert standing.before is None
    assert not standing.regressed


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    write(tmp_path, measure(LOOP, 1, 1.01, 1.02))
    path = tmp_path / "training_loop.jsonl"
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(StoreError, match=r"training_loop.jsonl: line 2: no measurement: benchmark"):
        load_history("training_loop", tmp_path)


def test_a_line_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    one = measure(DECODE, 0.94, 0.95, 0.96)
    (tmp_path / "startup.jsonl").write_text(one.model_dump_json() + "\n")
    with pytest.raises(StoreError, match="of 'input_pipeline'; allowed here: startup"):
        load_history("startup", tmp_path)


def test_what_is_kept_can_be_read_back_and_later_numbers_are_added(tmp_path: Path) -> None:
    for values in ([1.0, 1.01, 1.02, 1.03], [1.05]):
        text = Keeper("training_loop", save=True, folder=tmp_path).conclude({LOOP.name: values})
    assert "kept in benchmarks/results/training_loop.jsonl" in text
    first, second = load_history("training_loop", tmp_path)
    assert (first.q1, first.value, first.q3) == pytest.approx((1.0075, 1.015, 1.0225))
    assert (first.rounds, first.met) == (4, True)
    assert (second.value, second.q1, second.met) == (1.05, 1.05, False)


def test_nothing_is_kept_unless_asked_for_nor_what_is_no_target(tmp_path: Path) -> None:
    text = Keeper("training_loop", save=False, folder=tmp_path).conclude({LOOP.name: [1.05]})
    assert "not met" in text
    assert list(tmp_path.iterdir()) == []
    found = {"plan of 10,000 trials": [1.5], "plan of 5 trials": [0.1]}
    text = Keeper("scheduling", save=True, folder=tmp_path).conclude(found)
    assert "not kept, it has no target: plan of 5 trials" in text
    assert [one.name for one in load_history("scheduling", tmp_path)] == ["plan of 10,000 trials"]


def test_the_list_counts_what_is_met_missed_and_never_measured(tmp_path: Path) -> None:
    write(tmp_path, measure(LOOP, 1.0, 1.01, 1.02), measure(LOOP, 1.1, 1.2, 1.3, load=5.0))
    write(tmp_path, measure(DECODE, 0.94, 0.95, 0.96))
    text = render(judge(TARGETS, tmp_path))
    targets = sum(target.limit is not None for target in TARGETS)
    assert f"{targets} targets: 1 met, 1 not met, {targets - 2} never measured; 1 worse" in text
    assert "WORSE: 1.188x" in text
    assert "load 5 on 2 cores (busy)" in text
    assert text.count("\n") > len(TARGETS)


def test_a_number_is_held_against_the_limit_of_today(tmp_path: Path) -> None:
    write(tmp_path, measure(LOOP, 1.2, 1.3, 1.4).model_copy(update={"target": 1.5, "met": True}))
    assert "0 met, 1 not met" in render(judge([LOOP], tmp_path))


def test_check_fails_where_something_has_become_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.__main__.judge", lambda targets: judge(targets, tmp_path))
    write(tmp_path, measure(LOOP, 1.0, 1.01, 1.02))
    assert main(["--check"]) == 0
    write(tmp_path, measure(LOOP, 1.1, 1.2, 1.3))
    assert main(["--check"]) == 1
    assert main([]) == 0


def test_every_benchmark_takes_the_arguments_of_its_targets() -> None:
    for benchmark, options in list_commands(list_benchmarks()):
        source = Path(importlib.import_module(f"benchmarks.{benchmark}").__file__ or "").read_text()
        assert f'Keeper("{benchmark}"' in source
        assert "add_save_option(parser)" in source
        assert all(f'"{word}"' in source for word in options.split() if word.startswith("--"))


def test_names_are_unique_and_unknown_benchmarks_are_refused() -> None:
    names = [(target.benchmark, target.name) for target in TARGETS]
    assert len(names) == len(set(names))
    with pytest.raises(SpecError, match="no 'speed'; allowed: sth_cpu"):
        find_targets("speed")


def test_stored_numbers_are_sound_and_each_is_of_a_target() -> None:
    files = sorted(RESULTS.glob("*.jsonl"))
    assert files, "no history is stored"
    for path in files:
        for one in load_history(path.stem):
            assert one.name in find_targets(path.stem)
    for line in (line for path in files for line in path.read_text().splitlines()):
        assert set(json.loads(line)) == set(Measurement.model_fields)


def test_numbers_that_were_kept_just_now_do_not_make_the_code_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for path in (results / "a.jsonl", tmp_path / "code.py"):
        path.write_text("1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=n@n.example"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr("benchmarks.history.RESULTS", results)
    monkeypatch.setattr("study.running.commit.find_commit", lambda: "abc-dirty")
    (results / "a.jsonl").write_text("2\n")
    assert describe_commit() == "abc"
    (tmp_path / "code.py").write_text("2\n")
    assert describe_commit() == "abc-dirty"
