"""The report of a study: one HTML page, Markdown, and the tables and figures by themselves.

It is made from frames alone (:mod:`study.tracking.read`) and runs nothing. A study without a single finished
trial gives a report too, which says of every cell why it is empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from study.analysis.tables import TableResult, build_table, index_runs
from study.errors import StudyError
from study.reporting.claims import view_claims
from study.reporting.display import Display
from study.reporting.figures import FigureMaterial
from study.reporting.latex import table_latex
from study.reporting.manifest import remove_former
from study.reporting.overview import build_health, build_progress, list_left_out
from study.reporting.page import DOCUMENTS, Content, Section, render_document
from study.reporting.plots import Figures, draw_figures
from study.reporting.results import build_display
from study.reporting.source import Picture, ReportSource
from study.reporting.summary import collect_provenance, date_newest, summarize
from study.reporting.texts import escape_markdown
from study.spec.record import write_atomically

__all__ = ["FIGURES", "Picture", "ReportSource", "render_report"]

FIGURES = "figures"
"""Folder of the figures in that of a report."""


def render_report(source: ReportSource, out_dir: Path, figures: Figures | None = None) -> list[Path]:
    """Write the report into ``out_dir``, and remove what an earlier one wrote there and this one does not.

    ``report.html``, ``report.md``, ``tables/<name>.{csv,parquet,md,tex}`` and ``figures/<name>.{png,svg,csv}``.

    Args:
        source: what it shows.
        out_dir: the folder.
        figures: what is drawn of it below ``out_dir / FIGURES``; drawn here when None.

    Returns:
        The files written.

    Raises:
        StudyError: when two tables have one name.
    """
    runs = index_runs(source.runs)
    tables = [build_table(view, runs) for view in source.views]
    if figures is None:
        material = source.material or FigureMaterial(attention=source.attention)
        figures = draw_figures(tables, material, out_dir / FIGURES)
    content = _collect_content(source, tables, figures)
    _refuse_duplicates(content.displays)
    written = []
    for display in content.displays:
        written += _write_table(display, content.markdown[display.name], out_dir / "tables")
    figures.finish()
    for name in DOCUMENTS:
        write_atomically(out_dir / name, render_document(name, content))
        written.append(out_dir / name)
    for picture in source.pictures:
        copy = out_dir / FIGURES / picture.path.name
        write_atomically(copy, picture.path.read_bytes())
        written.append(copy)
    written += [path for figure in figures for path in figure.files]
    remove_former(out_dir, written)
    return written


def _collect_content(source: ReportSource, tables: Sequence[TableResult], figures: Figures) -> Content:
    sections = [
        Section(table, build_display(table), summarize(table), figures.by_experiment[table.experiment.name])
        for table in tables
    ]
    return Content(
        source=source,
        sections=sections,
        overview=figures.overview,
        claims=view_claims(source.claims) if source.claims else None,
        progress=build_progress(tables),
        health=build_health(tables),
        left_out=list_left_out(tables),
        provenance=collect_provenance(tables) | dict(source.facts),
        newest=date_newest(tables),
    )


def _refuse_duplicates(displays: Sequence[Display]) -> None:
    counts = Counter(display.name for display in displays)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise StudyError(
            f"the report has two tables called {', '.join(twice)}, and each is written to files of its name: give "
            "the experiment another one ('claims', 'plan' and 'data' are the report's own)"
        )


def _write_table(display: Display, markdown: str, folder: Path) -> list[Path]:
    frame = display.to_frame()
    title = f"# {escape_markdown(display.title)}\n\n"
    contents: dict[str, str | bytes] = {
        "csv": frame.to_csv(index=False, lineterminator="\n"),
        "parquet": frame.to_parquet(index=False),
        "md": title + markdown,
        "tex": table_latex(display),
    }
    paths = []
    for suffix, content in contents.items():
        path = folder / f"{display.name}.{suffix}"
        write_atomically(path, content)
        paths.append(path)
    return paths
