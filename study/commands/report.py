"""``report``: tables and figures from what MLflow holds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from study.analysis.costs import CountedCost, add_costs
from study.analysis.fusion import fuse_scores
from study.analysis.published import PublishedTable, RowSpec, load_published
from study.analysis.repeats import PlannedState, RepeatResult, TrialRef, average_folds
from study.analysis.tables import PAPER_PROFILE, ExperimentView, build_table, index_runs
from study.commands.architecture import show_architecture
from study.commands.claims import collect_claims
from study.commands.evidence import collect_evidence, list_confounded
from study.commands.figures import FigureSource, collect_material
from study.commands.report_manifest import describe_origin
from study.commands.runtimes import Runtimes, mark_runtimes
from study.commands.stored_scores import StoredScores, primary_views
from study.commands.tracked_runtimes import collect_tracked, update_tracked
from study.commands.tracking import update_tracking
from study.cost.oracle import derive_total, has_closed_form
from study.data.catalog import open_dataset
from study.data.contact_sheet import draw_contact_sheet
from study.errors import StudyError
from study.reporting.display import Display
from study.reporting.manifest import write_manifest
from study.reporting.plots import draw_figures
from study.reporting.report import FIGURES, Picture, ReportSource, render_report
from study.running.plan import Plan, State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Arm, Experiment, Row, Study
from study.tracking.read import load_attention, load_runs

STATES: dict[State, PlannedState] = {
    State.DONE: "done",
    State.STALE: "stale",
    State.FAILED: "failed",
    State.STOPPED: "stopped",
}
"""States of a plan that a table shows by that word; everything else has no result yet."""


def write_report(
    study: Study,
    storage: Path,
    *,
    tracking_uri: str | None,
    output: Path | None,
    strict: bool = False,
    executor: Executor | None = None,
) -> Path:
    """Bring MLflow up to date with the store, then write the report of ``study``; returns the HTML page.

    Arguments are those of :func:`write_report_of`.
    """
    store = Store.at(storage)
    plan = make_plan(study, store)
    update_tracking(plan, store, tracking_uri)
    update_tracked(store, tracking_uri)
    facts = json.loads(store.facts.read_text()) if store.facts.exists() else None
    return write_report_of(
        plan,
        store,
        tracking_uri=tracking_uri,
        output=output or store.report,
        facts=facts,
        strict=strict,
        executor=executor,
    )


def write_report_of(
    plan: Plan,
    store: Store,
    *,
    tracking_uri: str | None,
    output: Path,
    facts: Mapping[str, str] | None = None,
    strict: bool = False,
    executor: Executor | None = None,
) -> Path:
    """Write the report of ``plan`` from what MLflow holds; returns the HTML page.

    Args:
        plan: the trials.
        store: where they lie.
        tracking_uri: MLflow's address; the store's own database when None.
        output: folder to write to.
        facts: further lines for the report's provenance.
        strict: refuse to write a report in which a difference is confounded.
        executor: processes that draw the figures; this one when None.

    Raises:
        StudyError: naming each confounded difference, with ``strict``.
    """
    uri = tracking_uri or store.tracking_uri
    runs = load_runs(uri, plan.study.name, store.find_id())
    if strict and (confounded := list_confounded(plan)):
        raise StudyError("\n".join(confounded))
    scores = StoredScores(uri, runs, [planned.trial_id for planned in plan.trials])
    views = [view_experiment(experiment, plan, scores) for experiment in plan.study.experiments]
    attention = load_attention(uri, runs)
    material = collect_material(FigureSource(plan, store, uri, runs, attention, scores))
    # From here on other processes draw. No figure shows the statistics, which take about as long.
    by_id = index_runs(runs)
    figures = draw_figures([build_table(view, by_id) for view in views], material, output / FIGURES, executor)
    views = [add_evidence(view, plan, scores) for view in views]
    runtimes = collect_tracked(plan.study, store, uri)
    source = ReportSource(
        study=plan.study.name,
        views=views,
        runs=runs,
        attention=attention,
        claims=collect_claims(views, plan, scores, attention, store, runtimes=runtimes),
        material=material,
        command=_command(plan.study),
        facts=facts or {},
        pictures=_contact_sheets(plan, store, output),
        extras=_extra_tables(views, runtimes, store),
    )
    origin = describe_origin(plan, mark_runtimes(runtimes))
    write_manifest(output, render_report(source, output, figures), origin)
    return output / "report.html"


def _extra_tables(views: Sequence[ExperimentView], runtimes: Runtimes, store: Store) -> list[Display]:
    """Measured speeds; the paper's description of the network beside ours, for reports of the paper's tables."""
    table = show_architecture(store) if any(view.published for view in views) else None
    return [*runtimes.build_displays(), *([table] if table else [])]


def view_experiment(experiment: Experiment, plan: Plan, scores: StoredScores) -> ExperimentView:
    """``experiment`` with its trials, what the paper prints of it and its fusions."""
    trials = {}
    for arm in experiment.arms:
        cells = [plan.find(experiment.name, arm.name, repeat) for repeat in range(experiment.repeats)]
        trials[arm.name] = [
            TrialRef(repeat, cell.trial_id, STATES.get(cell.state, "missing"), cell.reason)
            for repeat, cell in enumerate(cells)
        ]
    name = experiment.spec.published
    published = load_published(name) if name else None
    return ExperimentView(
        experiment=experiment,
        trials=trials,
        published=published,
        counted=_count_at_paper_scale(experiment, published) if published else {},
        fused={
            (row.name, dataset.name): tuple(_fuse_folds(row, dataset.name, experiment, plan, scores))
            for row in experiment.rows
            for dataset in experiment.datasets
            if row.spec.fuse
        },
    )


def add_evidence(view: ExperimentView, plan: Plan, scores: StoredScores) -> ExperimentView:
    """``view`` with the statistics of its differences."""
    return replace(view, evidence=collect_evidence(view.experiment, plan, scores, view.published))


def _fuse_folds(
    row: Row, dataset: str, experiment: Experiment, plan: Plan, scores: StoredScores
) -> Iterator[RepeatResult]:
    """The results of a fusion on one data set, repeat by repeat: the mean over its folds."""
    parts = [experiment.row(name).on(dataset) for name in row.spec.fuse]
    by_fold = [list(_fuse(arms, experiment, plan, scores)) for arms in zip(*parts, strict=True)]
    return (average_folds(folds) for folds in zip(*by_fold, strict=True))


def _fuse(
    arms: Sequence[Arm], experiment: Experiment, plan: Plan, scores: StoredScores
) -> Iterator[RepeatResult]:
    """The result of a fusion, repeat by repeat; missing where a part is."""
    for repeat in range(experiment.repeats):
        cells = [plan.find(experiment.name, arm.name, repeat) for arm in arms]
        missing = [arm.label for arm, cell in zip(arms, cells, strict=True) if not scores.has(cell.trial_id)]
        if missing:
            yield RepeatResult(repeat, "", "missing", f"needs {', '.join(missing)}")
            continue
        try:
            stored = [scores.load(cell.trial_id) for cell in cells]
            fused = fuse_scores(stored, [primary_views(arm) for arm in arms])
        except (StudyError, ValueError) as error:
            yield RepeatResult(repeat, "", "missing", str(error))
            continue
        yield RepeatResult(repeat, "", "done", top1=fused.top1, top5=fused.top5)


def _count_at_paper_scale(experiment: Experiment, published: PublishedTable) -> dict[str, CountedCost]:
    """What each row costs at the scale of the paper's table, in closed form where there is one."""
    paper = load_study([str(experiment.path)], profile=PAPER_PROFILE).experiment(experiment.name)
    counted: dict[str, CountedCost] = {}
    for row in paper.rows:
        printed = published.row(row.spec.published) if row.spec.published else None
        if row.arms:
            cost = _closed_form(row.arms[0], printed)
        else:
            parts = [counted[name] for name in row.spec.fuse if name in counted]
            cost = add_costs(parts) if parts and len(parts) == len(row.spec.fuse) else None
        if cost is not None:
            counted[row.name] = cost
    return counted


