"""``data flow``: compute the optical flow of a data set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from study.commands.data_arguments import open_listing
from study.commands.data_prepare import run_with_bar, tell_summary
from study.data.flow.compute import FlowMethod
from study.data.flow.prepare import prepare_flow
from study.data.flow.video import FlowSettings
from study.data.preparation.batch import BatchSummary, OnResult

FLOW_LIMIT_S = 4 * 3600.0
"""Seconds that one video may take unless told otherwise: TV-L1 takes up to ten for a pair of frames."""


@dataclass(frozen=True)
class FlowOptions:
    """Options of ``data flow``.

    Attributes:
        root: folder with the videos.
        out: folder to write to; beside ``root``, named after it and the method, when None.
        settings: ``key=value`` for further options of the data set.
        method: ``dis``, ``tvl1`` or ``raft``.
        bound: displacement in pixels that the ends of the 8-bit range stand for.
        layout: how the images are named.
        short_side: pixels of the shorter side that larger frames are scaled to first; None leaves the size.
        weights: for ``raft``.
        workers: processes at a time; one for each core when None.
        limit_s: seconds that one video may take.
    """

    root: Path
    out: Path | None = None
    settings: tuple[str, ...] = ()
    method: FlowMethod = "dis"
    bound: float = 20.0
    layout: Literal["tsn", "tsm", "trn"] = "tsn"
    short_side: int | None = 256
    weights: Path | None = None
    workers: int | None = None
    limit_s: float = FLOW_LIMIT_S


def compute_dataset_flow(name: str, options: FlowOptions) -> int:
    """Compute the flow of the data set of type ``name``; 1 when a video failed, else 0.

    Raises:
        SpecError: when a setting is wrong.
        DataError: when the lists cannot be read, the folder not be written, or ``raft`` has no fitting weights.
    """
    listing = open_listing(name, options.root, options.settings)
    root = options.root.resolve()
    out = options.out or root.with_name(f"{root.name}-flow-{options.method}")
    settings = FlowSettings(
        options.method, options.bound, options.layout, options.short_side, options.weights
    )

    def work(on_result: OnResult) -> BatchSummary:
        workers = options.workers or os.cpu_count() or 1
        return prepare_flow(
            listing, out, settings, workers=workers, limit_s=options.limit_s, on_result=on_result
        )

    summary = run_with_bar("flow", listing, work)
    console = Console()
    tell_summary(console, summary, listing, "computed")
    console.print(
        f"Train on it with: clip.modality.type=flow clip.modality.root={out} "
        f"clip.modality.method={options.method} clip.modality.bound={options.bound:g} "
        f"clip.modality.layout={options.layout}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 1 if summary.failures else 0
