"""Tables of speeds: what is measured, what is printed, and what is held against what."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from study.analysis.published import load_published
from study.analysis.runtime import RuntimeTable, build_runtime_table
from study.reporting.display import Cell, Display
from study.reporting.html_table import table_html
from study.reporting.latex import table_latex
from study.reporting.runtime import CHECK, MEASURED, PUBLISHED, build_speed_displays, speed_frame
from study.reporting.texts import table_markdown
from study.spec.resolved import Row
from tests.fabricated_runtime import WOBBLE, fabricate_record, load, steady
from tests.reporting.conftest import NASTY

TABLE9 = load()
HINTS = {"table9": "uv run run_study.py bench table9 --profile laptop"}
NEAR = [0.5 * one * (1.03 if number % 2 else 0.97) for number, one in enumerate(WOBBLE)]


def make_table(**changed: object) -> RuntimeTable:
    times = {"TSM 8f": steady(0.5), "STH 8f": steady(0.6), "STH 16f": NEAR, "I3D": "OutOfMemoryError: 96 GiB"}
    record = fabricate_record(TABLE9, times, **changed)  # type: ignore[arg-type]
    return build_runtime_table(TABLE9, record, published=load_published("table9"))


def show(table: RuntimeTable) -> Display:
    return build_speed_displays([table], HINTS)[0]


def read_row(display: Display, label: str) -> dict[tuple[str, str], Cell]:
    row = next(cells for cells in display.rows if cells[0].text == label)
    return {(column.group, column.header): cell for column, cell in zip(display.columns, row, strict=True)}


def test_measured_and_printed_stand_in_columns_of_their_own() -> None:
    display = show(make_table())
    sth = read_row(display, "STH 8f")
    assert sth[MEASURED, "latency, ms"].text == "600 [594, 606]"
    assert sth[MEASURED, "wall, ms"].text == "1200 [1188, 1212]"
    assert sth[MEASURED, "videos/s"].text == "3.33 [3.30, 3.37]"
    assert sth[MEASURED, "peak, GiB"].text == "0.250"
    assert sth[MEASURED, "speed over TSM 8f"].text == "0.833 [0.833, 0.833]"
    assert sth[PUBLISHED, "videos/s"].text == "68.8"
    assert sth[PUBLISHED, "speed over TSM 8f"].text == "0.86"
    # 0.833 is below every ratio of numbers that round to 68.8 and 80.4.
    assert sth[CHECK, "ratio"].text == "lower"
    assert (CHECK, "videos/s") not in sth
    for column in display.columns:
        assert column.published == (column.group == PUBLISHED)
    reference = read_row(display, "TSM 8f (reference)")
    assert reference[MEASURED, "speed over TSM 8f"].text == "1"
    assert display.rows[display.baseline or 0][0].text == "TSM 8f (reference)"


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ({"native": 16}, "Layers of STH-Conv ran on our compiled kernels for CPUs."),
        ({"library": 16}, "Layers of STH-Conv ran on PyTorch's convolutions."),
        (
            {"native": 12, "library": 4},
            "Layers of STH-Conv ran on our compiled kernels for CPUs (12 of 16) and PyTorch's convolutions (4 of 16).",
        ),
    ],
)
def test_what_ran_sth_conv_is_named(layers: dict[str, int], text: str) -> None:
    table = make_table(sth_layers={"STH 8f": layers})
    display = show(table)
    (mark,) = read_row(display, "STH 8f")[MEASURED, "latency, ms"].notes
    assert display.notes[mark - 1] == text
    assert read_row(display, "TSM 8f (reference)")[MEASURED, "latency, ms"].notes == ()
    frame = speed_frame(table).set_index("arm")
    assert json.loads(frame.loc["STH 8f", "sth_layers"]) == layers
    assert pd.isna(frame.loc["TSM 8f", "sth_layers"])


def test_a_ratio_that_meets_the_print_agrees() -> None:
    times = {"TSM 8f": [0.688] * 11, "STH 8f": [0.804] * 11}
    table = build_runtime_table(TABLE9, fabricate_record(TABLE9, times), published=load_published("table9"))
    assert read_row(show(table), "STH 8f")[CHECK, "ratio"].text == "agrees"
    level = fabricate_record(TABLE9, {"TSM 8f": [0.7] * 11, "STH 8f": [0.7] * 11})
    above = build_runtime_table(TABLE9, level, published=load_published("table9"))
    assert read_row(show(above), "STH 8f")[CHECK, "ratio"].text == "higher"


def test_speeds_are_held_against_the_print_on_the_papers_gpu() -> None:
    display = show(make_table(device="cuda: NVIDIA GeForce GTX 1080 Ti", batch=16))
    sth = read_row(display, "STH 8f")
    assert sth[CHECK, "videos/s"].text == "lower"
    assert (MEASURED, "wall, ms") not in sth
    assert "speeds and ratios are held against them" in display.legend
    assert display.name == "table9_speed-cuda-inference-b16-fp32"


def test_what_is_not_there_says_why() -> None:
    display = show(make_table())
    i3d = read_row(display, "I3D")[MEASURED, "latency, ms"]
    assert i3d.state == "missing"
    assert [display.notes[number - 1] for number in i3d.notes] == ["OutOfMemoryError: 96 GiB."]
    unbuilt = read_row(display, "ABM-A-in")[MEASURED, "latency, ms"]
    assert unbuilt.state == "not applicable"
    assert display.notes[unbuilt.notes[0] - 1].startswith("Not built: ")
    near = read_row(display, "STH 16f")[MEASURED, "speed over TSM 8f"]
    assert "Within the spread" in display.notes[near.notes[0] - 1]


def test_a_table_without_measurements_names_the_command() -> None:
    table = build_runtime_table(TABLE9, None, published=load_published("table9"))
    display = show(table)
    assert display.name == "table9_speed"
    cell = read_row(display, "STH 8f")[MEASURED, "latency, ms"]
    assert cell.state == "missing"
    assert HINTS["table9"] in display.notes[cell.notes[0] - 1]
    assert HINTS["table9"] in display.legend
    assert read_row(display, "STH 8f")[PUBLISHED, "videos/s"].text == "68.8"
    assert speed_frame(table)["latency_ms"].isna().all()


def test_the_legend_says_what_was_done_and_the_frame_holds_it() -> None:
    table = make_table()
    legend = show(table).legend
    for part in (
        "1 thread, process CPU time",
        "cpu: Some CPU",
        "torch 2.15.0",
        "each of 11 rounds",
        "after 2 that",
    ):
        assert part in legend
    assert "Fastest first: " in legend
    frame = speed_frame(table).set_index("arm")
    assert frame.loc["STH 8f", "latency_ms"] == pytest.approx(600)
    assert frame.loc["STH 8f", "speed_ratio_q3"] == pytest.approx(5 / 6)
    assert frame.loc["STH 8f", "published_videos_per_s"] == 68.8
    assert frame.loc["STH 8f", "order"] == "slower"
    assert frame.loc["STH 16f", "order"] == "within the spread"
    assert frame.loc["I3D", "reason"] == "OutOfMemoryError: 96 GiB"


def test_two_devices_have_two_files() -> None:
    tables = [make_table(), make_table(device="cpu: Another CPU")]
    assert [one.name for one in build_speed_displays(tables, HINTS)] == [
        "table9_speed-cpu-inference-b2-fp32",
        "table9_speed-cpu-inference-b2-fp32-2",
    ]


def test_names_of_arms_and_reasons_are_escaped() -> None:
    rows = tuple(
        Row(row.spec.model_copy(update={"label": NASTY}), row.arms)
        if row.name in ("STH 8f", "TSM 8f")
        else row
        for row in TABLE9.rows
    )
    experiment = replace(TABLE9, rows=rows)
    record = fabricate_record(
        experiment, {"TSM 8f": steady(0.5), "STH 8f": steady(0.6), "I3D": NASTY}, device=f"cpu: {NASTY}"
    )
    display = show(build_runtime_table(experiment, record, published=load_published("table9")))
    assert "<script>" not in table_html(display)
    assert "&lt;script&gt;" in table_html(display)
    assert "<script>" not in table_markdown(display, "")
    latex = table_latex(display)
    assert r"100\%" in latex
    assert "#{y}" not in latex.replace(r"\#\{y\}", "")
