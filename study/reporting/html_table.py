"""Tables as HTML, through pandas' Styler with a template of our own (``reports/templates/table.html.tpl``).

Styler lays out the headings (groups of columns span theirs) and the cells; what a cell says is written here, escaped.
The script of the page sorts by ``data-key``. What opens behind a cell stands once after the table, not in the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pandas as pd
from markupsafe import Markup, escape
from pandas.io.formats.style import Styler

from study.analysis.published import find_reports
from study.reporting.display import Cell, Column, Display
from study.reporting.signs import SIGNS

TEMPLATE = "table.html.tpl"


def table_html(display: Display) -> Markup:
    """The table of ``display`` without title, legend, footnotes and what opens behind its cells."""
    columns = pd.MultiIndex.from_tuples([(column.group, column.header) for column in display.columns])
    frame = pd.DataFrame(list(map(list, display.rows)), columns=columns, dtype=object)
    styler = _styler(str(find_reports() / "templates"))(frame, cell_ids=False, uuid_len=0)
    styler.hide(axis="index").format(_cell_writer(display.name)).format_index(escape="html", axis=1)
    if not display.has_groups:
        styler.hide(axis="columns", level=0)
    html = styler.to_html(
        name=display.name,
        column_class=[_column_class(column) for column in display.columns],
        group_class=_group_classes(display),
        row_class=["baseline" if place == display.baseline else "" for place in range(len(display.rows))],
        cell_class=_cell_class,
        has_text=[column.text for column in display.columns],
    )
    return Markup(html)


@cache
def _styler(templates: str) -> type[Styler]:
    return Styler.from_custom_template(templates, html_table=TEMPLATE)


def _column_class(column: Column) -> str:
    names = (
        "published" if column.published else "",
        "edge" if column.first else "",
        "text" if column.text else "",
    )
    return " ".join(name for name in names if name)


def _group_classes(display: Display) -> list[str]:
    """Of the heading of each group, in order."""
    place, classes = 0, []
    for _, span in display.groups:
        classes.append(_column_class(display.columns[place]))
        place += span
    return classes


def _cell_class(cell: Cell) -> str:
    return " ".join(state.replace(" ", "-") for state in cell.states)


def _cell_writer(name: str) -> Callable[[object], str]:
    """What writes the inside of a cell of the table called ``name``."""

    def write(cell: object) -> str:
        assert isinstance(cell, Cell)
        text = str(escape(cell.text))
        if cell.signs:
            words = ", ".join(SIGNS[state].word for state in cell.states)
            text += f' <span class="sign" role="img" aria-label="{escape(words)}">{escape(cell.signs)}</span>'
        elif cell.text in {SIGNS[state].sign for state in cell.states}:
            words = ", ".join(SIGNS[state].word for state in cell.states)
            text = f'<span class="sign" role="img" aria-label="{escape(words)}">{text}</span>'
        if cell.details is not None:
            text = f'<button type="button" class="open" popovertarget="{escape(cell.details.key)}">{text}</button>'
        if cell.notes:
            marks = ",".join(f'<a href="#{escape(name)}-note-{number}">{number}</a>' for number in cell.notes)
            text += f"<sup>{marks}</sup>"
        return text

    return write
