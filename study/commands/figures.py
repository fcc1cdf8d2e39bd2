"""Collecting what figures are drawn from: curves, hits by class, and frames of videos."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.analysis.classes import (
    ClassAccuracy,
    ClassComparison,
    compare_classes,
    rank_classes,
)
from study.analysis.factors import Factor
from study.commands.evidence import FactorFinder, collect_hits
from study.commands.stored_scores import StoredScores
from study.data.catalog import open_dataset
from study.data.contact_sheet import SheetRow, paint_sheet
from study.data.manifest import Manifest, VideoEntry
from study.data.opening import Opener, build_opener
from study.errors import StudyError
from study.reporting.figures.curves import PANELS
from study.reporting.figures.material import FigureKey, FigureMaterial, Sheet
from study.running.plan import Plan
from study.running.store import Store
from study.spec.clip import RgbModality
from study.spec.datasets import AnyDataset
from study.spec.experiment import FigureSpec
from study.spec.resolved import Experiment, Row, UsedDataset
from study.tracking.read import load_curves

SHEET_CLASSES = 6
"""Classes on a contact sheet."""
LEAST_TOP1 = 0.5
"""Top-1 of a class below which nobody would call it recognized."""


@dataclass(frozen=True)
class FigureSource:
    """Where the material of figures comes from.

    Attributes:
        plan: the trials.
        store: where synthetic videos lie.
        uri: MLflow's address.
        runs: :func:`study.tracking.read.load_runs`.
        attention: :func:`study.tracking.read.load_attention`.
        scores: of the finished trials.
    """

    plan: Plan
    store: Store
    uri: str
    runs: pd.DataFrame
    attention: pd.DataFrame
    scores: StoredScores


def collect_material(source: FigureSource) -> FigureMaterial:
    """What the figures of all experiments of the plan need; reads nothing that no figure shows.

    What cannot be had (no finished trial, no videos here) is noted with its reason and raises nothing.
    """
    classes: dict[FigureKey, ClassComparison | str] = {}
    confounders: dict[FigureKey, tuple[Factor, ...]] = {}
    sheets: dict[FigureKey, Sheet | str] = {}
    finder, lists = FactorFinder(source.plan), VideoLists(source.store)
    for experiment, figure in _iter_figures(source.plan):
        key, dataset = (experiment.name, figure.name), _dataset(experiment, figure)
        rows = [experiment.row(name) for name in figure.arms]
        if figure.kind == "class_difference":
            classes[key] = _compare(experiment, rows, dataset, source, lists)
            first, second = ((row.name, dataset.name) for row in rows)
            confounders[key] = finder.find(experiment, first, second)
        elif figure.kind == "contact_sheet":
            sheets[key] = _paint(experiment, rows[0], dataset, source, lists)
    return FigureMaterial(source.attention, _load_curves(source), classes, confounders, sheets)


class VideoLists:
    """The videos and classes of data sets, each listed once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Manifest | None] = {}

    def find(self, experiment: Experiment, row: Row, dataset: UsedDataset) -> list[Manifest]:
        """The manifests of the folds of a data set as ``row`` is trained on it; empty where one is not at hand."""
        parts = [experiment.row(name) for name in row.spec.fuse] or [row]
        found = [self._open(arm.settings.data) for arm in parts[0].on(dataset.name)]
        return [manifest for manifest in found if manifest is not None] if all(found) else []

    def _open(self, spec: AnyDataset) -> Manifest | None:
        key = spec.model_dump_json()
        if key not in self._known:
            try:
                self._known[key] = open_dataset(spec, self._store.data).manifest()
            except StudyError:
                self._known[key] = None  # the plan says what is not at hand
        return self._known[key]


def _iter_figures(plan: Plan) -> Iterator[tuple[Experiment, FigureSpec]]:
    for experiment in plan.study.experiments:
        for figure in experiment.spec.figures:
            yield experiment, figure


def _dataset(experiment: Experiment, figure: FigureSpec) -> UsedDataset:
    """The data set that a figure is about."""
    return next((one for one in experiment.datasets if one.name == figure.dataset), experiment.datasets[0])


