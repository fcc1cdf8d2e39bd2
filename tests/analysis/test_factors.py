"""Which differences between trials are the declared factor, and which confound a delta."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from study.analysis.factors import (
    ABSENT,
    Confounded,
    Controlled,
    Factor,
    TrialFacts,
    declare_factor,
    judge,
    judge_arms,
    list_differences,
)
from study.running.fingerprint import fingerprint_code
from study.spec.experiment import ArmSpec
from study.spec.loading import load_study
from study.spec.record import CodeFingerprint, DataHealth, Environment, TrialRecord
from study.spec.trial import Trial, TrialSettings
from tests import fabricated

STH = {"type": "sth", "p": "1/4"}
SEQUENTIAL = {"type": "two_plus_one", "order": "sequential"}
DECLARED = {"model.block.type", "model.block.p", "model.block.order"}


def facts(settings: dict[str, Any] | None = None, **changes: Any) -> TrialFacts:
    """Facts of a trial with these settings, as its record gives them."""
    trial = Trial(TrialSettings.model_validate(settings or {}), 0, fabricated.DIGEST)
    record = TrialRecord(
        trial_id=trial.trial_id,
        status="completed",
        trial=trial.to_json(),
        data=DataHealth(train_videos=9, val_videos=4, excluded={}, digest=fabricated.DIGEST),
        environment=Environment(
            python="3.11.7",
            platform="linux",
            device="cpu: EPYC",
            versions={"torch": "2.15.0", "decord": "0.6.0", "mlflow": "3.17"},
            git_commit=None,
            threads=1,
        ),
        code=CodeFingerprint(digest="c0de", modules={"study.training.fit": "aa", "study.models.build": "bb"}),
        started_at=0.0,
        ended_at=1.0,
    )
    return dataclasses.replace(TrialFacts.from_record(record), **changes)


def block(options: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"model": {"block": options}, **rest}


def paths(factors: tuple[Factor, ...]) -> list[str]:
    return [factor.path for factor in factors]


def confounders(declared: set[str], arm: TrialFacts, baseline: TrialFacts) -> list[str]:
    judgement = judge(declared, list_differences(arm, baseline))
    return paths(judgement.confounders) if isinstance(judgement, Confounded) else []


def test_one_option_is_one_factor() -> None:
    arm, baseline = facts(block({**STH, "p": "1/8"})), facts(block(STH))
    assert list_differences(arm, baseline) == (Factor("setting", "model.block.p", "1/8", "1/4"),)
    assert judge({"model.block.p"}, list_differences(arm, baseline)) == Controlled(
        list_differences(arm, baseline)
    )
    assert str(list_differences(arm, baseline)[0]) == "model.block.p: 1/8 against 1/4"
    assert confounders({"model.block.dilation"}, arm, baseline) == ["model.block.p"]
    assert confounders({"model.block.pp", "model.blo"}, arm, baseline) == ["model.block.p"]


def test_the_same_trial_twice_is_controlled() -> None:
    assert judge(set(), list_differences(facts(), facts())) == Controlled(())


def test_another_type_brings_its_options() -> None:
    arm, baseline = facts(block(STH)), facts(block(SEQUENTIAL))
    found = paths(list_differences(arm, baseline))
    assert {"model.block.type", "model.block.attention", "model.block.order"} <= set(found)
    assert confounders(DECLARED, arm, baseline) == []
    assert confounders({"model.block.p"}, arm, baseline) == [p for p in found if p != "model.block.p"]


def test_undeclared_settings_confound_and_are_named() -> None:
    arm = facts(block(STH, training={"optimizer": {"weight_decay": 0.001}}))
    judgement = judge(DECLARED, list_differences(arm, facts(block(SEQUENTIAL))))
    assert isinstance(judgement, Confounded)
    assert [str(factor) for factor in judgement.confounders] == [
        "training.optimizer.weight_decay: 0.001 against 0.0005"
    ]
    assert "model.block.type" in paths(judgement.declared)


def test_an_option_under_nothing_is_declared_with_it() -> None:
    nonlocal_ = {"block": {"type": "nonlocal"}, "placement": {"every": 2}}
    arm, baseline = facts({"model": {"on_top": nonlocal_}}), facts()
    assert "model.on_top" in paths(list_differences(arm, baseline))
    assert confounders({"model.on_top.block.type", "model.on_top.placement.every"}, arm, baseline) == []
    assert "model.on_top" in confounders({"model.block.type"}, arm, baseline)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"manifest": "other"}, "data manifest"),
        ({"killed": ("a.mp4",)}, "videos left out while training"),
        ({"decoder": "pyav"}, "decoder"),
        ({"device": "NVIDIA H100"}, "device"),
        ({"micro_batch": 8}, "micro-batch"),
        ({"versions": {"python": "3.11.7", "torch": "2.14.0", "decord": "0.6.0"}}, "library.torch"),
        (
            {"modules": {"study.training.fit": "ff", "study.models.build": "bb"}},
            "code.study.training.fit",
        ),
        (
            {"modules": {"study.training.fit": "aa", "study.models.build": "bb", "study.training.ema": "cc"}},
            "code.study.training.ema",
        ),
        ({"weights": "f00d"}, "initial weights"),
        ({"parent": "0123"}, "parent.trial"),
        ({"repeat": 1}, "repeat"),
        ({"protocol": "clips 2"}, "evaluation.protocol"),
    ],
)
def test_circumstances_confound(changes: dict[str, Any], path: str) -> None:
    arm, baseline = facts(block(STH), **changes), facts(block(SEQUENTIAL))
    assert confounders(DECLARED, arm, baseline) == [path]
    assert confounders(DECLARED, baseline, arm) == [path]


def test_bookkeeping_and_processors_do_not_confound() -> None:
    plain = facts()
    assert plain.versions == {"python": "3.11.7", "torch": "2.15.0", "decord": "0.6.0"}
    assert (plain.device, plain.decoder) == ("cpu", "auto: decord")


def test_a_block_brings_its_own_modules_but_not_changed_ones() -> None:
    shared = {"study.training.fit": "aa", "study.models.blocks.residual": "bb"}
    arm = facts(block(STH), modules={**shared, "study.models.blocks.sth": "cc"})
    baseline = facts(block(SEQUENTIAL), modules={**shared, "study.models.blocks.two_plus_one": "dd"})
    assert confounders(DECLARED, arm, baseline) == []
    changed = dataclasses.replace(arm, modules={**arm.modules, "study.models.blocks.residual": "b2"})
    assert confounders(DECLARED, changed, baseline) == ["code.study.models.blocks.residual"]
    # With one block on both sides a module that only one trial ran came with another version of the code.
    same = facts(block({**STH, "p": "1/8"}), modules=shared)
    assert confounders({"model.block.p"}, arm, same) == ["code.study.models.blocks.sth"]


@pytest.mark.parametrize(
    "name", ["table2", "table5", "table6", "table7", "table8", "table9", "figure7", "shift"]
)
def test_whatever_code_the_arms_of_our_experiments_run_follows_from_their_settings(name: str) -> None:
    arms = load_study([name]).experiment(name).arms
    run = [
        facts(arm.settings.model_dump(mode="json"), modules=fingerprint_code(arm.settings).modules)
        for arm in arms
    ]
    differences = [one for other in run[1:] for one in list_differences(other, run[0]) if one.kind == "code"]
    assert [str(one) for one in differences if not one.follows] == []
    if name == "table7":
        assert "code.study.kernels.library" in paths(tuple(differences))


def test_data_settings_explain_the_manifest_and_nothing_else_does() -> None:
    arm, baseline = facts({"data": {"type": "motion", "fold": 2}}, manifest="other"), facts()
    assert confounders({"data.fold"}, arm, baseline) == []
    assert confounders({"model.block.p"}, arm, baseline) == ["data.fold", "data manifest"]


def test_another_backbone_explains_other_imagenet_weights_but_not_other_files() -> None:
    def of(backbone: str, weights: str) -> TrialFacts:
        return facts({"model": {"backbone": backbone, "init": {"weights": weights}}}, weights=backbone)

    pair = of("resnet18", "imagenet"), of("resnet34", "imagenet")
    assert confounders({"model.backbone"}, *pair) == []
    files = of("resnet18", "a.pth"), of("resnet34", "b.pth")
    assert confounders({"model.backbone"}, *files) == ["initial weights"]
    assert confounders({"model.backbone", "model.init.weights"}, *files) == []
    mixed = of("resnet18", "imagenet"), of("resnet34", "random")
    assert confounders({"model.backbone"}, *mixed) == ["model.init.weights", "initial weights"]


def test_parents_are_compared_like_their_children() -> None:
    origins = facts(block(STH)), facts(block(SEQUENTIAL))
    arm = facts(block(STH), parent="1", origin=origins[0])
    baseline = facts(block(SEQUENTIAL), parent="2", origin=origins[1])
    assert confounders(DECLARED, arm, baseline) == []
    longer = facts(block(STH, training={"epochs": 99}))
    other = dataclasses.replace(arm, origin=longer)
    assert confounders(DECLARED, other, baseline) == ["parent.training.epochs"]
    assert confounders(DECLARED | {"init_from"}, other, baseline) == []
    unknown = dataclasses.replace(arm, origin=None)
    assert confounders(DECLARED, unknown, baseline) == ["parent.trial"]


def test_what_an_arm_declares_is_what_its_file_sets() -> None:
    arm = ArmSpec(name="a", set={"model": {"block": {"type": "sth", "dilation": [1, 2]}}}, init_from="x/y")
    baseline = ArmSpec(name="b", set={"clip": {"frames": 8}})
    assert declare_factor(arm, baseline) == {
        "model.block.type",
        "model.block.dilation",
        "clip.frames",
        "init_from",
    }
    assert declare_factor(baseline, baseline) == {"clip.frames"}


def test_one_confounded_repeat_confounds_the_delta() -> None:
    good = facts(block(STH)), facts(block(SEQUENTIAL))
    bad = facts(block(STH), device="NVIDIA H100"), facts(block(SEQUENTIAL))
    assert isinstance(judge_arms(DECLARED, [good, good]), Controlled)
    judgement = judge_arms(DECLARED, [good, bad, bad])
    assert isinstance(judgement, Confounded)
    assert judgement.confounders == (Factor("device", "device", "NVIDIA H100", "cpu"),)


def test_tables_of_the_paper_are_controlled(tmp_path: Path) -> None:
    """Every arm of Tables 6 to 8 against its baseline, from records as trials leave them."""
    for experiment in fabricated.load().experiments:
        records = {}
        for row in experiment.rows:
            trial = fabricated.trial_of(row.arms[0])
            folder = fabricated.begin(tmp_path, trial)
            records[row.name] = TrialFacts.from_record(fabricated.end(folder, trial))
        baseline = experiment.row(experiment.spec.baseline)
        for row in experiment.rows:
            declared = declare_factor(row.spec, baseline.spec)
            judgement = judge_arms(declared, [(records[row.name], records[baseline.name])])
            assert isinstance(judgement, Controlled), (row.name, judgement)
            assert bool(judgement.declared) == (row.name != baseline.name)


def test_absent_reads_as_a_word() -> None:
    assert str(Factor("parent", "parent.trial", "0123", ABSENT)) == "parent.trial: 0123 against absent"
