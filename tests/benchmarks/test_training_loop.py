"""The bare loop does what the harness does, and a profile books every second once."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import training_loop, trial_profile
from benchmarks.training_loop import Epoch, Found, check_equal, race, train_bare, train_harness
from benchmarks.trial_profile import OTHER, PARTS, PHASES, Stopwatch, make_trial, profile_trial, render
from study.models.recognizer import Recognizer


@pytest.fixture(scope="module")
def epoch(tmp_path_factory: pytest.TempPathFactory) -> Epoch:
    """One of three steps."""
    return Epoch.prepare(*make_trial(tmp_path_factory.mktemp("loop"), 48))


def test_both_loops_end_at_the_same_weights(epoch: Epoch) -> None:
    bare, harness, before = (copy.deepcopy(epoch.model) for _ in range(3))
    train_bare(epoch, bare)
    parts: dict[str, float] = {}
    train_harness(epoch, harness, parts)
    check_equal(bare.state_dict(), harness.state_dict())
    with pytest.raises(AssertionError, match="the loops do not do the same"):
        check_equal(before.state_dict(), harness.state_dict())
    assert set(parts) == {"loader", "checkpoint", "line of metrics"}
    assert all(seconds > 0 for seconds in parts.values())


def test_the_harness_writes_the_checkpoint_of_an_epoch_amid_training(epoch: Epoch) -> None:
    train_harness(epoch, copy.deepcopy(epoch.model), {})
    state = torch.load(epoch.folder / "checkpoint.pt", weights_only=True)
    assert state["epoch"] == 1
    assert state["optimizer"] is not None
    assert (epoch.folder / "metrics.jsonl").read_text().count("\n") == 1


def test_a_loop_that_does_less_is_noticed(epoch: Epoch, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_without_the_last_batch(epoch: Epoch, model: Recognizer) -> None:
        rest = Epoch(epoch.trial, epoch.model, epoch.loader, epoch.batches[:-1], epoch.folder)
        train_bare(rest, model)

    monkeypatch.setattr(training_loop, "train_bare", train_without_the_last_batch)
    with pytest.raises(AssertionError, match="the loops do not do the same"):
        race(epoch, 1)


def test_a_race_has_a_ratio_and_all_parts_for_every_turn(epoch: Epoch) -> None:
    found = race(epoch, 2)
    assert len(found.ratios) == len(found.bare) == 2
    assert all(len(seconds) == 2 for seconds in found.parts.values())
    assert "not explained" in found.describe()


def test_ratios_and_shares_follow_from_the_seconds() -> None:
    parts = {name: [0.0, 0.0] for name in training_loop.PARTS} | {"loader": [0.05, 0.1]}
    found = Found([1.0, 2.0], [1.1, 2.4], parts)
    assert found.ratios == pytest.approx([1.1, 1.2])
    assert found.ratios_without_loader == pytest.approx([1.05, 1.15])
    rows = {line.split("  ")[0]: line.split() for line in found.describe().splitlines() if line}
    assert rows["loader"][1] == "5.000"
    assert rows["not explained"][2] == "10.000", "the mean of 5 and 15 %"


def test_every_second_is_booked_once_on_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clocks = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0] / 2)
    monkeypatch.setattr(trial_profile, "time", clocks)
    watch = Stopwatch()

    def spend(seconds: float) -> None:
        now[0] += seconds

    spend(1)
    with watch.phase("training"):
        spend(2)
        with watch.part("outer"):
            spend(4)
            with watch.part("inner"):
                spend(8)
            spend(16)
    spend(32)
    watch.turn()
    assert {key: seconds for key, seconds in watch.wall.items() if seconds} == {
        ("set-up and end", OTHER): 33,
        ("training", OTHER): 2,
        ("training", "outer"): 20,
        ("training", "inner"): 8,
    }
    assert watch.processor["training", "outer"] == 10


def test_a_profile_names_all_that_a_trial_does_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    forward = Recognizer.forward
    text = profile_trial(*make_trial(tmp_path, 32))
    assert Recognizer.forward is forward
    for name in {*PARTS.values(), *PHASES.values()}:
        assert name in text
    lines = text.splitlines()
    together = [float(line.split()[-2]) for line in lines if "together" in line]
    assert len(together) == 3
    assert sum(together) == pytest.approx(100, abs=0.2)


def test_shares_of_a_profile_add_up() -> None:
    watch = Stopwatch()
    watch.processor.update(
        {("training", "forward"): 3.0, ("training", "backward"): 6.0, ("end", "record"): 1.0}
    )
    rows = [line.split() for line in render(watch).splitlines()[2:]]
    assert [row[-2] for row in rows] == ["60.0", "30.0", "90.0", "10.0", "10.0", "100.0"]
