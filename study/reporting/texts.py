"""Tables as Markdown and LaTeX."""

from __future__ import annotations

import pandas as pd

from study.reporting.display import Cell, Display, Link

LATEX = str.maketrans(
    {
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
        "±": r"$\pm$",
        "−": r"$-$",
        "Δ": r"$\Delta$",
        "×": r"$\times$",
        "α": r"$\alpha$",
        "—": "---",
        "–": "--",
        "·": r"$\cdot$",
        "…": r"\dots{}",
        "\n": " ",
    }
)
MARKDOWN = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_[]|#~"}
    | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " ", "\r": " "}
)


def escape_latex(text: str) -> str:
    """``text`` so that LaTeX prints it as it is."""
    return text.translate(LATEX)


def escape_markdown(text: str) -> str:
    """``text`` so that Markdown shows it as it is, inside a table too."""
    return text.translate(MARKDOWN)


def table_markdown(display: Display, base: str) -> str:
    """The table with its legend and footnotes; runs are linked below ``base``, the address of MLflow."""

    def show(cell: Cell) -> str:
        text = escape_markdown(cell.text)
        if cell.notes:
            text += f" <sup>{','.join(map(str, cell.notes))}</sup>"
        return text

    def run_links(row: tuple[Cell, ...]) -> str:
        return " · ".join(
            f"[{escape_markdown(_spoken(link))}]({base}/{link.fragment})"
            if link.fragment
            else escape_markdown(_spoken(link))
            for cell in row
            for link in cell.links
        )

    headers = [
        escape_markdown(f"{column.group}: {column.header}" if column.group else column.header)
        for column in display.columns
    ]
    body = [[*map(show, row), run_links(row)] for row in display.rows]
    frame = pd.DataFrame(body, columns=range(len(headers) + 1))
    align = ["left"] + ["right"] * (len(headers) - 1) + ["left"]
    table = frame.to_markdown(
        index=False, headers=[*headers, "runs in MLflow"], colalign=align, disable_numparse=True
    )
    notes = "".join(
        f"\n{number}. {escape_markdown(note)}" for number, note in enumerate(display.notes, start=1)
    )
    return f"{table}\n\n{escape_markdown(display.legend)}\n" + (f"{notes}\n" if notes else "")


def _spoken(link: Link) -> str:
    """The text of a link beside those of other data sets."""
    return f"{link.dataset} {link.text}".strip()


def table_latex(display: Display) -> str:
    """The table for the packages that its first line names, scaled to the width of the text."""

    def show(cell: Cell) -> str:
        marks = rf"\textsuperscript{{{','.join(map(str, cell.notes))}}}" if cell.notes else ""
        return escape_latex(cell.text) + marks

    columns = pd.MultiIndex.from_tuples(
        [(escape_latex(column.group), escape_latex(column.header)) for column in display.columns]
    )
    frame = pd.DataFrame([[show(cell) for cell in row] for row in display.rows], columns=columns)
    tabular = frame.style.hide(axis="index").to_latex(
        hrules=True, column_format="l" + "r" * (len(display.columns) - 1), multicol_align="c"
    )
    notes = " ".join(
        rf"\textsuperscript{{{number}}}{escape_latex(note)}"
        for number, note in enumerate(display.notes, start=1)
    )
    lines = [
        r"% \usepackage[T1]{fontenc}, booktabs, graphicx",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(display.title)}}}",
        rf"\label{{tab:{display.name}}}",
        r"\resizebox{\textwidth}{!}{%",
        tabular.rstrip() + "%",
        "}",
        rf"\par\smallskip\raggedright\footnotesize {escape_latex(display.legend)}",
    ]
    if notes:
        lines.append(rf"\par {notes}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"