def _load_curves(source: FigureSource) -> pd.DataFrame:
    """The curves of the trials that some figure shows."""
    wanted = {
        source.plan.find(experiment.name, arm.name, repeat).trial_id
        for experiment, figure in _iter_figures(source.plan)
        if figure.kind == "training_curves"
        for arm in experiment.arms
        if arm.row in figure.arms and arm.dataset == _dataset(experiment, figure).name
        for repeat in range(experiment.repeats)
    }
    runs = source.runs[source.runs["trial_id"].isin(wanted)]
    return load_curves(source.uri, runs, tuple(PANELS))


def _compare(
    experiment: Experiment, rows: Sequence[Row], dataset: UsedDataset, source: FigureSource, lists: VideoLists
) -> ClassComparison | str:
    hits = [collect_hits(experiment, row, dataset, source.plan, source.scores) for row in rows]
    absent = [row.label for row, own in zip(rows, hits, strict=True) if not own]
    if absent:
        return f"no finished trial of {', '.join(absent)} with scores by video"
    manifests = lists.find(experiment, rows[0], dataset)
    try:
        return compare_classes(hits[0], hits[1], manifests[0].classes if manifests else ())
    except ValueError as error:
        return str(error)


def _paint(
    experiment: Experiment, row: Row, dataset: UsedDataset, source: FigureSource, lists: VideoLists
) -> Sheet | str:
    """The sheet of the classes that ``row`` recognizes best."""
    hits = collect_hits(experiment, row, dataset, source.plan, source.scores)
    if not hits:
        return f"no finished trial of {row.label} with scores by video"
    label = dataset.label or dataset.name or "the data set"
    manifests = lists.find(experiment, row, dataset)
    if not manifests:
        return f"the list of the videos of {label} is not at hand"
    try:
        ranked = rank_classes(hits, manifests[0].classes)
        best = [one for one in ranked if one.always_right and one.top1 >= LEAST_TOP1][:SHEET_CLASSES]
        if not best:
            return f"{row.label} recognizes no class in half of its videos"
        videos = _list_videos(manifests, dataset.folds)
        image = paint_sheet([SheetRow(describe_class(one), *videos[one.always_right[0]]) for one in best])
    except KeyError as error:
        return f"the list of {label} does not name the video {error}"
    except (StudyError, OSError, ValueError):
        # What it says names files of this machine, which are nothing for a report.
        return f"the videos of {label} cannot be read here"
    content = io.BytesIO()
    image.save(content, format="PNG")
    return Sheet(content.getvalue(), _sheet_frame(best), len(ranked))


def _list_videos(manifests: Sequence[Manifest], folds: Sequence[int]) -> dict[str, tuple[VideoEntry, Opener]]:
    """Validation videos by the names that hits have ("fold/video" with several folds), and what opens them."""
    prefixes = [f"{fold}/" for fold in folds] if len(folds) > 1 else [""]
    videos: dict[str, tuple[VideoEntry, Opener]] = {}
    for prefix, manifest in zip(prefixes, manifests, strict=True):
        opener = build_opener(manifest, RgbModality())
        videos |= {f"{prefix}{entry.video_id}": (entry, opener) for entry in manifest.val}
    return videos


def describe_class(one: ClassAccuracy) -> str:
    """What stands beside its frames: name, top-1 over repeats, number of videos."""
    deviation = f" ± {100 * np.std(one.by_repeat, ddof=1):.1f}" if len(one.by_repeat) > 1 else ""
    return f"{one.name}\n{100 * one.top1:.1f}{deviation} %, {one.videos} videos"


def _sheet_frame(classes: Sequence[ClassAccuracy]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "class": one.name,
                "label": one.label,
                "videos": one.videos,
                "top1_percent": 100 * one.top1,
                "top1_std": 100 * float(np.std(one.by_repeat, ddof=1)) if len(one.by_repeat) > 1 else None,
                "repeats": len(one.by_repeat),
                "videos_always_right": len(one.always_right),
                "video": one.always_right[0],
            }
            for one in classes
        ]
    )
