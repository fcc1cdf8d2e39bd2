"""Figures: what is drawn is what the frame holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.analysis.tables import TableResult, build_table
from study.reporting.colors import Look, assign_looks
from study.reporting.figures import save_figure
from study.reporting.figures.accuracy import MOST_NAMED, draw_accuracy_by_cost
from study.reporting.figures.attention import (
    describe_range,
    draw_attention_by_group,
    draw_attention_by_layer,
)
from study.reporting.figures.curves import draw_training_curves
from study.reporting.figures.frames import attention_frame, cost_frame, curve_frame
from study.reporting.figures.style import count_repeats, describe_band, wrap
from study.reporting.report import ReportSource
from study.spec.resolved import UsedDataset
from tests import fabricated

NASTY = "$\\frac$ _<b>\u2192"


def table_of(source: ReportSource, place: int) -> TableResult:
    return build_table(source.views[place], source.runs)


def attention_of(source: ReportSource, place: int) -> pd.DataFrame:
    table = table_of(source, place)
    wanted = table.experiment.spec.figures[0].arms
    rows = [row for row in table.rows if row.arm.name in wanted]
    return attention_frame(rows, table.datasets, source.attention)


def synthetic_attention(**groups: list[float]) -> pd.DataFrame:
    """Two blocks; the temporal coefficient of each repeat, the same in both blocks."""
    rows = [
        {"group": name, "index": index, "site": f"s{index}", "repeat": repeat, "alpha_t": value}
        for name, values in groups.items()
        for repeat, value in enumerate(values)
        for index in range(2)
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(alpha_s=1 - frame["alpha_t"])


def looks_of(*names: str) -> dict[str, Look]:
    return assign_looks([names])


def curves_in(axes: Axes, points: int) -> list[np.ndarray]:
    return [
        np.asarray(line.get_ydata(), float) for line in axes.lines if line.get_marker() not in ("None", "")
    ]


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_attention_by_layer_draws_the_mean_over_repeats(source: ReportSource) -> None:
    frame = attention_of(source, 1)
    assert len(frame) == 2 * fabricated.BLOCKS
    axes = draw_attention_by_layer(frame, "title").axes[0]
    curves = curves_in(axes, fabricated.BLOCKS)
    # Fabricated: alpha_t = 0.35 + 0.03 index + 0.01 repeat - 0.1 p with p = 1/4, and alpha_s = 1 - alpha_t.
    expected = np.array([0.35 + 0.03 * index + 0.01 * 0.5 - 0.025 for index in range(8)])
    assert np.allclose(curves[0], 1 - expected)
    assert np.allclose(curves[1], expected)
    assert [label.get_text() for label in axes.get_xticklabels()][:2] == ["layer1.0.conv2", "layer1.1.conv2"]


def test_the_band_is_one_sample_deviation_each_way() -> None:
    axes = draw_attention_by_group(synthetic_attention(a=[0.6, 0.7, 0.8]), "t", looks_of("a")).axes[1]
    band = axes.collections[0].get_paths()[0].vertices
    # Mean 0.7, sample deviation 0.1.
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.6, 0.8))


def test_a_single_repeat_has_no_band() -> None:
    axes = draw_attention_by_group(synthetic_attention(a=[0.6]), "t", looks_of("a")).axes[1]
    assert not axes.collections
    assert describe_band({"a": 1}) == "Lines: 1 repeat, so no spread over repeats is shown."


def test_attention_by_arm_has_a_curve_for_each_arm_in_its_look(source: ReportSource) -> None:
    frame = attention_of(source, 3)
    known = looks_of("p=1/8", "p=1/4", "p=1/2", "other")
    looks = {arm: known[arm] for arm in ("p=1/8", "p=1/4", "p=1/2")}
    spatial, temporal = draw_attention_by_group(frame.assign(group=frame["arm"]), "title", looks).axes
    for axes, sign in ((spatial, -1), (temporal, 1)):
        lines = [line for line in axes.lines if len(line.get_xdata()) == fabricated.BLOCKS]
        assert [(line.get_color(), line.get_marker()) for line in lines] == [
            (look.color, look.marker) for look in looks.values()
        ]
        first = [float(np.asarray(line.get_ydata())[0]) for line in lines]
        assert first == sorted(first, reverse=sign > 0)  # fewer temporal kernels, more weight: as fabricated


def test_noise_around_one_half_does_not_fill_the_axis() -> None:
    frame = synthetic_attention(a=[0.5001, 0.4999])
    for axes in draw_attention_by_group(frame, "t", looks_of("a")).axes:
        low, high = axes.get_ylim()
        assert low <= 0.4
        assert high >= 0.6
    assert describe_range(frame) == (
        "All values of single repeats lie within 0.0001 of 0.5: the coefficients hardly moved."
    )
    assert describe_range(synthetic_attention(a=[0.4, 0.7])) == (
        "Values of single repeats lie between 0.300 and 0.700."
    )


def test_neither_panel_cuts_what_the_other_one_needs() -> None:
    """The panels share their range: spatial coefficients below 0.5, temporal ones above."""
    figure = draw_attention_by_group(synthetic_attention(a=[0.8, 0.9], b=[0.5, 0.5]), "t", looks_of("a", "b"))
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low < 0.15 - 0.0707
        assert high > 0.85 + 0.0707


def test_networks_with_different_blocks_share_their_numbers_only() -> None:
    frame = synthetic_attention(a=[0.6], b=[0.7])
    frame.loc[frame["group"] == "b", "site"] = "other" + frame["index"].astype(str)
    axes = draw_attention_by_group(frame, "t", looks_of("a", "b")).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2"]


def test_folds_of_a_repeat_are_averaged_before_anything_is_spread(source: ReportSource) -> None:
    table = table_of(source, 1)
    row = next(row for row in table.rows if row.arm.name == "STH hybrid+attention")
    (accuracy,) = row.accuracies
    first, second = (result for result in accuracy.repeats)
    # As if the two repeats were two folds of one.
    both = replace(first, trial_id="", folds=(first, second))
    folded = replace(row, accuracies=(replace(accuracy, repeats=(both,)),))
    frame = attention_frame([folded], table.datasets, source.attention)
    assert len(frame) == fabricated.BLOCKS
    assert frame["trial_id"].iloc[0] == f"{first.trial_id}+{second.trial_id}"
    assert frame["alpha_t"].iloc[0] == pytest.approx(0.35 + 0.01 * 0.5 - 0.025)


def test_curves_are_those_of_finished_trials(source: ReportSource) -> None:
    table = table_of(source, 1)
    trials = {trial.trial_id: trial for row in table.rows for trial in row.trials}
    curves = pd.DataFrame(
        [
            {
                "trial_id": name,
                "metric": "train/top1",
                "step": epoch,
                "value": 0.1 * epoch + 0.2 * trial.repeat,
            }
            for name, trial in trials.items()
            for epoch in (1, 2, 3)
        ]
    )
    frame = curve_frame(table.rows, UsedDataset(), curves)
    # Of "STH merge" repeat 1 failed; "(2+1)D parallel" was stopped.
    assert set(frame[frame["arm"] == "STH merge"]["repeat"]) == {0}
    assert "(2+1)D parallel" not in set(frame["arm"])
    looks = {row.arm.label: Look((0.0, 0.0, 0.0), "o") for row in table.rows}
    (axes,) = draw_training_curves(frame, "t", looks).axes
    hybrid, merge = (
        next(
            c
            for c, name in zip(curves_in(axes, 3), list(dict.fromkeys(frame["arm"])), strict=True)
            if name == arm
        )
        for arm in ("STH hybrid", "STH merge")
    )
    # Percent: 10 an epoch, 20 a repeat, over repeats 0 and 1; and over repeat 0 alone.
    assert np.allclose(hybrid, [20, 30, 40])
    assert np.allclose(merge, [10, 20, 30])
    assert axes.get_title() == "training top-1, %"


def test_a_metric_of_a_single_epoch_has_no_panel() -> None:
    rows = [("train/loss", 1, 2.0), ("train/loss", 2, 1.0), ("val/top1", 2, 0.5)]
    frame = pd.DataFrame(rows, columns=["metric", "epoch", "value"]).assign(arm="a", repeat=0)
    figure = draw_training_curves(frame, "t", looks_of("a"))
    assert [axes.get_title() for axes in figure.axes] == ["training loss"]


def test_arms_that_are_the_same_trials_are_one_point(source: ReportSource) -> None:
    tables = [table_of(source, place) for place in range(4)]
    frame = cost_frame(tables)
    names = frame["names"].tolist()
    assert "p=1/4 (table6)\n= STH hybrid (table7)" in names
    assert "STH hybrid+attention (table7)\n= Fixed (table8)\n= p=1/4 (figure6)" in names
    # 4 + 5 + 2 + 3 rows, less the shared ones (1 + 2), less the arm that was stopped.
    assert len(frame) == 14 - 3 - 1
    looks = assign_looks([row.arm.name for row in table.rows] for table in tables)
    figure = draw_accuracy_by_cost(frame, "title", looks)
    assert sorted(legend_of(figure)) == sorted(names)
    heights = frame.set_index("names")["top1_percent"]
    assert [heights[text] for text in legend_of(figure)] == sorted(heights, reverse=True)


def test_one_look_that_stands_for_two_points_differs_in_its_fill(source: ReportSource) -> None:
    tables = [table_of(source, place) for place in range(4)]
    looks = assign_looks([row.arm.name for row in table.rows] for table in tables)
    figure = draw_accuracy_by_cost(cost_frame(tables), "title", looks)
    marks = {
        (line.get_color(), line.get_marker(), line.get_fillstyle())
        for line in figure.legends[0].legend_handles
    }
    assert len(marks) == 10


def test_of_many_arms_the_most_accurate_are_named() -> None:
    count = MOST_NAMED + 6
    frame = pd.DataFrame(
        {
            "arm": [f"a{number}" for number in range(count)],
            "names": [f"a{number} (t)" for number in range(count)],
            "gmacs_per_view": np.geomspace(1, 100, count),
            "top1_percent": np.arange(count, dtype=float),
            "top1_std": None,
        }
    )
    figure = draw_accuracy_by_cost(frame, "title", looks_of(*frame["arm"]))
    assert legend_of(figure) == [f"a{number} (t)" for number in range(count - 1, 5, -1)]
    shown = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert len(shown) == count
    assert figure.axes[0].get_xscale() == "log"


def test_what_names_hold_is_no_formula_and_hides_nothing(tmp_path: Path) -> None:
    names = (NASTY, "_hidden", "x" * 80)
    frame = synthetic_attention(**{name: [0.6, 0.61] for name in names})
    figure = draw_attention_by_group(frame, NASTY, looks_of(*names))
    save_figure(figure, frame, tmp_path / "f")
    assert sorted(text.replace("\n", "") for text in legend_of(figure)) == sorted(names)
    assert "$\\frac$ _&lt;b&gt;" in (tmp_path / "f.svg").read_text(encoding="utf-8")


def test_the_legend_lies_within_the_figure_and_off_the_panels() -> None:
    names = [f"a rather long name of an arm, the {number}th of twenty" for number in range(20)]
    frame = synthetic_attention(**{name: [0.6, 0.61] for name in names})
    figure = draw_attention_by_group(frame, "t", looks_of(*names))
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    for axes in figure.axes:
        assert axes.get_tightbbox().y0 >= box.y1
        assert axes.get_position().height * figure.get_figheight() > 1.5


def test_the_same_frame_gives_the_same_bytes(tmp_path: Path) -> None:
    frame = synthetic_attention(a=[0.6, 0.7], b=[0.5, 0.4])
    written = []
    for folder in ("one", "two"):
        figure = draw_attention_by_group(frame, "t", looks_of("a", "b"))
        written.append([path.read_bytes() for path in save_figure(figure, frame, tmp_path / folder / "f")])
    assert written[0] == written[1]
    assert b"\r" not in written[0][2]
    assert written[0][2].count(b"\n") == 1 + len(frame)


def test_repeats_are_counted_in_words() -> None:
    assert count_repeats({"a": 3, "b": 3}) == "3 repeats"
    assert count_repeats({"a": 3, "b": 1}) == "3 repeats of a, 1 of b"
    assert describe_band({"a": 3, "b": 1}).startswith(
        "Lines: mean over 3 repeats of a, 1 of b; bands: one sample"
    )


def test_names_are_wrapped_and_their_lines_kept() -> None:
    assert wrap("one\n= two three", 6) == "one\n= two\nthree"
    assert wrap("", 6) == ""
