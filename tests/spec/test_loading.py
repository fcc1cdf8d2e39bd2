"""Experiments from YAML: resolution, overlays, axes, and errors that say where."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.errors import SpecError
from study.spec.blocks import Conv2dBlock, STHBlock, TwoPlusOneBlock
from study.spec.loading import load_study
from study.spec.resolved import Experiment
from study.spec.yaml import parse_document

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"

PROFILE = """
name: small
about: for tests
settings:
  model: {backbone: resnet_tiny}
  clip: {frames: 4, size: 16, resize: null}
  training: {epochs: 2}
"""
EXPERIMENT = """
name: mine
title: Mine
question: Which?
baseline: a
settings:
  model: {block: {type: sth, p: 1/4, arrangement: merge_in}}
arms:
  - {name: a}
  - {name: b, set: {model: {block: {attention: cost}}}}
  - {name: c, set: {model: {block: {type: two_plus_one, order: parallel}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "small.yaml").write_text(PROFILE)
    return tmp_path


def load(folder: Path, text: str, name: str = "mine", **options: object) -> Experiment:
    (folder / f"{name}.yaml").write_text(text)
    return load_study([name], profile="small", folder=folder, **options).experiments[0]  # type: ignore[arg-type]


def problems(folder: Path, text: str, **options: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(folder, text, **options)
    return [line.replace(str(folder) + "/", "") for line in caught.value.problems]


def test_layers_profile_experiment_arm_override(folder: Path) -> None:
    experiment = load(folder, EXPERIMENT, overrides=["training.epochs=7"])
    a, b, c = (arm.settings for arm in experiment.arms)
    assert (a.clip.frames, a.training.epochs, a.model.backbone) == (4, 7, "resnet_tiny")
    assert a.model.block == STHBlock(type="sth", p=Fraction(1, 4), arrangement="merge_in")
    assert b.model.block == STHBlock(type="sth", p=Fraction(1, 4), arrangement="merge_in", attention="cost")
    # Another type takes nothing over from the block below it.
    assert c.model.block == TwoPlusOneBlock(type="two_plus_one", order="parallel")


def test_axes_make_every_combination_but_the_excluded(folder: Path) -> None:
    experiment = load(
        folder,
        """
name: mine
title: Mine
question: Which?
baseline: p=1/4 none
settings: {model: {block: {type: sth}}}
axes:
  grid: {model.block.p: [1/8, 1/4]}
  zip: {model.block.attention: [none, cost], model.block.dilation: [[1], [1, 2]]}
  exclude: [{when: {model.block.p: 1/8, model.block.attention: cost}, because: too slow}]
  name: p={p} {attention}
""",
    )
    assert [arm.name for arm in experiment.arms] == ["p=1/8 none", "p=1/4 none", "p=1/4 cost"]
    assert [arm.settings.model.block.dilation for arm in experiment.arms] == [(1,), (1,), (1, 2)]
    assert [(e.values["model.block.p"], e.because) for e in experiment.excluded] == [("1/8", "too slow")]


def test_default_study_is_the_ablation_and_the_attention_figures() -> None:
    study = load_study()
    arms = {experiment.name: len(experiment.arms) for experiment in study.experiments}
    assert arms == {"table6": 4, "table7": 5, "table8": 2, "figure6": 3, "figure7": 4, "figure8": 2}
    assert isinstance(
        load_study(["table6"], overrides=["model.block.p=0"]).experiments[0].arms[0].settings.model.block,
        STHBlock,
    )
    assert Conv2dBlock(type="conv2d").orderless


@pytest.mark.parametrize("profile", ["laptop", "gpu", "paper"])
@pytest.mark.parametrize(
    "name", sorted(path.stem for path in EXPERIMENTS.glob("*.yaml") if path.stem != "study")
)
def test_committed_experiments_resolve_at_every_profile(name: str, profile: str) -> None:
    assert load_study([name], profile=profile).experiments[0].arms


def test_all_problems_at_once_with_file_and_line(folder: Path) -> None:
    text = EXPERIMENT.replace("baseline: a", "baseline: d").replace("attention: cost", "attention: csot")
    text = text.replace("merge_in", "hybird")
    found = problems(folder, text)
    assert found == [
        "mine.yaml:5: baseline: 'd' is no arm; Allowed: a, b, c",
        "mine.yaml:7: model.block.arrangement: 'hybird' is not allowed; did you mean 'hybrid'? "
        "Allowed: hybrid, merge_in, merge_out",
        "mine.yaml:10: model.block.attention: 'csot' is not allowed; did you mean 'cost'? "
        "Allowed: concat, cost, fc_sigmoid, none, se_pair, shared_se_r2, sk_r2",
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "question: Which?",
            "qestion: Which?",
            "mine.yaml:4: qestion: unknown key; did you mean 'question'?",
        ),
        ("question: Which?\n", "", "mine.yaml: question: is required"),
        ("name: mine", "name: other", "mine.yaml:2: name: 'other' differs from its file, mine.yaml"),
        ("title: Mine", "title: [Mine", "mine.yaml:4: "),
        (
            "title: Mine",
            "title: Mine\ntitle: Two",
            "mine.yaml:4: found duplicate key 'title', first in line 3",
        ),
        ("{name: b,", "{name: a,", "mine.yaml:10: arms: the name 'a' is taken"),
        ("p: 1/4", "p: 3/8", "mine.yaml:7: model.block: p must be 0 or 1/n"),
        ("p: 1/4", "p: many", "mine.yaml:7: model.block.p: expected a fraction such as 1/4, got 'many'"),
        ("type: sth", "type: shh", "mine.yaml:7: model.block: type 'shh' is unknown; did you mean 'sth'?"),
        (
            "order: parallel",
            "ordr: parallel",
            "mine.yaml:11: model.block.ordr: unknown key; did you mean 'order'?",
        ),
    ],
)
def test_problem_names_place_key_value_and_allowed(
    folder: Path, before: str, after: str, expected: str
) -> None:
    assert before in EXPERIMENT
    found = problems(folder, EXPERIMENT.replace(before, after))
    assert any(line.startswith(expected) for line in found), found


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "training.epochs=abc",
            "--set training.epochs=abc: training.epochs: input should be a valid integer",
        ),
        ("trainig.epochs=3", "--set trainig.epochs=3: trainig: unknown key; did you mean 'training'?"),
        ("clip.size=4", "--set clip.size=4: clip.size: input should be greater than or equal to 8, got 4"),
        ("epochs", "--set epochs: expected path=value"),
        ("clip..size=4", "--set clip..size=4: expected path=value"),
        ("clip size=4", "--set clip size=4: expected path=value"),
    ],
)
def test_override_problems(folder: Path, override: str, expected: str) -> None:
    assert problems(folder, EXPERIMENT, overrides=[override])[0].startswith(expected)


