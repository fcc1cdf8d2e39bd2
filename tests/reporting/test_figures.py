"""Figures: what is drawn is what the frame holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.analysis.tables import build_table
from study.reporting.colors import assign_colors
from study.reporting.figures import draw_accuracy_by_cost, draw_attention_by_arm, draw_attention_by_layer
from study.reporting.plots import attention_frame, cost_frame
from study.reporting.report import ReportSource
from tests import fabricated


def attention_of(source: ReportSource, place: int) -> pd.DataFrame:
    table = build_table(source.views[place], source.runs)
    return attention_frame(table.experiment.spec.figures[0], table, source.attention)


def test_attention_by_layer_draws_the_mean_over_repeats(source: ReportSource) -> None:
    frame = attention_of(source, 1)
    assert len(frame) == 2 * fabricated.BLOCKS
    axes = draw_attention_by_layer(frame, "title").axes[0]
    curves = [np.asarray(line.get_ydata(), float) for line in axes.lines if len(line.get_xdata()) == 8]
    # Fabricated: alpha_t = 0.35 + 0.03 index + 0.01 repeat - 0.1 p with p = 1/4, and alpha_s = 1 - alpha_t.
    expected = np.array([0.35 + 0.03 * index + 0.01 * 0.5 - 0.025 for index in range(8)])
    assert np.allclose(curves[0], 1 - expected)
    assert np.allclose(curves[1], expected)
    assert [label.get_text() for label in axes.get_xticklabels()][:2] == ["layer1.0.conv2", "layer1.1.conv2"]


def test_attention_by_arm_has_a_curve_for_each_arm_in_its_color(source: ReportSource) -> None:
    frame = attention_of(source, 3)
    colors = assign_colors(["p=1/8", "p=1/4", "p=1/2", "other"])
    spatial, temporal = draw_attention_by_arm(frame, "title", colors).axes
    for axes, sign in ((spatial, -1), (temporal, 1)):
        curves = [line for line in axes.lines if len(line.get_xdata()) == fabricated.BLOCKS]
        assert [line.get_color() for line in curves] == [colors[arm] for arm in ("p=1/8", "p=1/4", "p=1/2")]
        first = [float(np.asarray(line.get_ydata())[0]) for line in curves]
        assert first == sorted(first, reverse=sign > 0)  # fewer temporal kernels, more weight: as fabricated


def test_arms_that_are_the_same_trials_are_one_point(source: ReportSource) -> None:
    tables = [build_table(view, source.runs) for view in source.views]
    frame = cost_frame(tables)
    names = frame["names"].tolist()
    assert "p=1/4 (table6)\n= STH hybrid (table7)" in names
    assert "STH hybrid+attention (table7)\n= Fixed (table8)\n= p=1/4 (figure6)" in names
    # 4 + 5 + 2 + 3 rows, less the shared ones (1 + 2), less the arm that was stopped.
    assert len(frame) == 14 - 3 - 1
    colors = assign_colors(row.arm.name for table in tables for row in table.rows)
    figure = draw_accuracy_by_cost(frame, "title", colors)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(texts) == sorted(names)
    heights = frame.set_index("names")["top1_percent"]
    assert [heights[text] for text in texts] == sorted(heights, reverse=True)


@pytest.mark.parametrize("count", [1, 3, 10, 11, 25])
def test_colors_are_distinct_and_keyed_by_name(count: int) -> None:
    names = [f"arm {number}" for number in range(count)]
    colors = assign_colors(names)
    assert len(set(colors.values())) == count
    assert assign_colors(reversed(names)) == colors
    assert all(0 <= part <= 1 for color in colors.values() for part in color)


def test_a_dollar_sign_in_a_name_is_no_formula(source: ReportSource) -> None:
    frame = attention_of(source, 3).assign(arm="$\\frac")
    draw_attention_by_arm(frame, "$\\frac", {"$\\frac": (0.0, 0.0, 0.0)}).canvas.draw()
