"""``report --check``: what makes a report stale, and what does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from study.cli import app
from study.commands.launch import LaunchOptions, launch
from study.commands.report_check import check_report, show_check
from study.errors import StoreError
from study.reporting.manifest import read_manifest, remove_former
from study.running import fingerprint
from study.running.store import Store
from study.spec.loading import load_study
from tests.running.conftest import TOY

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Path:
    """A store in which Table 8 was trained, with its report."""
    root = tmp_path_factory.mktemp("check") / "runs"
    root.mkdir()
    (root / "data").symlink_to(toy_data)
    assert launch(load_study(["table8"], overrides=TOY), LaunchOptions(storage=root, engine="inline")) == 0
    return root


@pytest.fixture
def report(launched: Path, tmp_path: Path) -> Path:
    """A copy of its report, to be spoiled."""
    return Path(shutil.copytree(launched / "report", tmp_path / "report"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with copies of the experiments and of what reports show, to be edited."""
    for name in ("experiments", "reports/published", "reports/templates"):
        shutil.copytree(REPOSITORY / name, tmp_path / "work" / name)
    for path in (REPOSITORY / "reports").glob("*.yaml"):
        shutil.copy(path, tmp_path / "work" / "reports")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the code for fingerprints to look at, to be edited."""
    shutil.copytree(REPOSITORY / "study", tmp_path / "study", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "study")
    yield tmp_path / "study"
    forget_code()


def forget_code() -> None:
    fingerprint.fingerprint_modules.cache_clear()
    fingerprint._digest_module.cache_clear()


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def problems(report: Path, storage: Path = Path("nowhere"), own: bool = False) -> list[str]:
    forget_code()
    return check_report(report, Store.at(storage), own=own).problems


def test_a_fresh_report_passes_with_one_line_and_leaves_everything_as_it_is(
    launched: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in report.rglob("*")}
    assert show_check(report, tmp_path / "nowhere", own=False) == 0
    count = sum(path.is_file() for path in report.rglob("*")) - 1  # without report.json itself
    said = capsys.readouterr().out
    assert said == f"{report}: up to date and as it was written (2 trials, {count} files)\n"
    assert {path: path.stat().st_mtime_ns for path in report.rglob("*")} == before
    assert not (tmp_path / "nowhere").exists()
    assert show_check(launched / "report", launched, own=True) == 0


def test_edited_missing_and_added_files_are_named(report: Path) -> None:
    with (report / "report.md").open("a") as file:
        file.write(" ")
    (report / "tables" / "table8.csv").unlink()
    (report / "figures" / "mine.png").write_bytes(b"")
    (report / "notes.txt").write_text("beside the report, not in it")
    assert problems(report) == [
        "report.md: was changed after it was written",
        "tables/table8.csv: is missing",
        "figures/mine.png: the report wrote no such file",
    ]


def test_a_published_value_counts_and_a_comment_does_not(report: Path, files: Path) -> None:
    table = files / "reports" / "published" / "table8.yaml"
    table.write_text("# a remark\n" + table.read_text())
    assert problems(report) == []
    replace(table, "48.4", "48.5")
    assert problems(report) == ["reports/published/table8.yaml: has changed"]
    (files / "reports" / "published" / "table9.yaml").unlink()
    assert "reports/published/table9.yaml: is gone" in problems(report)


def test_a_template_counts(report: Path, files: Path) -> None:
    with (files / "reports" / "templates" / "report.md.j2").open("a") as file:
        file.write("more\n")
    assert problems(report) == ["reports/templates/report.md.j2: has changed"]


def test_an_experiment_counts_with_its_texts_and_the_trials_that_it_changes(
    report: Path, files: Path
) -> None:
    spec = files / "experiments" / "table8.yaml"
    original = spec.read_text()
    spec.write_text("# a remark\n" + original)
    assert problems(report) == []
    replace(spec, "row_header: ", "row_header: another ")
    assert problems(report) == ["experiment table8: has changed"]
    spec.write_text(original.replace("dilation: [1, 2, 3]", "dilation: [1, 2, 2]"))
    assert problems(report) == [
        "experiment table8: has changed",
        "table8: Dilated, repeat 0: its settings have changed, or those of the trial it starts from",
    ]
    spec.write_text(original.replace("name: Dilated", "name: Spread"))
    assert problems(report)[1:] == [
        "table8: Dilated, repeat 0: the study has no such trial any more",
        "table8: Spread, repeat 0: the study has this trial now",
    ]
    spec.write_text("name: table8\narms: 1\n")
    assert all(line.startswith("its experiments can no longer be read: ") for line in problems(report))
    assert problems(report)


def test_code_counts_and_comments_do_not(report: Path, package: Path) -> None:
    assert problems(report) == []
    costs = package / "analysis" / "costs.py"
    costs.write_text("# a remark\n" + costs.read_text())
    assert problems(report) == []
    with costs.open("a") as file:
        file.write("\n\nEXTRA = 1\n")
    assert problems(report) == ["code study.analysis.costs: has changed"]


def test_code_that_trains_an_arm_counts_for_that_arm(report: Path, package: Path) -> None:
    with (package / "models" / "blocks" / "sth.py").open("a") as file:
        file.write("\n\nEXTRA = 1\n")
    assert problems(report) == [
        "table8: Fixed: the code that trains it has changed since",
        "table8: Dilated: the code that trains it has changed since",
    ]
    with (package / "models" / "blocks" / "stm.py").open("a") as file:
        file.write("\n\nEXTRA = 1\n")
    assert len(problems(report)) == 2


def test_records_of_the_store_count_where_it_is_the_one(launched: Path, report: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    shutil.copytree(launched / "trials", store / "trials")
    assert problems(report, store) == []
    first = read_manifest(report).trials[0]
    path = store / "trials" / first.id / "record.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"ended_at": record["ended_at"] + 1}))
    line = f"table8: Fixed, repeat 0 ({first.id}): was run again since (completed, now completed)"
    assert problems(report, store) == [line]
    path.unlink()
    assert problems(report, store) == [
        f"table8: Fixed, repeat 0 ({first.id}): its record is gone from the store"
    ]
    shutil.rmtree(store / "trials")
    (store / "trials").mkdir()
    result = check_report(report, Store.at(store), own=False)
    assert result.problems == []
    assert result.unchecked == [f"{store} holds none of the records that the report was made from"]
    assert len(problems(report, store, own=True)) == 2


def test_a_trial_that_has_finished_since_makes_it_stale(launched: Path, report: Path) -> None:
    path = report / "report.json"
    content = json.loads(path.read_text())
    content["trials"][1] |= {"status": "", "ended_at": None, "trained_with": ""}
    path.write_text(json.dumps(content))
    trial = content["trials"][1]["id"]
    assert problems(report, launched) == [
        f"table8: Dilated, repeat 0 ({trial}): has finished since (completed)"
    ]


def test_data_that_are_not_at_hand_are_no_change(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.errors import DataError
    from study.running import plan

    def refuse(spec: object, cache: Path) -> None:
        raise DataError("the videos are not at hand")

    monkeypatch.setattr(plan, "open_dataset", refuse)
    result = check_report(report, Store.at("nowhere"), own=False)
    assert result.problems == []
    assert result.unchecked == ["the videos are not at hand"]


def test_no_manifest_and_a_bad_one_are_errors_that_name_the_file(report: Path) -> None:
    path = report / "report.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 7'))
    with pytest.raises(StoreError, match=r"report\.json: no manifest of a report: version: .*1"):
        problems(report)
    path.write_text("{")
    with pytest.raises(StoreError, match=r"report\.json: no manifest of a report: \(file\)"):
        problems(report)
    path.unlink()
    with pytest.raises(StoreError, match=r"report\.json: no such file"):
        problems(report)


def test_former_files_go_and_nothing_else_does(report: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("not the report's")
    (report / "tables" / "mine.txt").write_text("nor this")
    path = report / "report.json"
    content = json.loads(path.read_text())
    content["files"]["../outside.txt"] = "0"
    path.write_text(json.dumps(content))
    kept = report / "report.md"
    removed = remove_former(report, [kept])
    assert len(removed) == len(content["files"]) - 2
    assert kept.exists()
    assert outside.exists()
    assert {item.name for item in report.rglob("*") if item.is_file()} == {
        "mine.txt",
        "report.json",
        "report.md",
    }
    path.unlink()
    assert remove_former(report, []) == []


def test_the_command_exits_with_0_1_and_2(report: Path) -> None:
    runner = CliRunner()
    arguments = ["report", "--check", "--storage", "nowhere", "-o", str(report)]
    assert runner.invoke(app, arguments).exit_code == 0
    (report / "report.md").unlink()
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.output) == (1, f"{report}: report.md: is missing\n")
    assert runner.invoke(app, [*arguments, "table7"]).exit_code == 2
    assert runner.invoke(app, [*arguments, "--repeats", "2"]).exit_code == 2
