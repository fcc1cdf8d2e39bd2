"""One trial from specification to record: determinism, resuming, failures."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from study.running.executor import Place
from study.running.plan import PlannedTrial, State
from study.running.run_trial import run_trial
from study.running.store import Store
from study.spec.record import TrialRecord, load_record
from tests.running.conftest import make_toy_plan, toy_trial

ARM = "STH hybrid+attention"


def run(planned: PlannedTrial, store: Store, folder: Path | None = None, **options: Any) -> TrialRecord:
    folder = folder or store.folder(planned.trial_id)
    record = run_trial(planned.trial, Place(folder, store.data), **options)
    assert record.failure is None, record.failure.traceback
    return record


def outcome(record: TrialRecord) -> dict[str, Any]:
    """What two runs of one trial must share: everything but times."""
    return record.model_dump(mode="json", exclude={"started_at", "ended_at", "seconds"})


def lines(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timestamp"} for line in found]


def test_record_is_complete_and_scores_explain_the_accuracy(store: Store) -> None:
    planned = toy_trial(store)
    record = run(planned, store)
    folder = store.folder(planned.trial_id)
    assert load_record(folder / "record.json") == record
    assert (record.status, record.epochs_done, record.trial_id) == ("completed", 2, planned.trial_id)
    scores = np.load(folder / "scores.npz")
    assert scores["logits"].shape[:2] == (24, 1)
    assert len(set(scores["video_ids"])) == 24
    accuracy = (scores["logits"].mean(axis=1).argmax(axis=1) == scores["labels"]).mean()
    assert record.metrics["1x1"].top1 == pytest.approx(accuracy)
    assert [entry["step"] for entry in lines(folder)] == [1, 2]
    assert {"train/loss", "train/top1", "lr", "val/top1"} <= set(lines(folder)[-1]["metrics"])
    # Softmax over the pair: the two coefficients of each block add up to one.
    assert len(record.attention) > 5
    for block in record.attention:
        assert block.alpha_s + block.alpha_t == pytest.approx(1, abs=1e-5)
        assert block.videos == 24
    assert record.cost is not None
    assert record.cost.params_m > 0.05


def test_twice_the_same_trial_gives_the_same_record(store: Store, tmp_path: Path) -> None:
    planned = toy_trial(store)
    first = run(planned, store, tmp_path / "a")
    second = run(planned, store, tmp_path / "b")
    assert outcome(first) == outcome(second)
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    for name in ("logits", "labels", "shown"):
        np.testing.assert_array_equal(
            np.load(tmp_path / "a" / "scores.npz")[name], np.load(tmp_path / "b" / "scores.npz")[name]
        )


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_and_resumed_equals_undisturbed(store: Store, tmp_path: Path, epoch: int) -> None:
    planned = toy_trial(store, "STH hybrid", "training.epochs=3", "model.dropout=0.3", "evaluation.every=1")
    undisturbed = run(planned, store, tmp_path / "a")

    def interrupt(done: int) -> None:
        if done == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(planned.trial, Place(tmp_path / "b", store.data), interrupt)
    assert not (tmp_path / "b" / "record.json").exists()
    # As if the process had died before it could write the line of its last checkpoint.
    (tmp_path / "b" / "metrics.jsonl").unlink()
    resumed = run(planned, store, tmp_path / "b")
    assert outcome(resumed) == outcome(undisturbed)
    assert lines(tmp_path / "b")[-1] == lines(tmp_path / "a")[-1]
    assert [entry["step"] for entry in lines(tmp_path / "b")] == list(range(epoch, 4))


def test_repeats_differ_and_arms_of_a_repeat_start_alike(store: Store) -> None:
    from study.models.build import build_model

    plan = make_toy_plan(store, repeats=2)
    first, second = (plan.find("table7", "STH hybrid", repeat) for repeat in (0, 1))
    assert run(first, store).train["train/loss"] != run(second, store).train["train/loss"]
    arms = [plan.find("table7", arm, 0).trial.settings.model for arm in ("STH hybrid", "(2+1)D parallel")]
    stems = [build_model(arm, num_classes=4, frames=8, seed=3).backbone.conv1.weight for arm in arms]
    assert stems[0].equal(stems[1])


def test_a_finished_trial_is_not_run_again(store: Store) -> None:
    planned = toy_trial(store, "STH hybrid")
    run(planned, store)
    before = os.stat(store.folder(planned.trial_id) / "record.json").st_mtime_ns

    def never(epoch: int) -> None:
        raise AssertionError("trained again")

    run(planned, store, tick=never)
    assert os.stat(store.folder(planned.trial_id) / "record.json").st_mtime_ns == before


def test_a_new_protocol_is_evaluated_without_training(store: Store) -> None:
    planned = toy_trial(store, "STH hybrid")
    first = run(planned, store)
    more = '{"1x1": {}, "2x3": {"clips": 2, "crops": 3}}'
    again = toy_trial(store, "STH hybrid", f"evaluation.protocols={more}")
    assert (again.trial_id, again.state) == (planned.trial_id, State.PROTOCOL)
    epochs: list[int] = []
    record = run(again, store, tick=epochs.append)
    assert record.metrics["1x1"] == first.metrics["1x1"]
    assert record.metrics["2x3"].views == 6
    assert not epochs
    assert lines(store.folder(planned.trial_id))[-1]["step"] == 2
    assert (record.code, record.started_at, record.seconds["train"]) == (
        first.code,
        first.started_at,
        first.seconds["train"],
    )


def test_a_protocol_of_known_views_is_derived_without_network_or_videos(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to evaluating it by itself to 1e-6, for every protocol that the stored views cover."""
    wide = '{"1x1": {}, "2x3": {"clips": 2, "crops": 3}}'
    planned = toy_trial(store, "STH hybrid+attention", f"evaluation.protocols={wide}")
    first = run(planned, store)
    derived = '{"1x1": {}, "1x3": {"crops": 3}, "2x1": {"clips": 2}}'
    again = toy_trial(store, "STH hybrid+attention", f"evaluation.protocols={derived}")
    assert again.state is State.PROTOCOL
    with monkeypatch.context() as patch:
        patch.setattr("study.running.measuring.evaluate", None)
        patch.setattr("study.running.run_trial.open_dataset", None)
        record = run(again, store)
    assert record.attention == first.attention
    for name in ("1x3", "2x1"):
        direct = f'{{"1x1": {{}}, "{name}": {{"crops": {name[2]}, "clips": {name[0]}}}}}'
        alone = toy_trial(store, "STH hybrid+attention", f"evaluation.protocols={direct}")
        expected = run(alone, store, tmp_path / name).metrics[name]
        found = record.metrics[name]
        assert (found.top1, found.top5, found.views) == (expected.top1, expected.top5, expected.views)
        assert found.loss == pytest.approx(expected.loss, abs=1e-6)


