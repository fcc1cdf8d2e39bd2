"""Tables as LaTeX: every character comes out as itself, and TeX itself compiles what we write."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from study.analysis.tables import build_table
from study.reporting.claims import VERDICTS, view_claims
from study.reporting.display import Cell, Column, Display
from study.reporting.latex import LONG, escape_latex, table_latex
from study.reporting.report import ReportSource, render_report
from study.reporting.results import build_display
from study.reporting.signs import SIGNS
from tests import fabricated
from tests.reporting.conftest import CLAIMS, NASTY, fabricate, rename

TEX = shutil.which("pdflatex")
FOREIGN = "Zoë’s naïve Straße; 中文, Ωmega θ, e\u0301, 🎬, ½, 10⁵, ₂, ﬁ, \u200b, \x07, ¿"
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[margin=2cm]{geometry}
\usepackage{array, booktabs, graphicx, longtable}
\begin{document}
%s
\end{document}
"""


def test_what_tex_would_obey_is_printed() -> None:
    assert escape_latex(r"50% & $x_1$ \ {a}") == r"50\% \& \$x\_1\$ \textbackslash{} \{a\}"
    # Two hyphens would become a dash, a bracket after \\ an option, a star a command's form.
    assert escape_latex("a--b [c] *") == r"a{-}{-}b {[}c{]} {*}"
    assert escape_latex("Δ ±0.5 −1 α θ Ω") == r"$\Delta$ $\pm$0.5 $-$1 $\alpha$ $\theta$ $\Omega$"


def test_what_tex_has_no_glyph_for_keeps_its_letters_or_its_code_point() -> None:
    assert escape_latex("ﬁ, ½") == "fi, 1/2"
    assert escape_latex("10⁵ ₂") == r"10\textsuperscript{5} \textsubscript{2}"
    assert escape_latex("中") == r"{\small U+4E2D}"
    assert escape_latex("e\u0301\u200b\x07.") == "e  ."
    assert escape_latex("Zoë") == "Zoë"


def test_every_sign_that_a_report_prints_has_a_form() -> None:
    for sign in (*SIGNS.values(), *VERDICTS.values()):
        assert "U+" not in escape_latex(sign.sign), sign.word
    # Signs that look alike in print would tell two states apart by nothing.
    forms = [escape_latex(sign.sign) for sign in SIGNS.values()]
    assert len(set(forms)) == len(forms)


@pytest.mark.skipif(TEX is None, reason="no pdflatex on this machine")
def test_tex_compiles_every_table(source: ReportSource, tmp_path: Path) -> None:
    render_report(replace(source, claims=CLAIMS), tmp_path)
    tables = sorted((tmp_path / "tables").glob("*.tex"))
    assert [path.stem for path in tables] == [
        "claims", "data", "figure6", "plan", "table6", "table7", "table8",
    ]  # fmt: skip
    log = compile_tex([path.read_text(encoding="utf-8") for path in tables], tmp_path)
    assert "Overfull" not in log


@pytest.mark.skipif(TEX is None, reason="no pdflatex on this machine")
def test_tex_compiles_whatever_users_write(tmp_path: Path) -> None:
    experiment = fabricated.load(["table8"], repeats=1).experiments[0]
    named = rename(rename(experiment, "Dilated", NASTY), "Fixed", FOREIGN)
    named = replace(named, spec=named.spec.model_copy(update={"baseline": FOREIGN, "title": NASTY + FOREIGN}))
    source = fabricate([named], {})
    compile_tex([table_latex(build_display(build_table(source.views[0], source.runs)))], tmp_path)


@pytest.mark.skipif(TEX is None, reason="no pdflatex on this machine")
def test_many_claims_go_over_pages(tmp_path: Path) -> None:
    reason = "A sentence that is long enough for three lines of a narrow column, and says why. " * 3
    claims = [replace(CLAIMS[0], name=f"claim-{number}", reason=reason) for number in range(40)]
    log = compile_tex([table_latex(view_claims(claims).display)], tmp_path)
    assert "Overfull" not in log


@pytest.mark.skipif(TEX is None, reason="no pdflatex on this machine")
def test_a_long_table_goes_over_pages(tmp_path: Path) -> None:
    rows = tuple((Cell(f"arm {number}"), Cell(f"{number}.0")) for number in range(5 * LONG))
    display = Display(
        "long", "Long", (Column("", "arm", text=True), Column("measured here", "top-1, %")), rows
    )
    log = compile_tex([table_latex(display)], tmp_path)
    pages = int(log.rpartition(" page")[0].rpartition("(")[2])
    # Lines of \tiny type are some 6 pt high, a page some 700 pt: 225 rows and their headings take two or three.
    assert pages in (2, 3, 4)


def compile_tex(tables: list[str], folder: Path) -> str:
    """The log of pdfLaTeX over a document of ``tables``; an error of TeX fails the test."""
    (folder / "document.tex").write_text(DOCUMENT % "\n\\clearpage\n".join(tables), encoding="utf-8")
    command = [str(TEX), "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    for _ in range(2):  # longtable learns its widths in the first pass
        run = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert run.returncode == 0, run.stdout.decode(errors="replace")[-2000:]
    log = (folder / "document.log").read_text(encoding="latin-1")
    assert "Float too large" not in log
    return log
