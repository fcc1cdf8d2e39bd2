"""The report of a study: one HTML page, Markdown, and the tables and figures by themselves.

It is made from frames alone (:mod:`study.tracking.read`) and runs nothing. A study without a single finished
trial gives a report too, which says of every cell why it is empty.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from study.analysis.frames import table_frame
from study.analysis.published import find_reports
from study.analysis.tables import ExperimentView, TableResult, build_table
from study.reporting.display import Display, build_display
from study.reporting.figures import FigureFiles
from study.reporting.plots import draw_figures
from study.reporting.summary import collect_provenance, summarize
from study.reporting.texts import escape_markdown, table_latex, table_markdown
from study.spec.record import write_atomically

UI_BASE = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Picture:
    """A picture made elsewhere, to be shown at the end: a contact sheet of videos."""

    title: str
    path: Path
    caption: str = ""


@dataclass(frozen=True)
class ReportSource:
    """Everything a report is made from.

    Attributes:
        study: name of the study.
        views: its experiments, in order.
        runs: :func:`study.tracking.read.load_runs`.
        attention: :func:`study.tracking.read.load_attention`.
        generated_at: when; printed in the report.
        command: what reproduces it.
        ui_base: where MLflow is served when `ui` runs; numbers link below it.
        facts: further lines of provenance, such as the time the whole took.
        pictures: pictures made elsewhere.
    """

    study: str
    views: Sequence[ExperimentView]
    runs: pd.DataFrame
    attention: pd.DataFrame
    generated_at: datetime
    command: str = "uv run run_study.py launch"
    ui_base: str = UI_BASE
    facts: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Section:
    """One experiment in the report."""

    table: TableResult
    display: Display
    summary: str
    figures: tuple[FigureFiles, ...]


def render_report(source: ReportSource, out_dir: Path) -> list[Path]:
    """Write the report into ``out_dir``.

    ``report.html``, ``report.md``, ``tables/<experiment>.{md,tex,csv}`` and ``figures/<name>.{png,svg,csv}``.

    Returns:
        The files written.
    """
    tables = [build_table(view, source.runs) for view in source.views]
    by_experiment, overview = draw_figures(tables, source.attention, out_dir / "figures")
    sections = [
        Section(table, build_display(table), summarize(table), by_experiment[table.experiment.name])
        for table in tables
    ]
    written = []
    for section in sections:
        written += _write_tables(section, source.ui_base.rstrip("/"), out_dir / "tables")
    for name in ("report.html", "report.md"):
        write_atomically(out_dir / name, _render(name, source, sections, overview))
        written.append(out_dir / name)
    for picture in source.pictures:
        copy = out_dir / "figures" / picture.path.name
        write_atomically(copy, picture.path.read_bytes())
        written.append(copy)
    figures = [*overview, *(figure for section in sections for figure in section.figures)]
    return written + [path for figure in figures for path in figure.files]


def _write_tables(section: Section, base: str, folder: Path) -> list[Path]:
    display = section.display
    contents = {
        "md": f"# {escape_markdown(display.title)}\n\n{table_markdown(display, base)}",
        "tex": table_latex(display),
        "csv": table_frame(section.table).to_csv(index=False, lineterminator="\n"),
    }
    paths = []
    for suffix, content in contents.items():
        path = folder / f"{display.name}.{suffix}"
        write_atomically(path, content)
        paths.append(path)
    return paths


def _render(
    name: str, source: ReportSource, sections: Sequence[Section], overview: Sequence[FigureFiles]
) -> str:
    environment = Environment(
        loader=FileSystemLoader(find_reports() / "templates"),
        autoescape=name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    base = source.ui_base.rstrip("/")
    environment.filters["md"] = escape_markdown
    environment.filters["data_uri"] = data_uri
    environment.globals["table_markdown"] = lambda display: table_markdown(display, base)
    profile = source.views[0].experiment.profile if source.views else None
    tables = [section.table for section in sections]
    return environment.get_template(f"{name}.j2").render(
        source=source,
        base=base,
        profile=profile,
        sections=sections,
        overview=overview,
        provenance=collect_provenance(source.runs, tables) | dict(source.facts),
        generated_at=source.generated_at.strftime("%Y-%m-%d %H:%M %Z").strip(),
    )


def data_uri(path: Path) -> Markup:
    """A PNG or JPEG file as an address that holds the picture itself."""
    kind = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}[path.suffix.lower()]
    return Markup(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
