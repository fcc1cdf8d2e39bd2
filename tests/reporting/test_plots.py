"""Which figures a study gets, their captions, and why one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.analysis.classes import compare_classes
from study.analysis.factors import Factor
from study.analysis.statistics.hits import VideoHits
from study.analysis.tables import TableResult, build_table
from study.reporting.figures import FigureFiles, FigureMaterial, Sheet
from study.reporting.plots import DRAW, draw_figures, name_figures
from study.spec.experiment import FigureSpec
from study.spec.resolved import Experiment
from tests import fabricated
from tests.reporting.conftest import fabricate


def tables_of(names: Sequence[str], outcomes: dict[tuple[str, int], str] | None = None, repeats: int = 3):
    """Fabricated tables and the attention of their trials."""
    source = fabricate(fabricated.load(list(names), repeats=repeats).experiments, outcomes or {})
    return [build_table(view, source.runs) for view in source.views], source.attention


def with_figures(table: TableResult, *figures: FigureSpec) -> TableResult:
    experiment: Experiment = table.experiment
    spec = experiment.spec.model_copy(update={"figures": figures})
    return replace(table, view=replace(table.view, experiment=replace(experiment, spec=spec)))


def draw(tables: list[TableResult], material: FigureMaterial, folder: Path) -> dict[str, FigureFiles]:
    return {figure.name: figure for figure in draw_figures(tables, material, folder)}


def hits(right: float, videos: int = 40, repeats: int = 3) -> dict[int, VideoHits]:
    ids, labels = np.array([f"v{n:03d}" for n in range(videos)]), np.arange(videos) % 2
    return {r: VideoHits(ids, labels, np.arange(videos) < right * videos) for r in range(repeats)}


def png(path: Path | None) -> bytes:
    assert path is not None
    return path.read_bytes()[:8]


def test_every_kind_of_figure_can_be_drawn() -> None:
    kinds = FigureSpec.model_fields["kind"].annotation
    assert set(DRAW) == set(kinds.__args__)  # type: ignore[union-attr]


def test_the_default_study_has_all_its_figures(tmp_path: Path) -> None:
    tables, attention = tables_of(["table6", "table7", "table8", "figure6", "figure7", "figure8"])
    trials = {trial.trial_id for table in tables for row in table.rows for trial in row.trials}
    curves = pd.DataFrame(
        [
            {"trial_id": name, "metric": "train/loss", "step": step, "value": 1 / step}
            for name in sorted(trials)
            for step in (1, 2)
        ]
    )
    comparison = compare_classes(hits(0.8), hits(0.2), ("open", "close"))
    shown = pd.DataFrame({"class": ["open"], "repeats": [3]})
    sheet = Sheet(b"\x89PNG\r\n\x1a\n", shown, 12)
    material = FigureMaterial(
        attention,
        curves,
        classes={
            ("table6", "class_difference_p"): comparison,
            ("table7", "class_difference_hybrid"): comparison,
        },
        sheets={("figure7", "figure9"): sheet, ("figure7", "figure10"): sheet},
    )
    figures = draw(tables, material, tmp_path)
    assert set(figures) == {
        "class_difference_p",
        "class_difference_hybrid",
        "curves_table7",
        "accuracy_by_cost",
        "accuracy_by_cost-something_v1",
        "accuracy_by_cost-kinetics400",
        *(f"figure{number}" for number in range(5, 11)),
    }
    for name, figure in figures.items():
        assert not figure.missing, name
        suffixes = [path.suffix for path in figure.files]
        assert suffixes == ([".png", ".csv"] if name in ("figure9", "figure10") else [".png", ".svg", ".csv"])
        assert png(figure.png) == b"\x89PNG\r\n\x1a\n"
        assert "3 repeats" in figure.caption, name
        assert len(pd.read_csv(figure.files[-1])) > 0


def test_figure_7_has_a_curve_a_data_set_and_says_what_stands_for_them(tmp_path: Path) -> None:
    tables, attention = tables_of(["figure7"])
    figure = draw(tables, FigureMaterial(attention), tmp_path)["figure7"]
    frame = pd.read_csv(tmp_path / "figure7.csv")
    assert frame["dataset"].unique().tolist() == [
        "stand-in for Something-Something V1",
        "stand-in for Kinetics-400",
    ]
    assert len(frame) == 2 * 3 * fabricated.BLOCKS
    assert "Data: Kinetics-400. Synthetic appearance stands for it" in figure.caption
    svg = (tmp_path / "figure7.svg").read_text(encoding="utf-8")
    assert svg.count("stand-in for Something-Something V1") == 1
    # One of the two without a finished trial.
    name = "STH hybrid+attention on kinetics400"
    tables, attention = tables_of(["figure7"], {(name, repeat): "missing" for repeat in range(3)})
    assert (
        "Without stand-in for Kinetics-400"
        in draw(tables, FigureMaterial(attention), tmp_path)["figure7"].caption
    )


def test_a_figure_honors_its_data_set(tmp_path: Path) -> None:
    tables, attention = tables_of(["figure7"])
    spec = FigureSpec(
        kind="attention_by_layer",
        name="one",
        title="One",
        arms=("STH hybrid+attention",),
        dataset="kinetics400",
    )
    other = spec.model_copy(update={"name": "first", "dataset": None})
    draw([with_figures(tables[0], spec, other)], FigureMaterial(attention), tmp_path)
    assert set(pd.read_csv(tmp_path / "one.csv")["dataset"]) == {"stand-in for Kinetics-400"}
    assert set(pd.read_csv(tmp_path / "first.csv")["dataset"]) == {"stand-in for Something-Something V1"}


def test_what_is_not_drawn_says_why(tmp_path: Path) -> None:
    names = ["table6", "table7", "figure7"]
    experiments = fabricated.load(names, repeats=1).experiments
    nothing = {(arm.name, 0): "missing" for experiment in experiments for arm in experiment.arms}
    tables, attention = tables_of(names, nothing, repeats=1)
    material = FigureMaterial(
        attention,
        classes={("table6", "class_difference_p"): "no finished trial of p=0 with scores by video"},
        sheets={("figure7", "figure9"): "the videos of Kinetics-400 cannot be read here"},
    )
    figures = draw(tables, material, tmp_path)
    assert {name: figure.missing for name, figure in figures.items()} == {
        "class_difference_p": "Not drawn: no finished trial of p=0 with scores by video.",
        "class_difference_hybrid": "Not drawn: scores by video were not collected.",
        "figure5": "Not drawn: no finished trial of STH hybrid+attention recorded attention coefficients.",
        "curves_table7": "Not drawn: no finished trial of (2+1)D sequential, (2+1)D parallel, STH merge, STH hybrid, "
        "STH hybrid+attention has curves.",
        "figure7": "Not drawn: no finished trial of STH hybrid+attention recorded attention coefficients.",
        "figure9": "Not drawn: the videos of Kinetics-400 cannot be read here.",
        "figure10": "Not drawn: its videos were not looked at.",
        "accuracy_by_cost": "Not drawn: no finished trial has both accuracy and cost.",
        "accuracy_by_cost-something_v1": "Not drawn: no finished trial has both accuracy and cost.",
        "accuracy_by_cost-kinetics400": "Not drawn: no finished trial has both accuracy and cost.",
    }
    assert not list(tmp_path.iterdir())


def test_class_differences_say_what_their_intervals_let_vary(tmp_path: Path) -> None:
    tables, _ = tables_of(["table6"])
    key = ("table6", "class_difference_p")
    captions = []
    for repeats in (3, 2):
        found = compare_classes(hits(0.8, repeats=repeats), hits(0.2, repeats=repeats), ("open", "close"))
        material = FigureMaterial(classes={key: found})
        captions.append(draw(tables, material, tmp_path)["class_difference_p"].caption)
    assert "over new videos and new repeats" in captions[0]
    assert "say nothing about other seeds" in captions[1]
    assert "2 of 2, where about 0.1 would by chance alone" in captions[0]
    frame = pd.read_csv(tmp_path / "class_difference_p.csv")
    # 40 videos, classes in turn; 32 right against 8: 16 of 20 against 4 of 20 in either class.
    assert frame["difference_points"].tolist() == [60.0, 60.0]
    assert frame["arm"].tolist() == ["p=1/4", "p=1/4"]
    assert frame["interval_varies"].tolist() == ["videos", "videos"]
    material = FigureMaterial(
        classes={key: found}, confounders={key: (Factor("device", "device", "GPU", "cpu"),)}
    )
    caption = draw(tables, material, tmp_path)["class_difference_p"].caption
    assert caption.startswith("Confounded: the trials of the two arms also differ in device: GPU against cpu")


@pytest.mark.parametrize(("classes", "rows"), [(8, 8), (24, 24), (174, 25), (400, 25)])
def test_of_many_classes_the_ends_are_drawn(tmp_path: Path, classes: int, rows: int) -> None:
    tables, _ = tables_of(["table6"])
    ids, labels = np.array([f"v{n:04d}" for n in range(4 * classes)]), np.arange(4 * classes) // 4
    rng = np.random.default_rng(0)
    arm = {0: VideoHits(ids, labels, rng.random(4 * classes) < 0.6)}
    base = {0: VideoHits(ids, labels, rng.random(4 * classes) < 0.4)}
    found = compare_classes(arm, base, [f"class name {number}" for number in range(classes)])
    material = FigureMaterial(classes={("table6", "class_difference_p"): found})
    draw(tables, material, tmp_path)
    svg = (tmp_path / "class_difference_p.svg").read_text(encoding="utf-8")
    assert svg.count("class name") == min(rows, 24)
    assert (f"{classes - 24} classes between" in svg) == (classes > 24)
    frame = pd.read_csv(tmp_path / "class_difference_p.csv")
    assert len(frame) == classes
    assert frame["difference_points"].is_monotonic_decreasing
    drawn = [frame["class"].iloc[place] for place in (0, min(11, classes - 1), -min(12, classes), -1)]
    assert all(f">{name} (4)<" in svg for name in drawn)


def test_figures_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    tables, attention = tables_of(["table7", "table8"])
    layer = {"kind": "attention_by_layer", "name": "same", "title": "T"}
    first = with_figures(tables[0], FigureSpec(**layer, arms=("STH hybrid+attention",)))
    taken = FigureSpec(**layer | {"name": "accuracy_by_cost"}, arms=("Fixed",))
    second = with_figures(tables[1], FigureSpec(**layer, arms=("Dilated",)), taken)
    assert name_figures([first, second]) == {
        "table7": ("same",),
        "table8": ("table8-same", "table8-accuracy_by_cost"),
    }
    draw([first, second], FigureMaterial(attention), tmp_path)
    assert set(pd.read_csv(tmp_path / "same.csv")["arm"]) == {"STH hybrid+attention"}
    assert set(pd.read_csv(tmp_path / "table8-same.csv")["arm"]) == {"Dilated"}
