"""What figures are drawn from, collected from trials whose scores are made up."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from study.analysis.classes import ClassComparison
from study.commands import figures
from study.commands.figures import FigureSource, collect_material
from study.commands.stored_scores import StoredScores, primary_views
from study.data.catalog import open_dataset
from study.errors import StoreError
from study.reporting.figures import Sheet
from study.running.plan import Plan, make_plan
from study.running.store import Store
from study.scores import ViewScores
from study.spec.loading import load_study
from study.spec.resolved import Arm, Study
from study.tracking.read import COLUMNS

TOY = ["data.train_videos=24", "data.val_videos=40"]
Right = Callable[[str, int], bool]
"""Whether a video is right, given its name and class."""


class FakeScores(StoredScores):
    """Scores of trials by their ids."""

    def __init__(self, known: Mapping[str, ViewScores]) -> None:
        self._made = known

    def has(self, trial_id: str) -> bool:
        return trial_id in self._made

    def load(self, trial_id: str) -> ViewScores:
        return self._made[trial_id]


def scores_of(arm: Arm, store: Store, right: Right) -> ViewScores:
    """The highest score is the label's where ``right`` says so, and the next class's elsewhere."""
    manifest = open_dataset(arm.settings.data, store.data).manifest()
    labels = np.array([entry.label for entry in manifest.val])
    hits = np.array([right(entry.video_id, entry.label) for entry in manifest.val])
    shown = np.where(hits, labels, (labels + 1) % len(manifest.classes))
    logits = np.eye(len(manifest.classes), dtype=np.float32)[shown]
    views = primary_views(arm)
    stacked = np.repeat(logits[:, None], len(views), axis=1)
    ids = np.array([entry.video_id for entry in manifest.val])
    return ViewScores(ids, labels, views, stacked, np.zeros(stacked.shape[:2], np.int64))


def make_source(store: Store, names: list[str], right: Mapping[str, Right], repeats: int = 2) -> FigureSource:
    """A source in which the arms named by ``right`` have finished."""
    plan = make_plan(load_study(names, overrides=TOY, repeats=repeats), store)
    known = {
        plan.find(experiment.name, arm.name, repeat).trial_id: scores_of(arm, store, right[arm.name])
        for experiment in plan.study.experiments
        for arm in experiment.arms
        if arm.name in right
        for repeat in range(repeats)
    }
    runs = pd.DataFrame(columns=list(COLUMNS))
    return FigureSource(plan, store, store.tracking_uri, runs, pd.DataFrame(), FakeScores(known))


def prepare(plan: Plan, store: Store) -> None:
    for planned in plan.trials:
        open_dataset(planned.trial.settings.data, store.data).prepare()


def test_classes_are_compared_under_their_names(store: Store) -> None:
    source = make_source(
        store, ["table6"], {"p=1/4": lambda video, label: True, "p=0": lambda video, label: label > 0}
    )
    found = collect_material(source).classes["table6", "class_difference_p"]
    assert isinstance(found, ClassComparison)
    manifest = open_dataset(source.plan.trials[0].trial.settings.data, store.data).manifest()
    # Only the first class differs: all of its videos, in both repeats.
    assert [one.points for one in found.classes] == [100.0] + [0.0] * (len(manifest.classes) - 1)
    assert [one.name for one in found.classes] == list(manifest.classes)
    assert found.repeats == (0, 1)
    assert sum(one.videos for one in found.classes) == 40


def test_without_scores_the_reason_names_the_arms(store: Store) -> None:
    source = make_source(store, ["table6"], {"p=1/4": lambda video, label: True})
    assert collect_material(source).classes["table6", "class_difference_p"] == (
        "no finished trial of p=0 with scores by video"
    )


def test_a_sheet_shows_the_best_classes_by_videos_that_were_always_right(store: Store) -> None:
    name = "STH hybrid+attention on kinetics400"
    # Of four videos a class. Class 3: all right. Class 5: all but the first by name. Class 7: one. The others: none.
    videos = entries_by_label(store)
    wrong = {videos[5][0], *videos[7][:3]}
    right = {name: lambda video, label: label in (3, 5, 7) and video not in wrong}
    source = make_source(store, ["figure7"], right)
    prepare(source.plan, store)
    material = collect_material(source)
    sheet = material.sheets["figure7", "figure9"]
    assert isinstance(sheet, Sheet)
    frame = sheet.frame.set_index("label")
    assert frame.index.tolist() == [3, 5]
    assert frame.loc[3, "video"] == videos[3][0]
    assert frame.loc[5, "video"] == videos[5][1]
    assert frame.loc[3, ["top1_percent", "top1_std", "repeats"]].tolist() == [100.0, 0.0, 2]
    assert sheet.classes == 10
    picture = Image.open(io.BytesIO(sheet.png))
    assert picture.height == 84 * len(frame) + 4
    # The other data set has no finished trial.
    reason = "no finished trial of STH hybrid+attention with scores by video"
    assert material.sheets["figure7", "figure10"] == reason


def entries_by_label(store: Store) -> dict[int, list[str]]:
    arm = make_plan(load_study(["figure7"], overrides=TOY), store).study.experiments[0].arms[-1]
    assert arm.dataset == "kinetics400"
    videos: dict[int, list[str]] = {}
    for entry in open_dataset(arm.settings.data, store.data).manifest().val:
        videos.setdefault(entry.label, []).append(entry.video_id)
    return {label: sorted(names) for label, names in videos.items()}


def test_videos_that_are_not_at_hand_give_a_reason_without_a_path(store: Store, tmp_path: Path) -> None:
    name = "STH hybrid+attention on kinetics400"
    source = make_source(store, ["figure7"], {name: lambda video, label: True})
    moved = replace(source, store=Store.at(tmp_path / "elsewhere"))
    reason = collect_material(moved).sheets["figure7", "figure9"]
    assert reason == "the videos of Kinetics-400 cannot be read here"
    nothing = make_source(store, ["figure7"], {name: lambda video, label: False})
    assert collect_material(nothing).sheets["figure7", "figure9"] == (
        "STH hybrid+attention recognizes no class in half of its videos"
    )


def load_mine(tmp_path: Path, datasets: str, *figures: str, overrides: Sequence[str] = ()) -> Study:
    """An experiment of two arms with these figures."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "profiles").symlink_to(Path(__file__).resolve().parents[2] / "experiments" / "profiles")
    (folder / "mine.yaml").write_text(
        f"name: mine\ntitle: T\nquestion: Q\nbaseline: a\ndatasets: {datasets}\n"
        "arms: [{name: a, set: {model: {block: {type: conv2d}}}}, {name: b, set: {model: {block: {type: tsm}}}}]\n"
        f"figures: [{', '.join(figures)}]\n"
    )
    return load_study(["mine"], profile="laptop", overrides=list(overrides), folder=folder)


