"""The two documents of a report, ``report.html`` and ``report.md``, from templates (``reports/templates``)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from study.analysis.published import find_reports
from study.analysis.tables import TableResult
from study.reporting.claims import VERDICTS, ClaimsView, show_estimate
from study.reporting.display import Display
from study.reporting.figures import FigureFiles
from study.reporting.html_table import table_html
from study.reporting.source import ReportSource
from study.reporting.texts import escape_markdown, table_markdown

DOCUMENTS = ("report.html", "report.md")
WIDE = 12
"""Columns of a table that fit across a page of paper; one with more stands on a page turned sideways."""


@dataclass(frozen=True)
class Section:
    """One experiment in the report."""

    table: TableResult
    display: Display
    summary: str
    figures: tuple[FigureFiles, ...]


@dataclass(frozen=True)
class Content:
    """Everything the documents show.

    Attributes:
        source: what the report is made from.
        sections: its experiments, in order.
        overview: figures over all of them.
        claims: the paper's claims; None without any.
        progress: plan and cost.
        health: which videos trials saw; None where no run says.
        left_out: accounts of videos left out.
        provenance: where the numbers come from, by label.
        newest: when the newest trial ended, in words.
    """

    source: ReportSource
    sections: Sequence[Section]
    overview: Sequence[FigureFiles]
    claims: ClaimsView | None
    progress: Display
    health: Display | None
    left_out: Sequence[tuple[str, str]]
    provenance: Mapping[str, str]
    newest: str

    @cached_property
    def base(self) -> str:
        """The address of MLflow, without a slash at its end."""
        return self.source.ui_base.rstrip("/")

    @cached_property
    def markdown(self) -> Mapping[str, str]:
        """Every table as Markdown, by name."""
        return {display.name: table_markdown(display, self.base) for display in self.displays}

    @cached_property
    def displays(self) -> list[Display]:
        """Every table of it."""
        shown = [
            self.claims.display if self.claims else None,
            *(section.display for section in self.sections),
        ]
        shown += [*self.source.extras, self.progress, self.health]
        return [display for display in shown if display is not None]


def render_document(name: str, content: Content) -> str:
    """The document called ``name``, one of :data:`DOCUMENTS`."""
    templates = find_reports() / "templates"
    script = f"\n{(templates / 'report.js').read_text(encoding='utf-8')}"
    views = content.source.views
    return (
        _environment(templates, content, html=name.endswith(".html"))
        .get_template(f"{name}.j2")
        .render(
            {field.name: getattr(content, field.name) for field in fields(content)}
            | {
                "base": content.base,
                "profile": views[0].experiment.profile if views else None,
                "names": {section.display.name for section in content.sections},
                "contents": _list_contents(content),
                "wide": WIDE,
                "style": Markup((templates / "report.css").read_text(encoding="utf-8")),
                "script": Markup(script),
                "script_hash": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
            }
        )
    )


def _environment(templates: Path, content: Content, html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escape_markdown
    environment.filters["data_uri"] = data_uri
    environment.filters["unbroken"] = lambda text: text.replace("top-", "top\u2011")
    environment.globals["table_markdown"] = lambda display: content.markdown[display.name]
    environment.globals["table_html"] = table_html
    environment.globals["show_estimate"] = show_estimate
    environment.globals["verdicts"] = VERDICTS
    return environment


def _list_contents(content: Content) -> list[tuple[str, str]]:
    """Anchor and short title of every part of the page."""
    parts = [("part-claims", "Claims")] if content.claims else []
    parts.append(("part-found", "Findings"))
    parts += [(section.display.name, _shorten(section.display.title)) for section in content.sections]
    parts += [(display.name, _shorten(display.title)) for display in content.source.extras]
    parts += [("part-overview", "Overview"), ("part-plan", "Plan and cost")]
    parts += [("part-data", "Data health")] if content.health else []
    return [*parts, ("part-provenance", "Provenance")]


def _shorten(title: str) -> str:
    """What stands before the colon or the first stop of a title: "Table 7"."""
    return title.partition(":")[0].partition(". ")[0]


def data_uri(path: Path) -> Markup:
    """A PNG or JPEG file as an address that holds the picture itself."""
    kind = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}[path.suffix.lower()]
    return Markup(f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}")
