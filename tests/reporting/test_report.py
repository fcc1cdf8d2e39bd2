"""The whole report: files, escaping, links, what is missing, and that it comes out the same twice."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from study.reporting.report import Picture, ReportSource, render_report
from tests import fabricated
from tests.reporting.conftest import TOP1, fabricate, rename

NASTY = '<script>alert("x")</script> & $x_1$ | 100% \\ #{y}~^'


class Page(HTMLParser):
    """Tags, attributes and text of a page; a tag that is not closed where it must be is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, tag: str, name: str) -> list[str]:
        return [attributes[name] for found, attributes in self.tags if found == tag and name in attributes]


def test_writes_every_file_and_returns_it(source: ReportSource, tmp_path: Path) -> None:
    written = render_report(source, tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path)) for path in written} == found
    tables = {f"tables/{name}.{suffix}" for name in NAMES for suffix in ("md", "tex", "csv")}
    figures = {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg", "csv")}
    assert found == {"report.html", "report.md"} | tables | figures


NAMES = ("table6", "table7", "table8", "figure6")
FIGURES = ("figure5", "figure6", "accuracy_by_cost")


def test_the_same_input_gives_the_same_bytes(source: ReportSource, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in render_report(source, tmp_path / "a")}
    second = {path.name: path.read_bytes() for path in render_report(source, tmp_path / "b")}
    assert first == second


def test_the_page_is_self_contained_and_its_links_lead_somewhere(
    source: ReportSource, tmp_path: Path
) -> None:
    render_report(replace(source, ui_base="http://127.0.0.1:7777/"), tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe"} == set()
    images = page.values("img", "src")
    assert len(images) == 3
    assert all(image.startswith("data:image/png;base64,") for image in images)
    assert all(page.values("img", "alt"))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = page.values("a", "href")
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    runs = {f"http://127.0.0.1:7777/{fragment}" for fragment in source.runs["fragment"]}
    assert {link for link in links if not link.startswith("#")} == runs


def test_what_is_missing_says_why(source: ReportSource, tmp_path: Path) -> None:
    render_report(source, tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for text in (page.text, markdown):
        assert "Repeat 1 failed: the reason it failed." in text
        assert "Repeats 0, 1 were stopped: the reason it stopped." in text
        assert "Repeat 1 has no result: not run yet." in text
    rows = {cells[0].split(" ")[0]: cells for cells in markdown_rows(markdown)}
    assert rows["Dilated"][1].startswith("75.0 (n = 1)")
    parallel = next(cells for cells in markdown_rows(markdown) if cells[0].startswith("(2+1)D parallel"))
    assert parallel[1].startswith("stopped <sup>")
    assert parallel[2] == "—"
    assert parallel[6:8] == ["45.4", "76.3"]  # the published cells stand whatever became of ours


def markdown_rows(text: str) -> list[list[str]]:
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


def test_published_numbers_stand_under_their_own_heading(source: ReportSource, tmp_path: Path) -> None:
    render_report(source, tmp_path)
    header, _, *rows = markdown_rows((tmp_path / "tables" / "table7.md").read_text(encoding="utf-8"))
    measured = [place for place, name in enumerate(header) if name.startswith("measured here: ")]
    published = [place for place, name in enumerate(header) if name.startswith("published: ")]
    assert (measured, published) == ([1, 2, 3, 4, 5], [6, 7, 8, 9])
    hybrid = next(row for row in rows if row[0] == "STH hybrid")
    # Two repeats, 0.80 and 0.81: mean 80.5, deviation 0.01 / sqrt 2; the baseline has 0.70 and 0.71.
    assert hybrid[1:4] == ["80.5 ± 0.7", "+10.0 ± 0.0", "99.0 ± 0.0"]
    assert hybrid[6:10] == ["46.8", "77.1", "22.0", "30.5"]
    for value in ("46.8", "77.1", "30.5"):
        assert not any(value in hybrid[place] for place in measured)


def test_names_of_users_stay_text_everywhere(tmp_path: Path) -> None:
    experiments = [rename(fabricated.load(["table8"], repeats=1).experiments[0], "Dilated", NASTY)]
    render_report(fabricate(experiments, {}), tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert NASTY in page.text
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    latex = (tmp_path / "tables" / "table8.tex").read_text(encoding="utf-8")
    expected = (
        r"\textless{}script\textgreater{}alert(\textquotedbl{}x\textquotedbl{})\textless{}/script"
        r"\textgreater{} \& \$x\_1\$ \textbar{} 100\% \textbackslash{} \#\{y\}"
        r"\textasciitilde{}\textasciicircum{}"
    )
    assert expected in latex
    frame = pd.read_csv(tmp_path / "tables" / "table8.csv")
    assert frame["arm"].tolist() == ["Fixed", NASTY]


def test_reasons_of_failures_stay_text(source: ReportSource, tmp_path: Path) -> None:
    runs = source.runs.copy()
    runs.loc[runs["status"] == "failed", "reason"] = "<img src=x onerror=alert(1)>\n| a | b |"
    render_report(replace(source, runs=runs), tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "x" not in page.values("img", "src")
    assert "<img" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_study_without_a_finished_trial_gives_a_report(tmp_path: Path) -> None:
    study = fabricated.load(["table6", "table7", "figure6"], repeats=2)
    names = {arm.name for experiment in study.experiments for arm in experiment.arms}
    source = fabricate(study.experiments, {(name, repeat): "missing" for name in names for repeat in (0, 1)})
    render_report(source, tmp_path)
    assert not (tmp_path / "figures").exists()
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "no result yet (0 of 8 trials)" in page.text
    assert (
        "Not drawn: no finished trial of STH hybrid+attention recorded attention coefficients." in page.text
    )
    assert "Not drawn: no finished trial has both accuracy and cost." in page.text
    assert page.text.count("Repeats 0, 1 have no result: not run yet.") == 3
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "![" not in markdown
    cells = [row[1] for row in markdown_rows(markdown) if row[0].startswith(("p=", "STH", "(2+1)D"))]
    assert len(cells) == 4 + 5 + 3
    assert all(cell.startswith("missing") for cell in cells)


def test_a_figure_without_some_of_its_arms_says_so(source: ReportSource, tmp_path: Path) -> None:
    eighth = source.views[3].trials["p=1/8"]
    gone = [trial.trial_id for trial in eighth]
    render_report(replace(source, runs=source.runs[~source.runs["trial_id"].isin(gone)]), tmp_path)
    assert "Without p=1/8: no finished trial with coefficients." in (tmp_path / "report.md").read_text()
    frame = pd.read_csv(tmp_path / "figures" / "figure6.csv")
    assert set(frame["arm"]) == {"p=1/4", "p=1/2"}


def test_provenance_names_every_value_that_occurs(source: ReportSource, tmp_path: Path) -> None:
    runs = source.runs.copy()
    runs.loc[runs.index[0], "tags.device"] = "NVIDIA H200"
    render_report(replace(source, runs=runs, facts={"time of the launch": "4 min"}), tmp_path)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "mixed: NVIDIA H200, cpu" in text
    assert "commit 0123abcd" in text
    assert "torch 2.15.0" in text
    assert fabricated.DIGEST in text
    assert "time of the launch 4 min" in text
    assert "uv run run_study.py launch" in text


def test_pictures_from_elsewhere_are_embedded(source: ReportSource, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"\x89PNG\r\n\x1a\n")
    pictures = [Picture("Contact sheet", sheet, "One video a class.")]
    render_report(replace(source, pictures=pictures), tmp_path / "out")
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "data:image/png;base64,iVBORw0KGgo=" in page.values("img", "src")
    assert "One video a class." in page.text
    assert (tmp_path / "out" / "figures" / "sheet.png").read_bytes() == sheet.read_bytes()
    assert "![Contact sheet](figures/sheet.png)" in (tmp_path / "out" / "report.md").read_text()


def test_summary_of_a_table_whose_baseline_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOP1, "p=0", 0.9)
    source = fabricate(fabricated.load(["table6"], repeats=2).experiments, {})
    render_report(source, tmp_path)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "p=0 has the highest top-1, 90.5 %, and is the baseline." in text