def test_folds_are_pooled_and_their_videos_found(store: Store, tmp_path: Path) -> None:
    figures = (
        "{kind: contact_sheet, name: sheet, title: S, arms: [a]}",
        "{kind: class_difference, name: classes, title: C, arms: [a, b]}",
    )
    overrides = [f"datasets.ucf101.data.{split}_videos=20" for split in ("train", "val")]
    study = load_mine(tmp_path, "[ucf101]", *figures, overrides=overrides)
    plan = make_plan(study, store)
    prepare(plan, store)
    (experiment,) = study.experiments
    known = {
        plan.find("mine", arm.name, 0).trial_id: scores_of(arm, store, lambda video, label: True)
        for arm in experiment.arms
    }
    runs = pd.DataFrame(columns=list(COLUMNS))
    source = FigureSource(plan, store, store.tracking_uri, runs, pd.DataFrame(), FakeScores(known))
    material = collect_material(source)
    sheet, classes = material.sheets["mine", "sheet"], material.classes["mine", "classes"]
    assert isinstance(sheet, Sheet)
    assert isinstance(classes, ClassComparison)
    assert all(video.startswith("1/") for video in sheet.frame["video"])
    assert sum(one.videos for one in classes.classes) == 2 * 20


def test_only_curves_that_a_figure_shows_are_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = "{kind: training_curves, name: curves, title: C, arms: [b], dataset: jester}"
    study = load_mine(tmp_path, "[kinetics400, jester]", figure)
    plan = make_plan(study, store)
    ids = [planned.trial_id for planned in plan.trials]
    runs = pd.DataFrame({"trial_id": ids, "run_id": ids})
    asked: list[str] = []

    def load(uri: str, runs: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
        asked.extend(runs["trial_id"])
        return pd.DataFrame(columns=["trial_id", "metric", "step", "value"])

    monkeypatch.setattr(figures, "load_curves", load)
    collect_material(FigureSource(plan, store, store.tracking_uri, runs, pd.DataFrame(), FakeScores({})))
    assert asked == [plan.find("mine", "b on jester", 0).trial_id]
    assert len(ids) == 4


def test_scores_that_cannot_be_read_are_no_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(
        store, ["table6"], {"p=1/4": lambda video, label: True, "p=0": lambda video, label: True}
    )

    def fail(self: FakeScores, trial_id: str) -> ViewScores:
        raise StoreError("gone")

    monkeypatch.setattr(FakeScores, "load", fail)
    reason = collect_material(source).classes["table6", "class_difference_p"]
    assert reason == "no finished trial of p=1/4, p=0 with scores by video"
