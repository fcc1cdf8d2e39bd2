"""The notebook API on a study that was really trained, small; and the example notebook run on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import study
from study.commands.launch import LaunchOptions, launch
from study.errors import SpecError, StoreError, StudyError
from study.notebook import StudyResults
from study.spec.loading import load_study
from tests.running.conftest import TOY

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE = REPOSITORY / "docs" / "example.ipynb"
ARMS = ["(2+1)D sequential", "(2+1)D parallel", "STH merge", "STH hybrid", "STH hybrid+attention"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Path:
    """A store in which Table 7 was trained, and Table 8 not."""
    root = tmp_path_factory.mktemp("notebook") / "runs"
    root.mkdir()
    (root / "data").symlink_to(toy_data)
    toy = load_study(["table7"], overrides=TOY)
    assert launch(toy, LaunchOptions(storage=root, engine="inline")) == 0
    return root


@pytest.fixture(scope="module")
def results(storage: Path) -> StudyResults:
    loaded = study.load_study("table7", "table8", storage=storage, overrides=TOY)
    assert isinstance(loaded, StudyResults)
    return loaded


def record(storage: Path, trial_id: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((storage / "trials" / trial_id / "record.json").read_text())
    return content


def test_import_study_is_light_and_offers_the_rest() -> None:
    code = (
        "import sys, study; heavy = {'pandas', 'torch', 'mlflow', 'pydantic', 'numpy'} & set(sys.modules); "
        "print(sorted(heavy), hasattr(study, 'nothing'), callable(study.load_study))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[] False True\n"


def test_results_are_those_of_the_records(results: StudyResults, storage: Path) -> None:
    frame = results.results()
    # "Fixed" of Table 8 is the hybrid with attention of Table 7; "Dilated" was not trained.
    assert frame["arm"].tolist() == [*ARMS, "Dilated"]
    assert frame["state"].tolist() == ["done"] * 5 + ["missing"]
    assert frame["serves"].tolist()[4:] == ["table7: STH hybrid+attention; table8: Fixed", "table8: Dilated"]
    for row in frame.iloc[:5].to_dict("records"):
        content = record(storage, row["trial_id"])
        assert row["top1"] == pytest.approx(content["metrics"]["1x1"]["top1"])
        assert row["params_m"] == pytest.approx(content["cost"]["params_m"])
        assert row["code"] == content["code"]["digest"]
        assert row["device"] == content["environment"]["device"]
        assert row["seconds"] == pytest.approx(sum(content["seconds"].values()))
    last = frame.iloc[5]
    assert np.isnan(last["top1"])
    assert np.isnan(last["seconds"])
    assert (last["run_id"], last["commit"], last["reason"]) == ("", "", "not run yet")
    assert set(frame["dataset"]) == {"motion"}
    assert frame["fold"].isna().all()


def test_plan_and_repr_count_states(results: StudyResults) -> None:
    assert results.plan()["state"].value_counts().to_dict() == {"done": 5, "missing": 1}
    assert results.plan().iloc[4]["tables"] == "table7, table8"
    assert repr(results) == (
        "<study sth-ablation, profile laptop: table7, table8; trials: 5 done, 1 missing>"
    )


def test_a_table_renders_and_is_a_frame(results: StudyResults) -> None:
    table = results.table("table7")
    assert table.frame["arm"].tolist() == ARMS
    top1 = results.results()["top1"].iloc[3]
    assert table.frame.set_index("arm").loc["STH hybrid", "top1_percent_mean"] == pytest.approx(100 * top1)
    html = table._repr_html_()
    assert html.count("<tr") >= 6
    assert f"{100 * top1:.1f}" in html
    assert "popovertarget" not in html
    assert "46.8" in html  # published, in its own column
    assert "\\begin{table" in table.to_latex()
    assert "STH hybrid" in table._repr_markdown_()
    assert "popovertarget" not in table._repr_markdown_()
    with pytest.raises(SpecError, match=r"no table 'tabel7': did you mean 'table7'\?"):
        results.table("tabel7")


def test_differences_agree_with_the_accuracies(results: StudyResults) -> None:
    frame = results.deltas("table7").set_index("arm")
    assert list(frame.index) == ARMS[1:]
    top1 = results.results().set_index("arm")["top1"]
    for arm in ARMS[1:]:
        assert frame.loc[arm, "points"] == pytest.approx(100 * (top1[arm] - top1[ARMS[0]]))
        assert frame.loc[arm, "low"] <= frame.loc[arm, "points"] <= frame.loc[arm, "high"]
    assert set(frame["varies"]) == {"videos"}
    assert set(frame["confounded_by"]) == {""}
    assert set(results.deltas()["experiment"]) == {"table7"}  # one arm of Table 8 is missing
    with pytest.raises(SpecError, match="the study has no experiment 'table6'"):
        results.deltas("table6")


def test_predictions_give_the_accuracy(results: StudyResults) -> None:
    frame = results.predictions("table7", "STH hybrid", scores=True)
    top1 = results.results().set_index("arm").loc["STH hybrid", "top1"]
    assert len(frame) == 24
    assert frame["correct"].mean() == pytest.approx(top1)
    assert ((frame["label"] == frame["predicted"]) == frame["correct"]).all()
    columns = [name for name in frame if name.startswith("score ")]
    best = frame[columns].idxmax(axis=1).str.removeprefix("score ")
    assert (best == frame["predicted"]).all()
    assert not any(name.isdigit() for name in frame["label"])  # classes by name
    assert list(results.predictions("table7", "STH hybrid")) == ["video", "label", "predicted", "correct"]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("table7", "hybrid"), SpecError, "trains no arm 'hybrid'"),
        (("table9", "hybrid"), SpecError, "no experiment 'table9'"),
        (("table7", "STH hybrid", 1), SpecError, "no repeat 1 of 'STH hybrid': allowed are 0 to 0"),
        (("table8", "Dilated"), StoreError, "table8: Dilated, repeat 0: no result: not run yet"),
    ],
)
def test_what_is_not_there_is_named(
    results: StudyResults, arguments: tuple[str, ...], error: type[StudyError], text: str
) -> None:
    with pytest.raises(error, match=text):
        results.predictions(*arguments)


def test_a_figure_shows_and_saves_itself(results: StudyResults, tmp_path: Path) -> None:
    figure = results.figure("figure5")
    bundle = figure._repr_mimebundle_()
    assert bundle["text/plain"].startswith("Figure 5")
    assert figure.png.startswith(b"\x89PNG")
    assert {"alpha_s", "alpha_t", "site"} <= set(figure.frame)
    assert figure.save(tmp_path / "a.png").read_bytes() == figure.png
    assert "<svg" in figure.save(tmp_path / "a.svg").read_text()
    with pytest.raises(StudyError, match=r"a\.pdf: figure 'figure5' cannot be written so: allowed are"):
        figure.save(tmp_path / "a.pdf")
    with pytest.raises(SpecError, match="no figure 'figure55': did you mean 'figure5'"):
        results.figure("figure55")


def test_claims_have_verdicts(results: StudyResults) -> None:
    frame = results.claims()
    assert {"verdict", "reason"} <= set(frame)
    assert set(frame["verdict"]) <= {"supported", "contradicted", "inconclusive", "untestable"}
    assert "verdict" in results.table("claims")._repr_html_()


def test_an_empty_store_gives_empty_results_and_is_not_created(tmp_path: Path) -> None:
    empty = study.load_study("table7", storage=tmp_path / "none")
    assert set(empty.results()["state"]) == {"missing"}
    assert empty.results()["top1"].isna().all()
    assert empty.deltas().empty
    assert "table7" in empty.table("table7")._repr_html_()
    figure = empty.figure("figure5")
    assert figure._repr_mimebundle_() == {"text/plain": f"{figure.title}. {figure.caption}"}
    assert figure.caption.startswith("Not drawn: ")
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_example_notebook_runs(storage: Path) -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"STORAGE, REPEATS, OVERRIDES = {str(storage)!r}, 1, {TOY!r}"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLE.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert {output.output_type for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert sum("text/html" in output.get("data", {}) for output in outputs) >= 3


def test_the_example_notebook_was_run_and_names_no_machine() -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            output.get("data", {}).pop("image/png", None)  # base64 has slashes of its own
    text = nbformat.writes(notebook)
    # Of whatever machine ran it: no absolute path of three parts or more, and no folder of this one.
    assert re.findall(r"(?<![\w:/.])(?:/[\w.-]+){3,}", text) == []
    assert str(Path(__file__).parents[1]) not in text
