"""A study in a notebook: its results as frames, tables and figures. It reads what MLflow holds and runs nothing.

>>> from study import load_study                                                    # doctest: +SKIP
>>> s = load_study("table7", storage="runs", repeats=3)                              # doctest: +SKIP
>>> s.table("table7")                                                               # doctest: +SKIP

``docs/example.ipynb`` shows all of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from study.analysis.claims.result import ClaimResult
from study.analysis.tables import ExperimentView, TableResult, build_table, index_runs
from study.commands.architecture import TABLE, show_architecture
from study.commands.claims import collect_claims
from study.commands.figures import FigureSource, collect_material
from study.commands.report import add_evidence, view_experiment
from study.commands.stored_scores import StoredScores, primary_views
from study.commands.tracked_runtimes import collect_tracked
from study.data.catalog import open_dataset
from study.errors import DataError, SpecError, StoreError, suggest
from study.notebook_views import FigureView, TableView
from study.reporting.claims import claims_frame, view_claims
from study.reporting.figures.material import FigureMaterial
from study.reporting.plots import draw_figures
from study.reporting.results import build_display
from study.running.plan import Plan, PlannedTrial, make_plan
from study.running.store import Store
from study.spec import loading
from study.spec.resolved import Arm, Experiment, Study
from study.tracking.read import load_attention, load_runs

CLAIMS = "claims"
"""Name of the table of claims."""


def load_study(
    *specs: str,
    storage: str | Path = "runs",
    profile: str | None = None,
    overrides: Sequence[str] = (),
    repeats: int | None = None,
    tracking_uri: str | None = None,
) -> StudyResults:
    """The results of a study; the arguments are those of ``run_study.py report``.

    Args:
        specs: names or paths of experiments or studies; none for the default study.
        storage: directory of the study. It need not exist: then every trial is missing.
        profile: name or path of the profile; None for the study's own.
        overrides: ``path=value`` settings, as the trials were launched with.
        repeats: repeats of every experiment; None for each one's own.
        tracking_uri: MLflow's address; None for the database in the storage directory.

    Raises:
        SpecError: when an experiment, a profile or an override is wrong.

    Example:
        >>> s = load_study("table6", "table7", repeats=3)                           # doctest: +SKIP
    """
    study = loading.load_study(specs, profile=profile, overrides=tuple(overrides), repeats=repeats)
    return StudyResults(study, Store.at(storage), tracking_uri)


class StudyResults:
    """What the trials of a study gave. Everything is read when it is first asked for, and then kept."""

    def __init__(self, study: Study, store: Store, tracking_uri: str | None = None) -> None:
        self.study, self.store = study, store
        self._uri = tracking_uri or store.tracking_uri

    def __repr__(self) -> str:
        counts = pd.Series([str(planned.state) for planned in self._plan.trials], dtype=str).value_counts()
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        names = ", ".join(experiment.name for experiment in self.study.experiments)
        return f"<study {self.study.name}, profile {self.study.profile.name}: {names}; trials: {states}>"

    def plan(self) -> pd.DataFrame:
        """Every trial of the study, done or not, in the order in which they run.

        Returns:
            ``trial_id``, ``experiment``, ``arm``, ``repeat`` (of the first place where it stands), ``tables`` (all
            of them), ``state``, ``reason``, ``seconds`` (time spent; missing before it has ended).

        Example:
            >>> s.plan()["state"].value_counts()                                    # doctest: +SKIP
        """
        rows = [
            {
                "trial_id": planned.trial_id,
                "experiment": planned.uses[0].experiment,
                "arm": planned.uses[0].arm,
                "repeat": planned.uses[0].repeat,
                "tables": ", ".join(planned.tables),
                "state": str(planned.state),
                "reason": planned.reason,
                "seconds": sum(planned.record.seconds.values()) if planned.record else np.nan,
            }
            for planned in self._plan.trials
        ]
        return pd.DataFrame(rows)

    def results(self) -> pd.DataFrame:
        """One row a trial.

        Returns:
            ``experiment``, ``arm``, ``dataset``, ``fold`` (missing without folds), ``repeat`` of the first place where
            it stands, ``serves`` (all places), ``state`` and ``reason``, ``protocol``, ``top1`` and ``top5``
            (fractions; missing unless the trial has completed, top5 below six classes too), ``params_m``,
            ``gmacs_per_view``, ``seconds``, ``trial_id``, ``run_id``, ``commit``, ``device``, ``code`` and
            ``data_digest``.

        Example:
            >>> s.results().groupby("arm", sort=False)["top1"].agg(["mean", "std"])  # doctest: +SKIP
        """
        return pd.DataFrame([self._result_row(planned) for planned in self._plan.trials])

    def table(self, name: str) -> TableView:
        """A table as reports show it: an experiment's, ``table1`` (the network as built) or ``claims``.

        Its ``frame`` holds the numbers for programs; ``to_latex()`` and ``to_markdown()`` give it for papers.

        Raises:
            SpecError: when there is no such table.

        Example:
            >>> s.table("table7")                                                   # doctest: +SKIP
            >>> s.table("table7").frame[["arm", "top1_percent_mean"]]               # doctest: +SKIP
        """
        if name == CLAIMS:
            return TableView(view_claims(self._claims).display)
        architecture = show_architecture(self.store) if name == TABLE else None
        if architecture is not None:
            return TableView(architecture)
        if name not in self._tables:
            raise SpecError(f"no table '{name}': {suggest(name, [*self._tables, TABLE, CLAIMS])}")
        return TableView(build_display(self._tables[name]))

    def deltas(self, experiment: str | None = None) -> pd.DataFrame:
        """The differences in top-1 between each row and its baseline, percentage points, paired by video and repeat.

        Args:
            experiment: name of one experiment; all of the study when None.

        Returns:
            ``experiment``, ``arm``, ``dataset``, ``baseline``, ``points``, ``low``, ``high``, ``level``, ``varies``
            (what the interval lets vary), ``p``, ``p_holm`` (corrected over the table), ``test``, ``repeats`` and
            ``videos`` (their numbers), ``detectable`` (points that this design finds four times in five),
            ``repeats_needed`` (to find the observed difference so), ``confounded_by`` and ``refused`` (why there is no
            interval).

        Raises:
            SpecError: when the study has no such experiment.

        Example:
            >>> s.deltas("table7").set_index("arm")[["points", "low", "high"]]      # doctest: +SKIP
        """
        chosen = self.study.experiments if experiment is None else [self._experiment(experiment)]
        rows = [row for one in chosen for row in _delta_rows(self._views[one.name])]
        return pd.DataFrame(rows, columns=DELTA_COLUMNS)

    def claims(self) -> pd.DataFrame:
        """What the trials say of the paper's claims: one row an estimate, with the claim's verdict and reason.

        Verdicts are on this study at its scale, not on the paper's.

        Example:
            >>> s.claims()["verdict"].value_counts()                                # doctest: +SKIP
        """
        return claims_frame(self._claims)

    def figure(self, name: str) -> FigureView:
        """A figure of an experiment, as the report draws it; in a notebook it shows itself.

        Its ``frame`` holds what is drawn, ``caption`` what it shows; ``save(path)`` writes PNG or SVG.

        Raises:
            SpecError: when no experiment of the study has such a figure.

        Example:
            >>> s.figure("figure5")                                                 # doctest: +SKIP
        """
        figures = [spec.name for one in self.study.experiments for spec in one.spec.figures]
        if name not in figures:
            raise SpecError(f"no figure '{name}': {suggest(name, figures)}")
        # All tables take part, so that an arm has the color that it has in the report.
        tables = [_keep_figure(table, name) for table in self._tables.values()]
        with tempfile.TemporaryDirectory() as scratch:
            drawn = draw_figures(tables, self._material, Path(scratch)).by_experiment
            return FigureView.read(next(figure for figures in drawn.values() for figure in figures))

    def predictions(
        self, experiment: str, arm: str, repeat: int = 0, *, scores: bool = False
    ) -> pd.DataFrame:
        """What a trial predicts for every validation video under its primary protocol.

        Args:
            experiment: name of the experiment.
            arm: name of the arm; with several data sets or folds the full one, as in :meth:`results`.
            repeat: number of the repeat.
            scores: whether to add a column for each class with its logit, the mean over views.

        Returns:
            ``video``, ``label``, ``predicted`` (classes by name where the data set is at hand, else by number) and
            ``correct``.

        Raises:
            SpecError: when there is no such experiment, arm or repeat.
            StoreError: when the trial has not completed, or MLflow does not hold its scores.

        Example:
            >>> wrong = s.predictions("table7", "STH hybrid").query("not correct")   # doctest: +SKIP
        """
        found = self._arm(experiment, arm)
        repeats = self._experiment(experiment).repeats
        if not 0 <= repeat < repeats:
            raise SpecError(f"no repeat {repeat} of '{arm}': allowed are 0 to {repeats - 1}")
        planned = self._plan.find(experiment, found.name, repeat)
        if not self._scores.has(planned.trial_id):
            raise StoreError(
                f"{experiment}: {arm}, repeat {repeat}: no result: {planned.reason or planned.state}"
            )
        stored = self._scores.load(planned.trial_id)
        try:
            logits = stored.select(primary_views(found)).astype(np.float64).mean(axis=1)
        except KeyError as view:
            raise StoreError(f"{experiment}: {arm}: no scores of the view {view}") from None
        names = self._classes(found, logits.shape[1])
        predicted = np.argmax(logits, axis=1)
        frame = pd.DataFrame(
            {
                "video": stored.video_ids,
                "label": [names[label] for label in stored.labels],
                "predicted": [names[label] for label in predicted],
                "correct": predicted == stored.labels,
            }
        )
        extra = pd.DataFrame(logits, columns=[f"score {name}" for name in names])
        return pd.concat([frame, extra], axis=1) if scores else frame

    @cached_property
    def _plan(self) -> Plan:
        return make_plan(self.study, self.store)

    @cached_property
    def _runs(self) -> pd.DataFrame:
        return load_runs(self._uri, self.study.name, self.store.find_id())

    @cached_property
    def _scores(self) -> StoredScores:
        return StoredScores(self._uri, self._runs)

    @cached_property
    def _attention(self) -> pd.DataFrame:
        return load_attention(self._uri, self._runs)

    @cached_property
    def _views(self) -> dict[str, ExperimentView]:
        views = (view_experiment(one, self._plan, self._scores) for one in self.study.experiments)
        return {view.experiment.name: add_evidence(view, self._plan, self._scores) for view in views}

    @cached_property
    def _tables(self) -> dict[str, TableResult]:
        runs = index_runs(self._runs)
        return {name: build_table(view, runs) for name, view in self._views.items()}

    @cached_property
    def _claims(self) -> tuple[ClaimResult, ...]:
        views = list(self._views.values())
        return collect_claims(
            views,
            self._plan,
            self._scores,
            self._attention,
            self.store,
            runtimes=collect_tracked(self.study, self.store, self._uri),
        )

    @cached_property
    def _material(self) -> FigureMaterial:
        return collect_material(
            FigureSource(self._plan, self.store, self._uri, self._runs, self._attention, self._scores)
        )

    @cached_property
    def _by_trial(self) -> dict[str, dict[str, object]]:
        return {trial: dict(run) for trial, run in index_runs(self._runs).items()}

    def _experiment(self, name: str) -> Experiment:
        names = [experiment.name for experiment in self.study.experiments]
        if name not in names:
            raise SpecError(f"the study has no experiment '{name}': {suggest(name, names)}")
        return self.study.experiment(name)

    def _arm(self, experiment: str, name: str) -> Arm:
        arms = [arm.name for arm in self._experiment(experiment).arms]
        if name not in arms:
            raise SpecError(f"experiment '{experiment}' trains no arm '{name}': {suggest(name, arms)}")
        return self._experiment(experiment).arm(name)

    def _classes(self, arm: Arm, count: int) -> list[str]:
        try:
            names = open_dataset(arm.settings.data, self.store.data).classes
        except DataError:
            names = ()
        return list(names) if len(names) == count else [str(number) for number in range(count)]

    def _result_row(self, planned: PlannedTrial) -> dict[str, object]:
        use, settings = planned.uses[0], planned.trial.settings
        experiment = self.study.experiment(use.experiment)
        arm = experiment.arm(use.arm)
        folds = next(dataset.folds for dataset in experiment.datasets if dataset.name == arm.dataset)
        run = self._by_trial.get(planned.trial_id, {})
        protocol = settings.evaluation.primary
        known = run if run.get("status") == "completed" else {}
        return {
            "experiment": use.experiment,
            "arm": use.arm,
            "dataset": arm.dataset or settings.data.type,
            "fold": getattr(settings.data, "fold", None) if len(folds) > 1 else None,
            "repeat": use.repeat,
            "serves": "; ".join(f"{one.experiment}: {one.arm}" for one in planned.uses),
            "state": str(planned.state),
            "reason": planned.reason,
            "protocol": protocol,
            "top1": known.get(f"metrics.final/{protocol}/top1", np.nan),
            "top5": known.get(f"metrics.final/{protocol}/top5", np.nan),
            "params_m": run.get("metrics.cost/params_m", np.nan),
            "gmacs_per_view": run.get("metrics.cost/gmacs_per_view", np.nan),
            "seconds": sum(planned.record.seconds.values()) if planned.record else np.nan,
            "trial_id": planned.trial_id,
            "run_id": run.get("run_id", ""),
            "commit": run.get("tags.git_commit", ""),
            "device": run.get("tags.device", ""),
            "code": run.get("tags.code_fingerprint", ""),
            "data_digest": planned.trial.data_digest,
        }


DELTA_COLUMNS = [
    *("experiment", "arm", "dataset", "baseline", "points", "low", "high", "level", "varies", "p", "p_holm"),
    *("test", "repeats", "videos", "detectable", "repeats_needed", "confounded_by", "refused"),
]


def _delta_rows(view: ExperimentView) -> list[dict[str, object]]:
    """A row for every difference, and for every one that was refused."""
    evidence, spec = view.evidence, view.experiment.spec
    rows = []
    for cell in dict.fromkeys([*evidence.deltas, *evidence.refused]):
        delta = evidence.deltas.get(cell)
        row: dict[str, object] = {
            "experiment": spec.name,
            "arm": cell[0],
            "dataset": cell[1],
            "baseline": spec.baseline,
            "confounded_by": "; ".join(map(str, evidence.confounders.get(cell, ()))),
            "refused": evidence.refused.get(cell, ""),
        }
        if delta is not None:
            names = ("points", "low", "high", "level", "varies", "p_holm", "test", "videos", "detectable")
            row |= {name: getattr(delta, name) for name in names}
            row |= {"p": delta.p_value, "repeats": len(delta.repeats), "repeats_needed": delta.repeats_needed}
        rows.append(row)
    return rows


def _keep_figure(table: TableResult, name: str) -> TableResult:
    """``table`` with no figure but the one called ``name``."""
    experiment = table.experiment
    kept = tuple(figure for figure in experiment.spec.figures if figure.name == name)
    spec = experiment.spec.model_copy(update={"figures": kept})
    return replace(table, view=replace(table.view, experiment=replace(experiment, spec=spec)))