def test_attention_is_averaged_over_the_views_of_a_video(store: Store, tmp_path: Path) -> None:
    protocols = '{"1x1": {}, "2x3": {"clips": 2, "crops": 3}}'
    settings = (f"evaluation.protocols={protocols}", "evaluation.primary=2x3")
    record = run(toy_trial(store, "STH hybrid+attention", *settings), store)
    assert {block.videos for block in record.attention} == {24}
    # A new primary protocol takes its coefficients anew.
    other = run(toy_trial(store, "STH hybrid+attention", f"evaluation.protocols={protocols}"), store)
    assert other.primary == "1x1"
    assert other.attention != record.attention
    alone = run(toy_trial(store, "STH hybrid+attention"), store, tmp_path / "alone")
    for ours, theirs in zip(other.attention, alone.attention, strict=True):
        assert ours.alpha_t == pytest.approx(theirs.alpha_t, abs=1e-6)
        assert ours.alpha_t_std == pytest.approx(theirs.alpha_t_std, abs=1e-6)


def test_a_record_of_version_1_is_read_and_its_scores_serve(store: Store) -> None:
    """Records of finished trials migrate: nothing that was measured is measured again."""
    planned = toy_trial(store, "STH hybrid")
    first = run(planned, store)
    folder = store.folder(planned.trial_id)
    content = json.loads((folder / "record.json").read_text())
    for name in ("protocols", "primary"):
        del content[name]
    for name in ("checked", "killed"):
        del content["data"][name]
    del content["metrics"]["1x1"]["repeated"]
    (folder / "record.json").write_text(
        json.dumps(content | {"version": 1, "evaluation_fingerprint": "0123456789abcdef"})
    )
    scores = np.load(folder / "scores.npz")
    np.savez_compressed(
        folder / "scores.npz",
        video_ids=scores["video_ids"],
        labels=scores["labels"],
        **{"1x1": scores["logits"]},
    )
    again = toy_trial(store, "STH hybrid")
    assert again.state is State.DONE
    assert again.record is not None
    assert again.record.metrics["1x1"].top1 == first.metrics["1x1"].top1
    more = '{"1x1": {}, "2x1": {"clips": 2}}'
    record = run(toy_trial(store, "STH hybrid", f"evaluation.protocols={more}"), store)
    assert record.metrics["1x1"].top1 == first.metrics["1x1"].top1
    # What the views showed was not stored then, so it is not known how many are repeated.
    assert (record.metrics["2x1"].views, record.metrics["2x1"].repeated) == (2, None)


