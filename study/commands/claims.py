"""Judging the paper's claims on the trials of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from study.analysis.claims.judge import judge_claims
from study.analysis.claims.loading import load_claims
from study.analysis.claims.material import Material, group_coefficients
from study.analysis.claims.result import ClaimResult
from study.analysis.evidence import Cell
from study.analysis.factors import Factor
from study.analysis.tables import ExperimentView
from study.commands.evidence import FactorFinder
from study.commands.paper_costs import PaperCostBook
from study.commands.runtimes import Runtimes
from study.commands.stored_scores import StoredScores
from study.running.plan import Plan
from study.running.store import Store


def collect_claims(
    views: Sequence[ExperimentView],
    plan: Plan,
    scores: StoredScores,
    attention: pd.DataFrame,
    store: Store,
    path: Path | None = None,
    runtimes: Runtimes | None = None,
) -> tuple[ClaimResult, ...]:
    """The verdict on every claim, in the order of the file; none where there is no file of claims.

    Args:
        views: the experiments of the report, with their evidence.
        plan: their trials.
        scores: unused as long as the views' evidence holds the hits that come from them.
        attention: coefficients, as :func:`study.tracking.read.load_attention` gives them.
        store: whose cache of costs is looked up; nothing is counted.
        path: the file of claims; that of the reports' folder when None.
        runtimes: measured speeds; none when None.

    Raises:
        SpecError: when the file of claims is wrong, or names what does not exist.
    """
    claims = load_claims(path)
    by_name = {view.experiment.name: view for view in views}
    finder = FactorFinder(plan)

    def find_factors(name: str, first: Cell, second: Cell) -> tuple[Factor, ...]:
        view = by_name[name]
        if second == (view.experiment.spec.baseline, first[1]) and first in view.evidence.confounders:
            return view.evidence.confounders[first]
        return finder.find(view.experiment, first, second)

    material = Material(
        profile=plan.study.profile,
        views=by_name,
        find_factors=find_factors,
        find_costs=PaperCostBook(store, plan.study.experiments).find,
        find_speed=(runtimes or Runtimes(plan.study.profile.name)).find_speed,
        overrides=plan.study.overrides,
        coefficients=group_coefficients(attention),
    )
    return judge_claims(claims, material)
