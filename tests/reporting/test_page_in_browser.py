"""The page in a real browser: sorting, opening a cell, theme, phone, print. Needs a Chromium on this machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from study.analysis.costs import CountedCost
from study.analysis.evidence import Evidence
from study.analysis.statistics.deltas import Delta, Inference
from study.reporting.report import ReportSource, render_report
from tests.reporting.conftest import CLAIMS

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason=f"no Chromium on this machine (looked for {', '.join(NAMES)})"
    ),
]
DELTA = Delta(
    points=10.0, low=6.5, high=13.5, level=0.95, varies="videos", p_value=0.001, p_holm=0.004, test="McNemar, exact",
    by_repeat=(9.5, 10.5), repeats=(0, 1), videos=480, detectable=5.4, repeats_needed=None,
    over_videos=Inference(6.5, 13.5, 0.001, "McNemar, exact"), hits=None,  # type: ignore[arg-type]
)  # fmt: skip

PLAIN_TEXTS = """cells => cells.map(cell => {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("sup").forEach(mark => mark.remove());
  return copy.textContent.trim();
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def address(source: ReportSource, tmp_path: Path) -> str:
    views = list(source.views)
    # Costs make it thirteen columns, more than go across a page of paper.
    counted = {"STH hybrid": CountedCost(21.98, 30.23)}
    views[1] = replace(views[1], evidence=Evidence({("STH hybrid", ""): DELTA}), counted=counted)
    render_report(replace(source, views=views, claims=CLAIMS), tmp_path)
    return (tmp_path / "report.html").as_uri()


class Visit:
    """A page that was opened, with everything it complained of or asked the network for."""

    def __init__(self, browser: Browser, address: str, *, width: int = 1280, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)

    def column(self, table: str, place: int) -> list[str]:
        """Texts of a column of a table, top to bottom, without footnotes."""
        cells = self.page.locator(f"#{table} table.sortable tbody tr > :nth-child({place})")
        return [re.sub(r"\s+", " ", text) for text in cells.evaluate_all(PLAIN_TEXTS)]


def test_the_page_asks_for_nothing_and_complains_of_nothing(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:"))] == []


def test_a_column_sorts_both_ways_and_comes_back(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    head = visit.page.locator("#table7 table.sortable thead tr:last-child th:nth-child(2)")
    before = visit.column("table7", 2)
    # 70.5, stopped, 75.0, 80.5, 82.5: as fabricated, in the order of the file.
    assert [text.split(" ")[0] for text in before] == ["70.5", "stopped", "75.0", "80.5", "82.5"]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert [text.split(" ")[0] for text in visit.column("table7", 2)] == [
        "82.5",
        "80.5",
        "75.0",
        "70.5",
        "stopped",
    ]
    # The baseline is still marked where it went.
    assert "(baseline)" in visit.page.locator("#table7 table.sortable tr.baseline th").inner_text()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    # What has no number stands last, whichever way.
    assert [text.split(" ")[0] for text in visit.column("table7", 2)] == [
        "70.5",
        "75.0",
        "80.5",
        "82.5",
        "stopped",
    ]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert visit.column("table7", 2) == before


def test_differences_sort_by_their_value_with_sign(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    visit.page.locator("#table8 table.sortable thead tr:last-child th:nth-child(3) button").click()
    # Fixed is the baseline, 82.5 %; Dilated has 75.0 % in its one repeat, where Fixed has 82.0 %: -7.0 points.
    assert [text.split(" ")[0] for text in visit.column("table8", 3)] == ["0", "−7.0"]
    visit.page.locator("#table8 table.sortable thead tr:last-child th:nth-child(3) button").click()
    assert [text.split(" ")[0] for text in visit.column("table8", 3)] == ["−7.0", "0"]


def test_sorting_works_from_the_keyboard(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    head = visit.page.locator("#table6 table.sortable thead tr:last-child th:nth-child(1)")
    head.get_by_role("button").focus()
    visit.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert visit.column("table6", 1) == ["p=0 (baseline)", "p=1/2", "p=1/4", "p=1/8"]


def test_a_cell_opens_what_it_is(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    cell = (
        visit.page.locator("#table7 table.sortable tbody tr", has_text="STH hybrid")
        .first.locator("button.open")
        .first
    )
    opened = visit.page.locator(f"[id='{cell.get_attribute('popovertarget')}']")
    assert not opened.is_visible()
    cell.click()
    assert opened.is_visible()
    text = opened.inner_text()
    for part in ("STH hybrid", "80.50 ± 0.71 %", "0123abcd", "d1ced1ce", "cpu", "1x1", "r0 +9.5, r1 +10.5",
                 "+6.5 to +13.5 points", "p = 0.0010; p = 0.0040 after Holm's correction", "McNemar, exact",
                 "from 5.4 points on", "fewer than three repeats"):  # fmt: skip
        assert part in text, part
    rows = opened.locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[:3] for row in rows] == [["0", "80.0", "99.0"], ["1", "81.0", "99.0"]]
    assert (
        opened.locator("a").first.get_attribute("href", timeout=1000).startswith("http://127.0.0.1:5000/#/")
    )
    visit.page.keyboard.press("Escape")
    assert not opened.is_visible()


def test_a_claim_opens_its_estimates(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    visit.page.locator("#claim-hybrid-above-merge button.open").click()
    text = visit.page.locator("#claim-hybrid-above-merge-details").inner_text()
    assert "+0.5 to +4.0" in text
    assert "0.012; 0.024 after Holm's correction" in text
    assert not visit.page.locator("#claim-faster").is_visible()
    visit.page.locator("#part-claims summary").click()
    assert "needs a GPU" in visit.page.locator("#claim-faster").inner_text()


@pytest.mark.parametrize(("scheme", "lightness"), [("light", 255), ("dark", 20)])
def test_the_theme_follows_the_system_until_it_is_chosen(
    browser: Browser, address: str, scheme: str, lightness: int
) -> None:
    visit = Visit(browser, address, scheme=scheme)

    def red() -> int:
        color = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(re.findall(r"\d+", color)[0])

    assert red() == lightness
    toggle = visit.page.locator("button.theme")
    seen = []
    for _ in range(3):
        toggle.click()
        seen.append((toggle.inner_text(), red()))
    assert seen == [("Theme: light", 255), ("Theme: dark", 20), ("Theme: system", lightness)]


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phone_scrolls_tables_and_not_the_page(browser: Browser, address: str, width: int) -> None:
    visit = Visit(browser, address, width=width)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    box = visit.page.locator("#table7 .scroll").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => box.scrollLeft = 300")
    left = box.bounding_box()["x"]  # type: ignore[index]
    first = box.locator("tbody th").first.bounding_box()
    assert first is not None
    assert abs(first["x"] - left) <= 2  # the first column stays in sight


def test_print_holds_every_table_and_what_is_folded(browser: Browser, address: str) -> None:
    visit = Visit(browser, address)
    pdf = visit.page.pdf(prefer_css_page_size=True, print_background=True)
    boxes = {tuple(map(float, box)) for box in re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", pdf)}
    # A4 in points, upright and turned.
    assert {(round(width), round(height)) for width, height in boxes} == {(595, 842), (842, 595)}
    visit.page.emulate_media(media="print")
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visit.page.locator("#claim-faster").is_visible()
    assert not visit.page.locator(".bar").is_visible()
    for name in ("table6", "table7", "table8", "figure6", "part-plan"):
        box = visit.page.locator(f"#{name} .scroll").first
        assert box.evaluate("box => getComputedStyle(box).overflowX") == "visible", name
    visit.page.set_viewport_size({"width": 1040, "height": 720})  # A4 turned, less its margins
    for name in ("table6", "table7", "table8"):
        table = visit.page.locator(f"#{name} table.sortable")
        assert table.evaluate("table => table.getBoundingClientRect().right") <= 1040, name
