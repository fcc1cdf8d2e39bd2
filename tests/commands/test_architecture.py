"""Table 1 beside the print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from study.commands import architecture
from study.reporting.display import Display
from study.running.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.at(tmp_path_factory.mktemp("architecture"))


@pytest.fixture(scope="module")
def table(store: Store) -> Display:
    shown = architecture.show_architecture(store)
    assert shown is not None
    return shown


def row(table: Display, label: str) -> list[str]:
    return next([cell.text for cell in cells] for cells in table.rows if cells[0].text == label)


def test_built_and_printed_stand_side_by_side(table: Display) -> None:
    assert table.groups == [("", 1), ("built here", 6), ("published", 5)]
    assert [column.published for column in table.columns] == [False] * 7 + [True] * 5
    assert row(table, "Conv4_x") == [
        *("Conv4_x", "1024 × 8 × 14 × 14", "256", "256"),
        *("1024", "6", "6.509", "1024 × 8 × 14 × 14", "1024", "256", "1024", "6"),
    ]
    assert row(table, "Conv1")[1:3] == ["64 × 8 × 112 × 112", "64 (1 × 7 × 7)"]
    assert row(table, "all")[6] == "21.978"
    assert all(len(cells) == len(table.columns) for cells in table.rows)


def test_only_the_first_convolutions_are_marked_as_not_built_so(table: Display) -> None:
    marked = {
        (cells[0].text, table.columns[number].header)
        for cells in table.rows
        for number, cell in enumerate(cells)
        if cell.notes
    }
    assert marked == {(f"Conv{stage}_x", "1 × 1 × 1") for stage in (2, 3, 4, 5)}
    assert len(table.notes) == 1
    assert table.notes[0].startswith("Not as built: in ResNet-50 this convolution is as wide as the one")


def test_the_frame_keeps_both_apart(table: Display) -> None:
    frame = table.to_frame().set_index("stage")
    assert frame.loc["Conv2_x", "layer_channels"] == "64; 64; 256"
    assert frame.loc["Conv2_x", "published_first"] == 256
    assert frame.loc["Conv2_x", "params"] == 197_376
    assert frame["published_first"].notna().sum() == 4


def test_a_second_time_it_comes_from_the_store_and_without_torch(table: Display, store: Store) -> None:
    code = (
        "import sys\n"
        "from study.commands.architecture import show_architecture\n"
        "from study.running.store import Store\n"
        f"print(show_architecture(Store.at({str(store.root)!r})).rows[2][1].text, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "256 × 8 × 56 × 56 False\n"
    entry = next(store.costs.glob("architecture-*.json"))
    entry.write_text("{}")  # damaged: built anew
    assert architecture.show_architecture(store) == table
    assert entry.stat().st_size > 100


def test_without_its_files_there_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments" / "profiles").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert architecture.show_architecture(Store.at(tmp_path / "runs")) is None