def test_a_failure_is_a_record_with_its_reason(store: Store) -> None:
    planned = toy_trial(
        store, "STH hybrid", "training.optimizer.lr=1e30", "training.optimizer.clip_grad_norm=null"
    )
    record = run_trial(planned.trial, Place(store.folder(planned.trial_id), store.data))
    assert record.status == "failed"
    assert record.failure is not None
    assert record.failure.kind == "DivergedError"
    assert "training loss of epoch" in record.failure.message
    assert not record.metrics
    # What led there: up to the step whose loss is not finite, with the videos of each.
    steps = record.failure.steps
    assert [math.isfinite(step.loss) for step in steps] == [True] * (len(steps) - 1) + [False]
    assert f"at step {steps[-1].step}" in record.failure.message
    assert {len(step.videos) for step in steps} == {16}
    assert load_record(store.folder(planned.trial_id) / "record.json").failure is not None
    assert (
        make_toy_plan(store, "training.optimizer.lr=1e30", "training.optimizer.clip_grad_norm=null")
        .find("table7", "STH hybrid", 0)
        .state
        is State.FAILED
    )


def test_changed_data_are_refused(store: Store) -> None:
    from dataclasses import replace

    planned = toy_trial(store, "STH hybrid")
    trial = replace(planned.trial, data_digest="of yesterday")
    record = run_trial(trial, Place(store.folder(trial.trial_id), store.data))
    assert record.failure is not None
    assert record.failure.kind == "DataError"
    assert "of yesterday" in record.failure.message


def test_a_trial_that_is_given_up_has_no_accuracy(store: Store) -> None:
    rule = ("training.stop.max_loss=0.001",)
    planned = toy_trial(store, "STH hybrid", *rule)
    assert planned.trial_id != toy_trial(store, "STH hybrid").trial_id
    record = run_trial(planned.trial, Place(store.folder(planned.trial_id), store.data))
    assert (record.status, record.epochs_done, record.metrics) == ("stopped", 1, {})
    assert record.failure is not None
    assert record.failure.message.startswith("diverged: training loss")
    again = make_toy_plan(store, *rule)
    planned = again.find("table7", "STH hybrid", 0)
    assert planned.state is State.STOPPED
    assert planned not in again.runnable()
    assert planned not in again.runnable(frozenset({State.FAILED}))


def test_a_trial_that_was_interrupted_before_it_could_be_given_up_is(store: Store) -> None:
    planned = toy_trial(store, "STH hybrid", "training.stop.max_loss=0.001", "training.epochs=3")

    def interrupt(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(planned.trial, Place(store.folder(planned.trial_id), store.data), interrupt)
    record = run_trial(planned.trial, Place(store.folder(planned.trial_id), store.data))
    assert (record.status, record.epochs_done) == ("stopped", 1)


def test_a_compiled_trial_is_the_same_network(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled as a whole, trained, and evaluated as it is. Another backend spares the C++ compiler's minute."""
    compiled: list[nn.Module] = []

    def compile_quickly(model: nn.Module) -> Any:
        compiled.append(model)
        return compiler(model, backend="aot_eager", fullgraph=True)

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", compile_quickly)
    plain = run(toy_trial(store), store)
    assert not compiled
    planned = toy_trial(store, ARM, "training.compile=true")
    record = run(planned, store)
    assert record.trial_id != plain.trial_id
    assert len(compiled) == 1
    assert [entry["metrics"]["train/loss"] for entry in lines(store.folder(planned.trial_id))] == [
        pytest.approx(entry["metrics"]["train/loss"], rel=1e-3)
        for entry in lines(store.folder(plain.trial_id))
    ]
    assert [block.site for block in record.attention] == [block.site for block in plain.attention]


@pytest.mark.long
def test_a_trial_is_trained_by_what_the_compiler_generates(store: Store) -> None:
    plain, compiled = (
        run(toy_trial(store, ARM, f"training.compile={value}"), store) for value in ("false", "true")
    )
    assert plain.trial_id != compiled.trial_id
    assert compiled.train["train/loss"] == pytest.approx(plain.train["train/loss"], rel=1e-2)