def _closed_form(arm: Arm, printed: RowSpec | None) -> CountedCost | None:
    """The cost of ``arm`` without building it; None for networks that only `cost` can count."""
    settings = arm.settings
    classes = (printed.classes if printed else None) or getattr(settings.data, "num_classes", None)
    if classes is None or not has_closed_form(settings.model):
        return None
    clip = settings.clip
    params, macs = derive_total(
        settings.model,
        num_classes=classes,
        frames=clip.frames,
        size=clip.size,
        in_channels=clip.channels,
    )
    return CountedCost(params / 1e6, macs / 1e9)


def _command(study: Study) -> str:
    """The command that launches this study again."""
    try:
        default = load_study()
        usual = default.requested, default.profile.name
    except StudyError:  # a folder of experiments need not have a default study
        usual = (), ""
    parts = ["uv run run_study.py launch"]
    if study.requested != usual[0]:
        parts += [shlex.quote(name) for name in study.requested]
    if study.profile.name != usual[1]:
        parts.append(f"--profile {shlex.quote(study.profile.name)}")
    if {e.repeats for e in study.experiments} != {e.spec.repeats for e in study.experiments}:
        parts.append(f"--repeats {study.experiments[0].repeats}")
    parts += [f"--set {shlex.quote(override)}" for override in study.overrides]
    return " ".join(parts)


def _contact_sheets(plan: Plan, store: Store, output: Path) -> list[Picture]:
    """Frames of an example of each class, for every data set whose videos are at hand."""
    pictures: list[Picture] = []
    shown: set[bytes] = set()
    specs = {planned.trial.data_digest: planned.trial.settings.data for planned in plan.trials}
    for digest, spec in specs.items():
        path = output / "figures" / f"videos-{spec.type}-{digest[:8]}.png"
        try:
            source = open_dataset(spec, store.data)
            draw_contact_sheet(source.manifest(), path)
        except StudyError:
            continue  # without videos there is nothing to show; the plan says what is not at hand
        # Manifests that differ in something else, such as flow beside the frames, show the same videos.
        content = path.read_bytes()
        if content in shown:
            path.unlink()
            continue
        shown.add(content)
        pictures.append(Picture(f"Videos of the data set '{spec.type}'", path))
    return pictures
