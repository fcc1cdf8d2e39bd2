"""The whole report: files, escaping, links, what is missing, and that it comes out the same twice."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from study.analysis.published import load_published
from study.analysis.tables import build_table
from study.errors import StudyError
from study.reporting.figures import FigureMaterial
from study.reporting.manifest import Origin, Request, write_manifest
from study.reporting.plots import draw_figures
from study.reporting.processes import drawing_processes
from study.reporting.report import FIGURES as FIGURE_FOLDER
from study.reporting.report import Picture, ReportSource, render_report
from tests import fabricated
from tests.reporting.conftest import CLAIMS, NASTY, TOP1, fabricate, rename


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
    tables = {f"tables/{name}.{suffix}" for name in NAMES for suffix in SUFFIXES}
    assert {name for name in found if not name.startswith("figures/")} == {
        "report.html",
        "report.md",
    } | tables
    figures = {f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg", "csv")}
    assert figures <= found


NAMES = ("table6", "table7", "table8", "figure6", "plan", "data")
SUFFIXES = ("csv", "parquet", "md", "tex")
FIGURES = ("figure5", "figure6", "accuracy_by_cost")


def test_the_same_input_gives_the_same_bytes_whoever_draws(source: ReportSource, tmp_path: Path) -> None:
    source = replace(source, claims=CLAIMS)
    tables = [build_table(view, source.runs) for view in source.views]
    material = FigureMaterial(attention=source.attention)
    with drawing_processes() as executor:
        drawn = draw_figures(tables, material, tmp_path / "c" / FIGURE_FOLDER, executor)
        reports = [
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in render_report(source, tmp_path / name, figures)
            }
            for name, figures in (("a", None), ("b", None), ("c", drawn))
        ]
    assert reports[0] == reports[1] == reports[2]


def test_the_page_is_self_contained_and_its_links_lead_somewhere(
    source: ReportSource, tmp_path: Path
) -> None:
    render_report(replace(source, ui_base="http://127.0.0.1:7777/"), tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed"} == set()
    assert page.values("script", "src") == []
    # The page's own policy allows its one script, by digest, and nothing from elsewhere.
    policy = page.values("meta", "content")[-1]
    script = (tmp_path / "report.html").read_text().partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy
    images = page.values("img", "src")
    assert len(images) >= 3
    assert all(image.startswith("data:image/png;base64,") for image in images)
    assert all(page.values("img", "alt"))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert set(page.values("button", "popovertarget")) <= ids
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
    assert parallel[1].startswith("stopped ■ <sup>")
    assert parallel[2] == "■"
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
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert NASTY in page.text
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    table = (tmp_path / "tables" / "table8.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 4
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
    assert "Without p=1/8: no finished trial" in (tmp_path / "report.md").read_text()
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


def test_files_for_programs_hold_the_same(source: ReportSource, tmp_path: Path) -> None:
    render_report(replace(source, claims=CLAIMS), tmp_path)
    for path in sorted((tmp_path / "tables").glob("*.parquet")):
        parquet = pd.read_parquet(path)
        text = {
            name: str for name in parquet.columns if not pd.api.types.is_any_real_numeric_dtype(parquet[name])
        }
        csv = pd.read_csv(path.with_suffix(".csv"), dtype=text, keep_default_na=False, na_values=[""])
        assert list(csv.columns) == list(parquet.columns), path.name
        for name in parquet.columns:
            known = parquet[name].notna() & (parquet[name].astype("string") != "")
            assert (csv[name].notna() == known).all(), (path.name, name)
            left, right = csv[name][known].tolist(), parquet[name][known].tolist()
            assert left == ([str(value) for value in right] if name in text else right), (path.name, name)


def test_a_printed_product_stays_out_of_columns_of_numbers(tmp_path: Path) -> None:
    experiment = fabricated.load(["table6"], repeats=1).experiments[0]
    source = fabricate([experiment], {})
    published = load_published("table6")
    row = published.rows[0]
    printed = row.model_copy(update={"values": {**row.values, "gflops": "33 × 6"}})
    changed = published.model_copy(update={"rows": (printed, *published.rows[1:])})
    render_report(replace(source, views=[replace(source.views[0], published=changed)]), tmp_path)
    frame = pd.read_parquet(tmp_path / "tables" / "table6.parquet").set_index("arm")
    # Six views of 33 each: a view costs 33.
    assert frame.loc["p=0", "published_gmacs_per_view"] == 33.0
    assert frame.loc["p=0", "published_gflops_as_printed"] == "33 × 6"
    assert frame["published_gmacs_per_view"].dtype == float


def test_what_an_earlier_report_wrote_does_not_linger(source: ReportSource, tmp_path: Path) -> None:
    written = render_report(source, tmp_path)
    request = Request(study="study", specs=(), profile="laptop")
    write_manifest(tmp_path, written, Origin(request=request, inputs={}, trials=()))
    own = tmp_path / "tables" / "notes.csv"
    own.write_text("mine")
    left = render_report(replace(source, views=source.views[:1]), tmp_path)
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*left, own, tmp_path / "report.json"}
    assert tmp_path / "tables" / "table7.tex" not in found


def test_a_name_that_two_tables_want_is_refused(source: ReportSource, tmp_path: Path) -> None:
    experiment = source.views[0].experiment
    named = replace(experiment, spec=experiment.spec.model_copy(update={"name": "plan", "figures": ()}))
    with pytest.raises(StudyError, match="two tables called plan"):
        render_report(replace(source, views=[replace(source.views[0], experiment=named)]), tmp_path)
    assert not (tmp_path / "tables").exists()


def test_the_report_names_its_newest_trial_and_no_other_time(source: ReportSource, tmp_path: Path) -> None:
    runs = source.runs.copy()
    runs["ended_at"] = 1_760_000_060.0
    done = runs.index[runs["status"] == "completed"]
    runs.loc[done[0], "ended_at"] = 1_767_323_040.0  # 2026-01-02 03:04 UTC
    runs.loc[runs["status"] == "failed", "ended_at"] = 1_800_000_000.0
    render_report(replace(source, runs=runs), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert re.findall(r"20\d\d.?-\d\d.?-\d\d[^<.]*", text.replace("\\", "")) == ["2026-01-02 03:04 UTC"]


def test_claims_lead_the_report(source: ReportSource, tmp_path: Path) -> None:
    render_report(replace(source, claims=CLAIMS), tmp_path)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert text.index("Claims of the paper") < text.index("What was found")
    for part in ("✓ 1 supported", "✗ 1 contradicted", "○ 1 untestable", "Verdicts are on this study",
                 "STH hybrid minus STH merge, top\u20111: +2.2 points [+0.5, +4.0]",
                 "p=1/4 over p=0, parameters: 1.25 ratio", "laptop study: synthetic motion"):  # fmt: skip
        assert part in text, part
    assert "inconclusive" not in text
    frame = pd.read_csv(tmp_path / "tables" / "claims.csv")
    assert frame["verdict"].tolist() == ["supported", "contradicted", "untestable"]
    assert frame["value"].tolist()[:2] == [2.25, 1.25]
    assert frame["published"].tolist()[0] == "46.8 %; 45.9 %"
    header, _, *rows = markdown_rows((tmp_path / "tables" / "claims.md").read_text(encoding="utf-8"))
    assert header == ["claim", "verdict", "measured or counted here", "published", "why"]
    assert rows[2][1:4] == ["○ untestable", "—", "10.7"]


def test_claims_stay_text(source: ReportSource, tmp_path: Path) -> None:
    claim = replace(CLAIMS[0], says=NASTY, reason=NASTY, scope=NASTY, published=NASTY)
    render_report(replace(source, claims=[claim]), tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.text.count(NASTY) >= 4
    assert "<script" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_plan_counts_each_trial_once_in_the_last_line(source: ReportSource, tmp_path: Path) -> None:
    render_report(source, tmp_path)
    frame = pd.read_csv(tmp_path / "tables" / "plan.csv").set_index("title")
    assert frame["trials"].tolist()[:4] == [8, 10, 4, 6]
    # Tables 6 and 7 share p = 1/4 = hybrid, 7, 8 and figure 6 hybrid+attention: 28 cells, less 3 shared arms twice.
    last = frame.loc["all, each trial once"]
    assert last["trials"] == 28 - 2 * (1 + 1 + 1)
    # Failed, stopped twice, missing: four without a result; every trial takes a minute, as fabricated.
    assert last["trials_done"] == 22 - 4
    assert last[["trials_failed", "trials_stopped", "trials_missing"]].tolist() == [1, 2, 1]
    assert (last["minutes_spent"], last["minutes_per_trial"], last["minutes_left"]) == (18.0, 1.0, 4.0)


def test_data_health_lists_what_was_left_out(source: ReportSource, tmp_path: Path) -> None:
    runs = source.runs.assign(
        **{"tags.videos": "9 train, 5 val", "tags.data_checked": "True", "params.data": "motion"}
    )
    runs.loc[0, "tags.excluded"] = "2: a<b>.mp4: no frames; b.mp4: cut short"
    render_report(replace(source, runs=runs), tmp_path)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "2: a<b>.mp4: no frames; b.mp4: cut short" in text
    record = pd.read_csv(tmp_path / "tables" / "data.csv").iloc[0]
    assert record[["data", "videos", "checked", "videos_left_out", "videos_killed"]].tolist() == [
        "motion", "9 train, 5 val", "yes", 2, 0,
    ]  # fmt: skip
