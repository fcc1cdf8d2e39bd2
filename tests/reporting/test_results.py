"""Cells of a table: what is no plain number has a sign, a word and a reason, and each looks different."""

from __future__ import annotations

from dataclasses import replace

import pytest

from study.analysis.evidence import Evidence
from study.analysis.factors import Factor
from study.analysis.repeats import TrialRef
from study.analysis.tables import ExperimentView, build_table
from study.reporting.claims import claims_frame
from study.reporting.display import Cell, Display, read_number, show_signed
from study.reporting.html_table import table_html
from study.reporting.report import ReportSource
from study.reporting.results import build_display
from study.reporting.signs import SIGNS
from study.reporting.texts import table_markdown
from tests import fabricated
from tests.reporting.conftest import CLAIMS, fabricate


def show(source: ReportSource, view: ExperimentView | None = None) -> Display:
    return build_display(build_table(view or source.views[0], source.runs))


def row_of(display: Display, label: str) -> tuple[Cell, ...]:
    return next(row for row in display.rows if row[0].text.removesuffix(" (baseline)") == label)


@pytest.fixture
def table8() -> ReportSource:
    return fabricate(fabricated.load(["table8"], repeats=2).experiments, {})


@pytest.mark.parametrize("status", ["failed", "stopped", "interrupted", "running", "missing"])
def test_a_trial_without_a_number_says_which_of_the_five(status: str) -> None:
    outcomes = {("Dilated", repeat): status for repeat in (0, 1)}
    display = show(fabricate(fabricated.load(["table8"], repeats=2).experiments, outcomes))
    top1, delta, top5 = row_of(display, "Dilated")[1:4]
    assert top1.shown == f"{SIGNS[status].word} {SIGNS[status].sign}"
    assert (delta.shown, top5.shown) == (SIGNS[status].sign,) * 2
    assert [cell.sort_number for cell in (top1, delta, top5)] == [None] * 3
    note = display.notes[top1.notes[0] - 1]
    assert note.startswith("Repeats 0, 1")
    assert (f"the reason it {status}" if status != "missing" else "not run yet") in note
    # The legend explains what occurs and nothing else.
    assert [sign.word for sign in display.signs if sign.word != "not applicable"] == [status]
    assert f'class="{status}"' in table_html(display)


def test_stale_partial_and_confounded_numbers_are_three_things(table8: ReportSource) -> None:
    view = table8.views[0]
    first, second = view.trials["Dilated"]
    stale = {**view.trials, "Dilated": [replace(first, state="stale", reason="code changed"), second]}
    shown = row_of(show(table8, replace(view, trials=stale)), "Dilated")
    assert shown[1].shown == "75.5 ± 0.7 †"
    assert shown[2].shown == "−7.0 ± 0.0 †"  # 82.0 and 83.0 for the baseline
    partial = {**view.trials, "Dilated": [first, TrialRef(1, "none", "missing", "left out")]}
    shown = row_of(show(table8, replace(view, trials=partial)), "Dilated")
    assert shown[1].shown == "75.0 (n = 1) ◐"
    factor = Factor("device", "device", "cpu", "NVIDIA H200")
    evidence = Evidence(confounders={("Dilated", ""): (factor,)})
    display = show(table8, replace(view, evidence=evidence, trials=stale))
    delta = row_of(display, "Dilated")[2]
    assert delta.shown == "−7.0 ± 0.0 ‡†"
    assert "device: cpu against NVIDIA H200" in display.notes[delta.notes[0] - 1]
    assert [sign.word for sign in display.signs] == ["stale", "confounded"]
    markdown = table_markdown(display, "")
    assert "‡ confounded:" in markdown
    assert "◐" not in markdown
    assert 'class="confounded stale"' in table_html(display)


def test_a_stale_baseline_makes_every_difference_stale(table8: ReportSource) -> None:
    view = table8.views[0]
    refs = [replace(ref, state="stale", reason="code changed") for ref in view.trials["Fixed"]]
    rows = show(table8, replace(view, trials={**view.trials, "Fixed": refs}))
    assert row_of(rows, "Dilated")[1].shown == "75.5 ± 0.7"
    assert row_of(rows, "Dilated")[2].states == ("stale",)


def test_what_cannot_be_measured_is_not_missing() -> None:
    source = fabricate(fabricated.load(["table2"], repeats=1).experiments, {})
    display = show(source)
    row = next(row for row, spec in zip(display.rows, source.views[0].experiment.rows, strict=True)
               if spec.spec.published_only)  # fmt: skip
    assert {cell.shown for cell in row[1:6]} == {"n/a"}
    assert {cell.state for cell in row[1:6]} == {"not applicable"}
    assert "Not built:" in display.notes[row[0].notes[-1] - 1]


def test_a_difference_without_a_common_repeat_says_so(table8: ReportSource) -> None:
    view = table8.views[0]
    fixed, dilated = view.trials["Fixed"], view.trials["Dilated"]
    none = [TrialRef(repeat, "none", "missing", "left out") for repeat in (0, 1)]
    apart = {"Fixed": [fixed[0], none[1]], "Dilated": [none[0], dilated[1]]}
    display = show(table8, replace(view, trials={**view.trials, **apart}))
    delta = row_of(display, "Dilated")[2]
    assert delta.shown == "○"
    assert "no finished repeat in common" in display.notes[delta.notes[0] - 1]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("80.5 ± 0.7", 80.5),
        ("−7.0* [−9.1, −4.9] (n = 2)", -7.0),
        ("+40.2* [+36.1, +44.3]", 40.2),
        ("33 × 6", 198.0),
        ("0", 0.0),
        ("3D ResNet", None),
        ("1/4", None),
        ("—", None),
        ("n/a", None),
        ("stopped", None),
    ],
)
def test_numbers_are_read_as_tables_print_them(text: str, number: float | None) -> None:
    assert read_number(text) == number


def test_what_rounds_to_nothing_has_no_sign() -> None:
    assert [show_signed(value) for value in (0.04, -0.04, 0.06, -0.06)] == ["0.0", "0.0", "+0.1", "−0.1"]


def test_without_claims_their_frame_keeps_its_columns() -> None:
    empty, full = claims_frame(()), claims_frame(CLAIMS)
    assert list(empty.columns) == list(full.columns)
    assert len(empty) == 0
    assert full["by_repeat"].tolist() == ["2 2.5", "", ""]
