"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from study.analysis.claims.result import ClaimResult
from study.analysis.tables import ExperimentView
from study.reporting.display import Display
from study.reporting.figures import FigureMaterial

UI_BASE = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Picture:
    """A picture made elsewhere, to be shown at the end: a contact sheet of videos."""

    title: str
    path: Path
    caption: str = ""


@dataclass(frozen=True)
class ReportSource:
    """Everything a report is made from. It holds no time of writing: the same source gives the same bytes.

    Attributes:
        study: name of the study.
        views: its experiments, in order.
        runs: :func:`study.tracking.read.load_runs`.
        attention: :func:`study.tracking.read.load_attention`.
        command: what reproduces it.
        ui_base: where MLflow is served when `ui` runs; numbers link below it.
        facts: further lines of provenance, such as the time the whole took.
        pictures: pictures made elsewhere.
        claims: what became of the paper's claims.
        material: what figures are drawn from; the attention alone when None.
        extras: further tables, shown after the experiments' own.
    """

    study: str
    views: Sequence[ExperimentView]
    runs: pd.DataFrame
    attention: pd.DataFrame
    command: str = "uv run run_study.py launch"
    ui_base: str = UI_BASE
    facts: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    claims: Sequence[ClaimResult] = ()
    material: FigureMaterial | None = None
    extras: Sequence[Display] = ()