def test_an_override_reaches_what_has_a_name_of_its_own(folder: Path) -> None:
    experiment = load(folder, EXPERIMENT, overrides=["evaluation.protocols.1x1.crops=3"])
    protocols = experiment.arms[0].settings.evaluation.protocols
    assert (protocols["1x1"].clips, protocols["1x1"].crops) == (1, 3)


def test_unknown_names_suggest(folder: Path) -> None:
    load(folder, EXPERIMENT)
    with pytest.raises(SpecError, match=r"experiment 'mien' is unknown: did you mean 'mine'\? Allowed: mine"):
        load_study(["mien"], profile="small", folder=folder)
    with pytest.raises(SpecError, match=r"profile 'smal' is unknown: did you mean 'small'\?"):
        load_study(["mine"], profile="smal", folder=folder)


def test_profile_cannot_set_the_question(folder: Path) -> None:
    text = PROFILE.replace("backbone: resnet_tiny", "backbone: resnet_tiny, block: {type: conv2d}")
    (folder / "profiles" / "small.yaml").write_text(text)
    assert "so not model.block;" in problems(folder, EXPERIMENT)[0]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused_by_name(text: str) -> None:
    problems: tuple[str, ...] = ("fuzz.yaml",)
    try:
        parse_document(text, "fuzz.yaml")
    except SpecError as error:
        problems = error.problems
    assert problems[0].startswith("fuzz.yaml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SpecError, match=r"fuzz\.yaml:1: nested more than 32 levels deep"):
        parse_document("a: " + "[" * 5000, "fuzz.yaml")
    with pytest.raises(SpecError, match="levels deep"):
        parse_document("a: " + "{a: " * 40 + "1" + "}" * 40, "fuzz.yaml")


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        ("{kind: class_difference, name: f, title: F, arms: [a]}", "takes exactly 2, got 1"),
        ("{kind: attention_by_layer, name: f, title: F, arms: [a, b]}", "takes exactly 1, got 2"),
        ("{kind: attention_by_dataset, name: f, title: F, arms: [a]}", "shows several data sets"),
        ("{kind: contact_sheet, name: f, title: F, arms: [a], dataset: ucf101}", "'ucf101' is no data set"),
        ("{kind: training_curves, name: f, title: F, arms: [d]}", "'d' is no arm"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_refused(folder: Path, figure: str, says: str) -> None:
    (problem,) = problems(folder, f"{EXPERIMENT}figures: [{figure}]\n")
    assert says in problem
    assert problem.startswith("mine.yaml:")
