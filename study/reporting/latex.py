"""Tables as LaTeX, for pdfLaTeX with its usual packages."""

from __future__ import annotations

import unicodedata

import pandas as pd

from study.reporting.display import Cell, Display

PACKAGES = r"% \usepackage[T1]{fontenc}, array, booktabs, graphicx, longtable"
LONG = 45
"""Rows that fit on one page; a longer table goes over several."""
LINES = 9
"""Lines that a row of sentences may take."""
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "\u2044": "/",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "°": r"$^\circ$",
    "—": "---",
    "–": "--",
    "…": r"\dots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "§": r"\S{}",
    "\u00a0": "~",
    # The signs of study.reporting.signs.
    "○": r"$\circ$",
    "✗": r"{\sffamily x}",
    "✓": r"$\surd$",
    "■": r"\rule{.7em}{.7em}",
    "‖": r"$\|$",
    "▷": r"$\triangleright$",
    "◐": r"$\ominus$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "≠": r"$\neq$",
}
GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega"
)
CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"


def _add_greek() -> None:
    for name in (*GREEK.split(), *CAPITALS.split()):
        case = "CAPITAL" if name[0].isupper() else "SMALL"
        letter = unicodedata.lookup(f"GREEK {case} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")
        LATEX[letter] = rf"$\{name}$"


_add_greek()


def escape_latex(text: str) -> str:
    """``text`` so that LaTeX prints it as it is; a character that pdfLaTeX has no glyph for becomes its plain letters
    or, without any, its code point.
    """
    return "".join(_escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    if character in LATEX:
        return LATEX[character]
    if character.isascii():
        return character if character.isprintable() else " "
    if unicodedata.category(character)[0] in "CZ":
        return " "
    if character in LATIN:
        return character
    parts = unicodedata.normalize("NFKD", character)
    if parts != character:
        plain = escape_latex(parts)
        raised = {"<super>": "superscript", "<sub>": "subscript"}.get(
            unicodedata.decomposition(character).partition(" ")[0]
        )
        return rf"\text{raised}{{{plain}}}" if raised else plain
    return "" if unicodedata.combining(character) else rf"{{\small U+{ord(character):04X}}}"


LATIN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")
"""Letters that inputenc and T1 fonts have."""


def table_latex(display: Display) -> str:
    """The table for the packages that its first line names: scaled to the width of the text, or over several pages
    where it has more rows than one holds.
    """
    notes = " ".join(
        rf"\textsuperscript{{{number}}}{escape_latex(note)}"
        for number, note in enumerate(display.notes, start=1)
    )
    signs = "; ".join(f"{sign.sign} {sign.word}: {sign.means}" for sign in display.signs)
    below = [escape_latex(text) for text in (display.legend, f"{signs}." if signs else "") if text] + [notes]
    wide = any(column.width for column in display.columns)
    lines = LINES if wide else 1
    return (
        _long_table(display, below, wide)
        if lines * len(display.rows) > LONG
        else _float_table(display, below)
    )


def _float_table(display: Display, below: list[str]) -> str:
    tabular = (
        _frame(display)
        .style.hide(axis="index")
        .to_latex(hrules=True, column_format=_column_format(display), multicol_align="c")
    )
    lines = [
        PACKAGES,
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(display.title)}}}",
        rf"\label{{tab:{display.name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        tabular.rstrip() + "%",
        "}",
        r"\par\smallskip\raggedright\footnotesize",
        *(rf"{text}\par" for text in below if text),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _long_table(display: Display, below: list[str], wide: bool) -> str:
    """A longtable cannot be scaled, so its letters and gaps are small; smaller where cells do not wrap."""
    table = (
        _frame(display)
        .style.hide(axis="index")
        .to_latex(
            hrules=True,
            column_format=_column_format(display),
            multicol_align="c",
            environment="longtable",
            caption=escape_latex(display.title),
            label=f"tab:{display.name}",
        )
    )
    lines = [
        PACKAGES,
        rf"\begingroup\{'scriptsize' if wide else 'tiny'}\setlength{{\tabcolsep}}{{{2 if wide else 1}pt}}",
        table.rstrip(),
        *(rf"\noindent {text}\par" for text in below if text),
        r"\endgroup",
    ]
    return "\n".join(lines) + "\n"


def _column_format(display: Display) -> str:
    formats = []
    for column in display.columns:
        wide = rf">{{\raggedright\arraybackslash}}p{{{column.width}\textwidth}}" if column.width else ""
        formats.append(wide or ("l" if column.text else "r"))
    return "".join(formats)


def _frame(display: Display) -> pd.DataFrame:
    headers = [(escape_latex(column.group), escape_latex(column.header)) for column in display.columns]
    columns = pd.MultiIndex.from_tuples(headers) if display.has_groups else [header for _, header in headers]
    return pd.DataFrame([[_show(cell) for cell in row] for row in display.rows], columns=columns)


def _show(cell: Cell) -> str:
    marks = rf"\textsuperscript{{{','.join(map(str, cell.notes))}}}" if cell.notes else ""
    return escape_latex(cell.shown) + marks
