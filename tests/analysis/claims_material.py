"""Claims and fabricated results to judge them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.analysis.claims.judge import judge_claims
from study.analysis.claims.loading import Claim
from study.analysis.claims.material import Material, MeasuredSpeed, PaperCosts, Untestable
from study.analysis.claims.result import ClaimResult
from study.analysis.claims.spec import ClaimSpec
from study.analysis.costs import CountedCost
from study.analysis.evidence import Cell, Evidence
from study.analysis.factors import Factor
from study.analysis.published import load_published
from study.analysis.repeats import PlannedState, TrialRef
from study.analysis.statistics.hits import VideoHits
from study.analysis.tables import ExperimentView
from study.spec.loading import load_study
from tests import fabricated

Hits = Mapping[tuple[str, str, str], Sequence[int]]
"""Of experiment, row and data set: how many of 400 videos each repeat has right."""
VIDEOS = 400
COSTS = {"p=0": 23.865, "p=1/4": 21.978}


def claim(test: Mapping[str, Any], **fields: Any) -> Claim:
    extra = {name: fields.pop(name) for name in ("printed", "unbuilt") if name in fields}
    spec = ClaimSpec.model_validate({"name": "c", "says": "S.", "place": "P", "test": test} | fields)
    return Claim(spec, "P", "", "46.6 %", **extra)


def above(arm: str, *others: str, experiment: str = "table7", **fields: Any) -> Claim:
    return claim({"type": "accuracy", "experiment": experiment, "arm": arm, "above": others}, **fields)


def video_hits(right: int, name: str) -> VideoHits:
    videos = np.array([f"{name}{number:03}" for number in range(VIDEOS)])
    return VideoHits(videos, np.zeros(VIDEOS, np.int64), np.arange(VIDEOS) < right)


def fabricate(
    names: Sequence[str],
    hits: Hits,
    *,
    profile: str = "laptop",
    states: Mapping[tuple[str, int], tuple[PlannedState, str]] | None = None,
    **fields: Any,
) -> Material:
    """Three repeats; ``states`` says of (arm, repeat) that its trial is not done."""
    study = load_study(names, profile=profile, repeats=3, folder=fabricated.EXPERIMENTS)
    views = {}
    for experiment in study.experiments:
        trials = {
            arm.name: [
                TrialRef(n, f"{arm.name} {n}", *(states or {}).get((arm.name, n), ("done", "")))
                for n in range(3)
            ]
            for arm in experiment.arms
        }
        mine: dict[Cell, dict[int, VideoHits]] = {
            (row, data): {n: video_hits(right, data) for n, right in enumerate(counts)}
            for (name, row, data), counts in hits.items()
            if name == experiment.name
        }
        published = load_published(experiment.spec.published) if experiment.spec.published else None
        views[experiment.name] = ExperimentView(experiment, trials, published, evidence=Evidence(hits=mine))
    return Material(
        study.profile,
        views,
        **({"find_factors": no_factors, "find_costs": find_costs, "find_speed": find_no_speed} | fields),
    )


def no_factors(experiment: str, first: Cell, second: Cell) -> tuple[Factor, ...]:
    return ()


def find_no_speed(experiment: str, arm: str, over: str) -> MeasuredSpeed:
    raise Untestable("No speed is measured: `bench` measures it.")


def find_costs(experiment: str, rows: Sequence[str]) -> PaperCosts:
    if missing := [row for row in rows if row not in COSTS]:
        raise Untestable(f"'{missing[0]}': not counted yet: run `uv run run_study.py cost {experiment}`.")
    return PaperCosts(174, {row: CountedCost(COSTS[row], 1.4 * COSTS[row]) for row in rows})


TABLE7: Hits = {
    ("table7", "(2+1)D sequential", ""): (200, 204, 196),
    ("table7", "(2+1)D parallel", ""): (202, 203, 198),
    ("table7", "STH merge", ""): (260, 263, 259),
    ("table7", "STH hybrid", ""): (330, 334, 329),
    ("table7", "STH hybrid+attention", ""): (332, 331, 333),
}


def judge(claims: Sequence[Claim], material: Material) -> list[ClaimResult]:
    return list(judge_claims(claims, material))
