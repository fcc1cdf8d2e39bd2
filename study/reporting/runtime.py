"""Speeds as they are shown: measured beside published, ratios held against each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd

from study.analysis.lint.rounding import Interval, interval_of
from study.analysis.runtime import RuntimeRow, RuntimeTable, write_ranking
from study.reporting.display import Cell, Column, Display, Footnotes, show_sentence
from study.reporting.signs import ABSENT, SIGNS
from study.spec.runtime import Quartiles, RuntimeRecord

MEASURED, PUBLISHED, CHECK = "measured here", "published, GTX 1080 Ti, batch 16", "against the print"
KERNELS = {
    "native": "our compiled kernels for CPUs",
    "winograd": "our Winograd kernel for CPUs",
    "triton": "our Triton kernel",
    "library": "PyTorch's convolutions",
}
NAME = "speed"
"""End of the names of these tables' files."""


def build_speed_displays(tables: Sequence[RuntimeTable], hints: Mapping[str, str]) -> list[Display]:
    """The tables of one experiment as they are shown, with names of their own.

    Args:
        tables: one for each set of conditions.
        hints: by experiment the command that measures it.
    """
    names: list[str] = []
    displays = []
    for table in tables:
        slug = f"-{table.record.conditions.slug}" if table.record else ""
        name = f"{table.experiment.name}_{NAME}{slug}"
        names.append(name)
        # The same conditions on two devices.
        number = names.count(name)
        displays.append(_build(table, name + (f"-{number}" if number > 1 else ""), hints))
    return displays


def _build(table: RuntimeTable, name: str, hints: Mapping[str, str]) -> Display:
    notes = Footnotes()
    hint = hints.get(table.experiment.name, "")
    return Display(
        name=name,
        title=_write_title(table),
        columns=_list_columns(table),
        rows=tuple(tuple(_list_cells(table, row, notes, hint)) for row in table.rows),
        baseline=next((n for n, row in enumerate(table.rows) if row.name == table.against), None),
        notes=tuple(notes.texts),
        legend=_write_legend(table, hint),
        frame=speed_frame(table),
    )


def _write_title(table: RuntimeTable) -> str:
    title = f"Speed: {table.experiment.spec.title}"
    if table.record is None:
        return title
    conditions = table.record.conditions
    compiled = ", compiled" if conditions.compile else ""
    return (
        f"{title} ({conditions.mode} on {table.record.environment.device}, batch {conditions.batch}, "
        f"{conditions.dtype}{compiled})"
    )


def _has_wall(table: RuntimeTable) -> bool:
    return table.record is not None and table.record.conditions.clock == "process CPU time"


def _list_columns(table: RuntimeTable) -> tuple[Column, ...]:
    label = next((row.label for row in table.rows if row.name == table.against), table.against)
    columns = [Column("", table.experiment.spec.row_header, text=True)]
    measured = ["latency, ms", *(["wall, ms"] if _has_wall(table) else []), "videos/s", "peak, GiB"]
    columns += [Column(MEASURED, header) for header in (*measured, f"speed over {label}")]
    if table.published is not None:
        columns += [
            Column(PUBLISHED, header, published=True) for header in ("videos/s", f"speed over {label}")
        ]
        columns += [Column(CHECK, "ratio", text=True)]
        columns += [Column(CHECK, "videos/s", text=True)] if table.is_papers_gpu else []
    return tuple(
        replace(column, first=index > 0 and column.group != columns[index - 1].group)
        for index, column in enumerate(columns)
    )


def _list_cells(table: RuntimeTable, row: RuntimeRow, notes: Footnotes, hint: str) -> list[Cell]:
    is_reference = row.name == table.against
    cells = [Cell(row.label + (" (reference)" if is_reference else ""))]
    runtime = row.runtime
    width = 5 if _has_wall(table) else 4
    if runtime is None:
        state = "not applicable" if not _could_be_measured(table, row) else "missing"
        why = row.reason if table.record or state == "not applicable" else f"Not measured: `{hint}` does."
        marks = notes.add(show_sentence(why))
        cells += [Cell(SIGNS[state].sign, marks if not place else (), state) for place in range(width)]
    else:
        assert runtime.latency_ms is not None
        assert runtime.videos_per_s is not None
        also = ("stale",) if row.stale else ()
        marks = notes.add(show_sentence(runtime.note), describe_layers(runtime.sth_layers))
        cells.append(Cell(_show(runtime.latency_ms), marks, also=also))
        if _has_wall(table):
            cells.append(Cell(_show(Quartiles.of([1000 * one for one in runtime.wall_seconds])), also=also))
        cells.append(Cell(_show(runtime.videos_per_s), also=also))
        cells.append(_memory_cell(runtime.peak_mem_gib, runtime.peak_mem_note, notes))
        cells.append(_ratio_cell(row, is_reference, notes))
    if table.published is not None:
        cells += _published_cells(table, row, is_reference)
    return cells


def describe_layers(layers: Mapping[Literal["native", "winograd", "triton", "library"], int]) -> str:
    """What ran a network's layers of STH-Conv, in a sentence; "" without any."""
    if not layers:
        return ""
    total = sum(layers.values())
    shares = [
        KERNELS[name] + (f" ({count} of {total})" if count < total else "") for name, count in layers.items()
    ]
    return f"Layers of STH-Conv ran on {' and '.join(shares)}."


def _could_be_measured(table: RuntimeTable, row: RuntimeRow) -> bool:
    return bool(table.experiment.row(row.name).arms)


def _memory_cell(gib: float | None, note: str, notes: Footnotes) -> Cell:
    if gib is None:
        return Cell(SIGNS["missing"].sign, notes.add(show_sentence(note)), "missing")
    return Cell(_digits(gib))


