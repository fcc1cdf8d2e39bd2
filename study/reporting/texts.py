"""Tables as Markdown, as GitHub renders it."""

from __future__ import annotations

import re

import pandas as pd

from study.reporting.display import Cell, Details, Display

MARKDOWN = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_[]|#~"}
    | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " ", "\r": " "}
)


def escape_markdown(text: str) -> str:
    """``text`` so that Markdown shows it as it is, inside a table too."""
    return text.translate(MARKDOWN)


def table_markdown(display: Display, base: str) -> str:
    """The table, then what its numbers and signs are, the footnotes, and in a block that opens the runs behind each
    row, linked below ``base``, the address of MLflow.
    """
    headers = [
        escape_markdown(f"{column.group}: {column.header}" if column.group else column.header)
        for column in display.columns
    ]
    body = [list(map(_show, row)) for row in display.rows]
    frame = pd.DataFrame(body, columns=range(len(headers)))
    align = ["left" if column.text else "right" for column in display.columns]
    table = frame.to_markdown(index=False, headers=headers, colalign=align, disable_numparse=True)
    parts = [_close_up(table) if any(column.width for column in display.columns) else table]
    if display.legend:
        parts.append(escape_markdown(display.legend))
    if display.signs:
        signs = "; ".join(f"{sign.sign} {sign.word}: {sign.means}" for sign in display.signs)
        parts.append(f"Signs: {escape_markdown(signs)}.")
    if display.notes:
        notes = enumerate(display.notes, start=1)
        parts.append("\n".join(f"{number}. {escape_markdown(note)}" for number, note in notes))
    runs = [line for details in display.iter_details() if (line := _list_runs(details, base))]
    if runs:
        listed = "\n".join(runs)
        parts.append(f"<details><summary>Runs in MLflow</summary>\n\n{listed}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _close_up(table: str) -> str:
    """``table`` without the blanks that align its columns: beside a long sentence they would be most of the file."""
    head, rule, *rows = (re.sub(" {2,}", " ", line) for line in table.splitlines())
    return "\n".join([head, re.sub("-{4,}", "---", rule), *rows])


def _show(cell: Cell) -> str:
    text = escape_markdown(cell.shown)
    return f"{text} <sup>{','.join(map(str, cell.notes))}</sup>" if cell.notes else text


def _list_runs(details: Details, base: str) -> str:
    """The runs behind one row on one data set; empty where there are none."""
    links = [
        f"[{escape_markdown(run.label)}]({base}/{run.fragment})"
        if run.fragment
        else escape_markdown(run.label)
        for run in details.runs
    ]
    return f"- {escape_markdown(details.title)}: {' · '.join(links)}" if links else ""
