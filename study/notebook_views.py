"""Tables and figures that a notebook shows by themselves."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import pandas as pd
from markupsafe import escape

from study.errors import StudyError
from study.reporting.display import Display
from study.reporting.figures import FigureFiles
from study.reporting.html_table import table_html
from study.reporting.latex import table_latex
from study.reporting.texts import table_markdown

STYLE = (
    "<style>.study-table td, .study-table th {text-align: right; white-space: nowrap}"
    ".study-table th[scope=row] {text-align: left} .study-table .published {font-style: italic}</style>"
)
"""Notebooks bring a look of their own; this adds alignment, and sets published numbers apart."""


class TableView:
    """A table of a report.

    Attributes:
        display: what is shown.
    """

    def __init__(self, display: Display) -> None:
        # Nothing opens in a notebook: the page brings what that takes.
        rows = tuple(tuple(replace(cell, details=None) for cell in row) for row in display.rows)
        self.display = replace(display, rows=rows)

    def __repr__(self) -> str:
        return f"<table {self.display.name}, {len(self.display.rows)} rows: {self.display.title}>"

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers for programs, with units in the names of the columns."""
        return self.display.to_frame()

    def to_latex(self) -> str:
        """The table for a paper; its first line names the packages."""
        return table_latex(self.display)

    def to_markdown(self) -> str:
        """The table with its legend and footnotes."""
        return f"**{self.display.title}**\n\n{table_markdown(self.display, '')}"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        display = self.display
        notes = "".join(
            f'<li id="{escape(display.name)}-note-{number}">{escape(note)}</li>'
            for number, note in enumerate(display.notes, start=1)
        )
        return (
            f'{STYLE}<div class="study-table"><p><strong>{escape(display.title)}</strong></p>{table_html(display)}'
            f"<p><small>{escape(display.legend)}</small></p>"
            + (f"<ol>{notes}</ol>" if notes else "")
            + "</div>"
        )


@dataclass(frozen=True)
class FigureView:
    """A figure of a report, or why there is none.

    Attributes:
        name: its name.
        title: its title.
        caption: what it shows, or why it was not drawn.
        frame: what is drawn; empty where nothing is.
        png: the picture; empty where there is none.
        svg: the same.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame = field(repr=False, default_factory=pd.DataFrame)
    png: bytes = field(repr=False, default=b"")
    svg: str = field(repr=False, default="")

    @classmethod
    def read(cls, files: FigureFiles) -> FigureView:
        """The figure of ``files``, read into memory."""
        by_suffix = {path.suffix: path for path in files.files}
        if ".png" not in by_suffix:
            return cls(files.name, files.title, files.missing or files.caption)
        svg = by_suffix[".svg"].read_text(encoding="utf-8") if ".svg" in by_suffix else ""
        csv = by_suffix[".csv"].read_text(encoding="utf-8") if ".csv" in by_suffix else ""
        frame = pd.read_csv(StringIO(csv)) if csv else pd.DataFrame()
        return cls(files.name, files.title, files.caption, frame, by_suffix[".png"].read_bytes(), svg)

    def save(self, path: str | Path) -> Path:
        """Write the picture; the suffix, ``.png`` or ``.svg``, says in which form.

        Raises:
            StudyError: when there is no picture, or none in this form.
        """
        path = Path(path)
        contents = {".png": self.png, ".svg": self.svg.encode()}
        if not contents.get(path.suffix):
            raise StudyError(
                f"{path}: figure '{self.name}' cannot be written so: allowed are .png and .svg. {self.caption}"
            )
        path.write_bytes(contents[path.suffix])
        return path

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """The picture with its caption as text; without one, the reason."""
        text = f"{self.title}. {self.caption}"
        if not self.png:
            return {"text/plain": text}
        return {"image/png": base64.b64encode(self.png).decode(), "text/plain": text}
