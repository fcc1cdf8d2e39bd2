"""Experiments on several data sets and folds, limits of a profile, and arms that start from others."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.errors import SpecError
from study.spec.loading import load_study
from study.spec.resolved import ParentArm, Study

PROFILE = """
name: tiny
about: For tests.
settings: {clip: {size: 32, resize: null}, training: {epochs: 3}}
datasets:
  big: {label: Big, about: Stands for something., settings: {data: {type: appearance}, training: {epochs: 7}}}
  small: {folds: [1, 3], settings: {data: {type: motion, seed: 9}}}
limits: {frames: 16, size: 32, stages: 3, backbones: {resnet50: resnet_tiny}}
"""
HEAD = "name: {name}\ntitle: T\nquestion: Q\nbaseline: a\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "tiny.yaml").write_text(PROFILE)
    return tmp_path


def write(folder: Path, name: str, body: str) -> None:
    (folder / f"{name}.yaml").write_text(HEAD.format(name=name) + body)


def load(folder: Path, *names: str, overrides: tuple[str, ...] = ()) -> Study:
    return load_study(names, profile="tiny", overrides=overrides, folder=folder)


def test_every_arm_is_trained_on_every_data_set_and_fold(folder: Path) -> None:
    write(
        folder,
        "both",
        "datasets: [big, small]\narms: [{name: a}, {name: b, set: {training: {batch_size: 8}}}]",
    )
    experiment = load(folder, "both").experiments[0]
    names = [arm.name for arm in experiment.arms]
    assert names[:3] == ["a on big", "a on small fold 1", "a on small fold 3"]
    big, first, third = experiment.row("b").arms
    assert (big.label, big.dataset, big.row) == ("b on Big", "big", "b")
    assert (big.settings.data.type, big.settings.training.epochs) == ("appearance", 7)
    assert [arm.settings.data.fold for arm in (first, third)] == [1, 3]  # type: ignore[union-attr]
    assert first.settings.training.epochs == 3
    assert {arm.settings.training.batch_size for arm in (big, first, third)} == {8}
    assert experiment.row("b").on("small") == (first, third)


def test_one_data_set_without_folds_leaves_names_as_they_are(folder: Path) -> None:
    write(folder, "one", "datasets: [big]\narms: [{name: a}]")
    assert [arm.name for arm in load(folder, "one").experiments[0].arms] == ["a"]


def test_an_override_may_concern_one_data_set(folder: Path) -> None:
    write(folder, "both", "datasets: [big, small]\narms: [{name: a}]")
    overrides = ("datasets.small.data.seed=4", "training.epochs=1")
    big, small, _ = load(folder, "both", overrides=overrides).experiments[0].arms
    assert (big.settings.data.seed, small.settings.data.seed) == (0, 4)  # type: ignore[union-attr]
    assert big.settings.training.epochs == small.settings.training.epochs == 1
    with pytest.raises(
        SpecError, match=r"--set datasets.smal.data.seed=4: datasets.smal: did you mean 'small'"
    ):
        load(folder, "both", overrides=("datasets.smal.data.seed=4",))


def test_a_data_set_that_the_profile_does_not_have_is_named(folder: Path) -> None:
    write(folder, "bad", "datasets: [bigg]\narms: [{name: a}]")
    with pytest.raises(
        SpecError, match=r"bad.yaml:5: datasets: profile 'tiny' has no 'bigg'; did you mean 'big'"
    ):
        load(folder, "bad")


def test_no_arm_exceeds_the_limits_but_set_does(folder: Path) -> None:
    arms = """
arms:
  - {name: a, set: {model: {backbone: resnet50, placement: {stages: [2, 3, 4]}}, clip: {frames: 8}}}
  - name: b
    set:
      model: {backbone: resnet18, stack: 3, placement: {stages: [4]}}
      clip: {frames: 48, snippet: 3, size: 112, resize: [128, 170]}
  - {name: c, set: {clip: {frames: 16, size: 112}}, fixed_clip: true}
  - {name: a+c, fuse: [a, c]}
"""
    write(folder, "limited", arms)
    experiment = load(folder, "limited").experiments[0]
    a, b = experiment.arms
    assert (a.settings.model.backbone, a.settings.clip.frames) == ("resnet_tiny", 8)
    assert (a.settings.model.placement.stages, b.settings.model.placement.stages) == ((2, 3), (4,))
    # 48 frames in snippets of 3: the largest number of whole snippets within 16 frames.
    assert (b.settings.model.backbone, b.settings.clip.frames) == ("resnet18", 15)
    assert (b.settings.clip.size, b.settings.clip.resize) == (32, None)
    reason = "it takes clips of 16 x 112 x 112 only, and profile tiny has at most 16 x 32 x 32"
    assert experiment.row("c").spec.published_only == reason
    assert "it needs c" in experiment.row("a+c").spec.published_only
    asked = load(folder, "limited", overrides=("clip.frames=20", "clip.snippet=1", "model.stack=1"))
    assert {arm.settings.clip.frames for arm in asked.experiments[0].arms} == {20}


def test_what_others_start_from_comes_first_and_only_that(folder: Path) -> None:
    write(
        folder,
        "before",
        "datasets: [big]\narms: [{name: a}, {name: b}, {name: c}, {name: a+b, fuse: [a, b]}]",
    )
    write(
        folder,
        "after",
        "datasets: [small]\ninit_from: before\narms: [{name: a}, {name: d, init_from: before/c}]",
    )
    study = load(folder, "after")
    assert [experiment.name for experiment in study.experiments] == ["before", "after"]
    assert study.requested == ("after",)
    assert [row.name for row in study.experiment("before").rows] == ["a", "c"]
    parents = [row.arms[0].parent for row in study.experiment("after").rows]
    assert parents == [ParentArm("before", "a"), ParentArm("before", "c")]
    # Asked for by itself it is whole, and there once.
    both = load(folder, "after", "before")
    assert [experiment.name for experiment in both.experiments] == ["before", "after"]
    assert len(both.experiment("before").rows) == 4


@pytest.mark.parametrize(
    ("init_from", "message"),
    [
        ("before/z", r"'before' trains no arm 'z'; Allowed: a"),
        ("nowhere/a", r"experiment 'nowhere' is unknown"),
        ("folds/a", r"'folds' is on several data sets or folds"),
        ("after/a", r"goes in a circle: after -> after"),
    ],
)
def test_a_start_that_cannot_be_is_told(folder: Path, init_from: str, message: str) -> None:
    write(folder, "before", "arms: [{name: a}]")
    write(folder, "folds", "datasets: [small]\narms: [{name: a}]")
    write(folder, "after", f"arms: [{{name: a, init_from: {init_from}}}]")
    with pytest.raises(SpecError, match=message):
        load(folder, "after")


def test_every_experiment_loads_at_every_profile() -> None:
    names = ["table2", "table3", "table4", "table5", "pretraining", "transfer", "arrow_of_time"]
    for profile in ("laptop", "gpu", "paper"):
        overrides = ("data.root=.",) if profile != "paper" else ()
        for name in names:
            chosen = overrides if name == "arrow_of_time" else ()
            assert load_study([name], profile=profile, overrides=chosen).experiments