def _ratio_cell(row: RuntimeRow, is_reference: bool, notes: Footnotes) -> Cell:
    if is_reference:
        return Cell("1")
    if row.ratio is None:
        return Cell(SIGNS["missing"].sign, notes.add("No ratio: the reference has no times here."), "missing")
    order = row.ratio.order
    marks = notes.add(
        "Within the spread: the quartiles contain 1, so neither is called faster."
        if order == "within the spread"
        else "Too few rounds to say which is faster."
        if order == "too few rounds"
        else ""
    )
    return Cell(_show(row.ratio.ratio), marks, also=("stale",) if row.stale else ())


def _published_cells(table: RuntimeTable, row: RuntimeRow, is_reference: bool) -> list[Cell]:
    printed, ratio = row.printed, row.printed_ratio
    base = next((one.printed for one in table.rows if one.name == table.against), None)
    shown = (
        f"{printed / base:.2f}" if printed and base and ratio else "1" if printed and is_reference else ABSENT
    )
    cells = [Cell(ABSENT if printed is None else f"{printed:g}"), Cell(shown)]
    cells.append(Cell(_hold(row.ratio.ratio if row.ratio else None, ratio)))
    if table.is_papers_gpu:
        ours = row.runtime.videos_per_s if row.runtime else None
        cells.append(Cell(_hold(ours, interval_of(printed))))
    return cells


def _hold(ours: Quartiles | None, printed: Interval | None) -> str:
    """A measured number in relation to a printed one, in a word."""
    if ours is None or printed is None:
        return ABSENT
    if Interval(ours.q1, ours.q3).meets(printed):
        return "agrees"
    return "higher" if ours.median > printed.high else "lower"


def _write_legend(table: RuntimeTable, hint: str) -> str:
    record = table.record
    printed = (
        " Published speeds are of one GTX 1080 Ti at batch size 16 (section 4.6); "
        + ("speeds and ratios" if table.is_papers_gpu else "ratios, and not the speeds themselves,")
        + " are held against them: agrees where the quartiles meet what rounds to the print."
        if table.published is not None
        else ""
    )
    if record is None:
        return f"Nothing was measured at this scale; `{hint}` does.{printed}"
    labels = {row.name: row.label for row in table.rows if row.runtime}
    return (
        f"{describe_session(record)} Medians over rounds with quartiles in brackets. A video is the clips that the "
        "row's published cost covers. Ratios are of videos in a second, above 1 faster, paired round by round. "
        f"{write_ranking(record, labels)}{printed}"
    ).strip()


def describe_session(record: RuntimeRecord) -> str:
    """Conditions, device, libraries and rounds of a measurement, in sentences."""
    environment = record.environment
    torch = environment.versions.get("torch", "of unknown version")
    commit = f", commit {environment.git_commit}" if environment.git_commit else ""
    load = (
        f" The load of the machine was {record.load_average:.1f}."
        if record.load_average is not None and record.conditions.device == "cpu"
        else ""
    )
    return (
        f"{show_sentence(record.conditions.describe())} Device: {environment.device}; torch {torch}{commit}. "
        f"All arms in one process, once in each of {record.rounds} rounds in an order drawn anew, after "
        f"{record.warmup} that do not count.{load}"
    )


def speed_frame(table: RuntimeTable) -> pd.DataFrame:
    """One row an arm, with units in the names of the columns; quartiles end in ``_q1`` and ``_q3``."""
    record = table.record
    about: dict[str, object] = {}
    if record is not None:
        about = record.conditions.model_dump() | {
            "device_name": record.environment.device,
            "torch": record.environment.versions.get("torch"),
            "git_commit": record.environment.git_commit,
            "rounds": record.rounds,
            "runtime_id": record.runtime_id,
        }
    return pd.DataFrame([_describe_row(table, row) | about for row in table.rows])


def _describe_row(table: RuntimeTable, row: RuntimeRow) -> dict[str, object]:
    runtime, ratio = row.runtime, row.ratio
    base = next((one.printed for one in table.rows if one.name == table.against), None)
    wall = Quartiles.of([1000 * one for one in runtime.wall_seconds]) if runtime else None
    return {
        "arm": row.name,
        "reason": row.reason,
        "stale": row.stale,
        **_spread("latency_ms", runtime.latency_ms if runtime else None),
        **_spread("wall_ms", wall),
        **_spread("videos_per_s", runtime.videos_per_s if runtime else None),
        "peak_mem_gib": runtime.peak_mem_gib if runtime else None,
        "sth_layers": json.dumps(runtime.sth_layers) if runtime and runtime.sth_layers else None,
        "against": table.against,
        **_spread("speed_ratio", ratio.ratio if ratio else None),
        "order": ratio.order if ratio else None,
        "published_videos_per_s": row.printed,
        "published_speed_ratio": row.printed / base if row.printed and base else None,
    }


def _spread(name: str, found: Quartiles | None) -> dict[str, float | None]:
    values = (found.median, found.q1, found.q3) if found else (None, None, None)
    return dict(zip((name, f"{name}_q1", f"{name}_q3"), values, strict=True))


def _show(found: Quartiles) -> str:
    """Median and quartiles: "412 [409, 417]"."""
    return f"{_digits(found.median)} [{_digits(found.q1)}, {_digits(found.q3)}]"


def _digits(value: float) -> str:
    """``value`` to three digits that matter, never as a power of ten.

    >>> _digits(1234.5), _digits(12.345), _digits(0.98765), _digits(0.0123456)
    ('1234', '12.3', '0.988', '0.0123')
    """
    limits = (100, 10, 1, 0.1, 0.01)
    return f"{value:.{next((n for n, limit in enumerate(limits) if abs(value) >= limit), len(limits))}f}"
