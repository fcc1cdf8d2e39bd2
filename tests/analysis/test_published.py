"""The paper's numbers: typed, complete, and equal to a second transcription."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from study.analysis.published import load_published
from study.errors import SpecError
from study.spec.yaml import load_document
from tests import fabricated

# Typed anew from the paper, row by row: cost, parameters, top-1, top-5.
ABLATIONS = {
    "table6": {
        "0": (33.3, 24.4, 19.7, 46.6),
        "1/8": (32.2, 23.1, 46.6, 76.8),
        "1/4": (30.5, 22.0, 46.8, 77.1),
        "1/2": (28.5, 20.3, 45.1, 76.0),
    },
    "table7": {
        "(2+1)D sequential": (37.9, 27.6, 42.7, 72.5),
        "(2+1)D parallel": (37.9, 27.6, 45.4, 76.3),
        "STH merge": (30.5, 22.0, 45.9, 76.5),
        "STH hybrid": (30.5, 22.0, 46.8, 77.1),
        "STH hybrid+attention": (30.5, 23.2, 47.8, 77.9),
    },
    "table8": {"Fixed": (30.5, 23.2, 47.8, 77.9), "Dilated": (30.5, 23.2, 48.4, 78.2)},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablation_tables_hold_what_the_paper_prints(name: str) -> None:
    table = load_published(name)
    columns = ("gflops", "params_m", "top1", "top5")
    assert {row.row: tuple(row.values[column] for column in columns) for row in table.rows} == ABLATIONS[name]


@pytest.mark.shared
@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, 9])
def test_every_number_stands_in_the_text_of_the_paper_in_this_order(number: int, shared_dir: Path) -> None:
    text = (shared_dir / "paper" / "sth.md").read_text(encoding="utf-8")
    block = text[text.index(f"**Table {number}.**") :].split("\n\n")[1]
    table = load_published(f"table{number}")
    printed = [
        number
        for line in block.splitlines()
        for cell in re.sub(r"</?b>|\$.*?\$|\[\d+\]", "", line).split("\t")
        for number in [cell.replace("×", " × ").replace("  ", " ").strip()]
        if re.fullmatch(r"\d+(\.\d+)?( × \d+)?", number)
    ]
    numeric = {name for name, column in table.columns.items() if column.unit != "text"}
    transcribed = [
        (value if isinstance(value, str) else f"{value:g}")
        for row in table.rows
        for name, value in row.values.items()
        if name in numeric and value is not None
    ]
    # Cells of merged rows and of text columns are in the print only.
    remaining = iter(f"{float(cell):g}" if "×" not in cell else cell for cell in printed)
    missing = [value for value in transcribed if value not in remaining]
    assert missing == []


@pytest.mark.shared
def test_every_number_of_table_2_stands_in_its_text(shared_dir: Path) -> None:
    """Its rows are shifted in the text, so the order tells nothing; the numbers are all there, and no others."""
    text = (shared_dir / "paper" / "sth.md").read_text(encoding="utf-8")
    block = text[text.index("**Table 2.**") : text.index("### 4.3")]
    printed = set(re.findall(r"\d+(?:\.\d+)?", block))
    numeric = ("gflops", "params_m", "top1", "top5", "test_top1")
    rows = load_published("table2").rows
    values = [row.values[name] for row in rows for name in numeric if row.values[name] is not None]
    assert [value for value in values if set(str(value).split(" × ")) - printed] == []
    accuracies = [
        cell for row in block.splitlines() for cell in row.replace("<b>", "").replace("</b>", "").split("\t")
    ]
    accuracies = [
        cell
        for cell in accuracies
        if re.fullmatch(r"\d\d\.\d", cell) and cell not in ("24.3", "18.3", "31.8")
    ]
    ours = [str(value) for value in values]
    assert [cell for cell in accuracies if cell not in ours] == []


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table5", "table9"])
def test_every_row_of_a_comparison_is_asked_for_in_the_order_of_the_print(name: str) -> None:
    document = load_document(fabricated.EXPERIMENTS / f"{name}.yaml")
    asked = [arm["published"] for arm in document.data["arms"] if "published" in arm]
    assert asked == [row.row for row in load_published(name).rows]


@pytest.mark.parametrize("name", ["table6", "table7", "table8"])
def test_every_arm_of_an_experiment_finds_its_row(name: str) -> None:
    experiment = fabricated.load([name]).experiments[0]
    assert experiment.spec.published == name
    table = load_published(name)
    rows = [table.row(row.spec.published or "") for row in experiment.rows]
    assert rows == list(table.rows)


def test_doubtful_cells_are_marked() -> None:
    doubtful = {(cell.row, cell.column) for cell in load_published("table6").iter_cells() if cell.doubt}
    costs = {(row, column) for row in ("0", "1/8", "1/2") for column in ("gflops", "params_m")}
    assert doubtful == costs | {("0", "top1"), ("0", "top5")}
    assert load_published("table6").row("0").origin == "cited"


def test_products_are_read_as_numbers() -> None:
    cells = {(cell.row, cell.column): cell for cell in load_published("table5").iter_cells()}
    assert cells["TSN", "gflops"].number == 65 * 30
    assert cells["C3D", "gflops"].number is None
    assert cells["TSN", "backbone"].number is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("top1: 46.8", "top1: high"), "'high' is no percent"),
        (('row: "1/4"', 'row: "1/8"'), "rows named twice: 1/8"),
        (("top5: 77.1", "top6: 77.1"), "row '1/4': expected the columns gflops"),
        (("    doubts:\n      gflops:", "    doubts:\n      speed:"), "doubts about no column: speed"),
        (("origin: measured", "origin: guessed"), "origin"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    source = Path(__file__).parents[2] / "reports" / "published" / "table6.yaml"
    text = source.read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "table6.yaml").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(SpecError, match=re.escape(message)):
        load_published("table6", tmp_path)


def test_unknown_tables_and_rows_name_what_there_is() -> None:
    with pytest.raises(SpecError, match="did you mean 'table6'"):
        load_published("tabel6")
    with pytest.raises(SpecError, match="Allowed: 0, 1/2, 1/4, 1/8"):
        load_published("table6").row("3/4")
