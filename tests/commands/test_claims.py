"""Claims judged on real trials, costs at the paper's scale without counting, and the videos of several folds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from study.analysis.claims.material import Untestable
from study.analysis.repeats import TrialRef
from study.analysis.tables import ExperimentView
from study.commands.claims import collect_claims
from study.commands.costs import CostBook
from study.commands.evidence import FactorFinder, collect_evidence, collect_hits
from study.commands.launch import LaunchOptions, launch
from study.commands.paper_costs import PaperCostBook
from study.commands.stored_scores import StoredScores
from study.cost.cache import CostCache
from study.running.plan import Plan, make_plan
from study.running.store import Store
from study.scores import ViewScores
from study.spec.loading import load_study
from study.spec.record import Cost
from study.tracking.read import load_attention, load_runs
from tests.fabricated import EXPERIMENTS
from tests.running.conftest import TOY

CLAIMS = """\
source: a paper
claims:
  - name: dilated
    statement: dilated-above-fixed
    says: Dilated kernels are better.
    test: {type: accuracy, experiment: table8, arm: Dilated, above: [Fixed]}
  - name: depth
    place: Figure 5
    says: Deeper layers attend more.
    test: {type: attention_trend, experiment: table8, arm: Fixed}
  - name: elsewhere
    place: Table 7
    says: Hybrid is better.
    test: {type: accuracy, experiment: table7, arm: STH hybrid, above: [STH merge]}
  - name: cheaper
    place: Table 7
    says: Hybrid is smaller.
    test: {type: cost, experiment: table7, metric: params_m, arm: STH hybrid, below: [(2+1)D parallel]}
"""


def test_claims_of_a_study_that_was_trained(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.commands.report.write_report_of", lambda *_, **__: store.report)
    study = load_study(["table8"], overrides=TOY, repeats=3)
    assert launch(study, LaunchOptions(storage=store.root, engine="inline")) == 0
    plan = make_plan(study, store)
    runs = load_runs(store.tracking_uri, study.name)
    scores = StoredScores(store.tracking_uri, runs)
    (experiment,) = study.experiments
    trials = {
        arm.name: [
            TrialRef(n, plan.find("table8", arm.name, n).trial_id, "done") for n in range(experiment.repeats)
        ]
        for arm in experiment.arms
    }
    evidence = collect_evidence(experiment, plan, scores, None)
    view = ExperimentView(experiment, trials, evidence=evidence)
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    attention = load_attention(store.tracking_uri, runs)
    dilated, depth, elsewhere, cheaper = collect_claims([view], plan, scores, attention, store, path)

    delta = evidence.deltas["Dilated", ""]
    (estimate,) = dilated.estimates
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (delta.points, delta.low, delta.high)
    )
    assert estimate.repeats == (0, 1, 2)
    # Two tests in the report: this one and the trend.
    # Holm: the smaller p-value doubles, and the other one does not fall below it.
    other = depth.estimates[0].p_value
    assert estimate.p_value is not None
    assert other is not None
    smaller, larger = sorted([estimate.p_value, other])
    holm = min(1.0, 2 * smaller) if estimate.p_value == smaller else max(2 * smaller, larger)
    assert estimate.p_holm == pytest.approx(holm)
    assert dilated.published == "Dilated: 48.4 %; Fixed: 47.8 %"
    # Half of the blocks of each of three trials, by hand.
    by_hand = []
    for ref in trials["Fixed"]:
        mine = attention[attention["trial_id"] == ref.trial_id].sort_values("index")["alpha_t"].tolist()
        half = len(mine) // 2
        by_hand.append(sum(mine[-half:]) / half - sum(mine[:half]) / half)
    assert depth.estimates[0].by_repeat == pytest.approx(tuple(by_hand))
    assert elsewhere.verdict == "untestable"
    assert "`uv run run_study.py launch table7`" in elsewhere.reason
    # 21.978 M and 27.637 M at the paper's scale, though nothing of table 7 was trained.
    assert cheaper.verdict == "supported"
    assert "21.978 against 27.637 M, with 174 classes" in cheaper.reason


def test_costs_come_from_closed_forms_or_from_what_was_counted(store: Store) -> None:
    book = PaperCostBook(store)
    costs = book.find("table2", ["STH 8f", "TSM 8f"])
    assert costs.classes == 174
    assert costs.rows["TSM 8f"].params_m == pytest.approx(23.865, abs=1e-3)
    # Both networks of the ensemble run: 8 and 16 frames, three times the operations of one with 8.
    both = book.find("table2", ["TSM_En"]).rows["TSM_En"]
    assert both.gmacs_per_view == pytest.approx(3 * costs.rows["TSM 8f"].gmacs_per_view)
    with pytest.raises(
        Untestable, match=r"'ECO 8f': not counted yet: run `uv run run_study\.py cost table2`"
    ):
        book.find("table2", ["STH 8f", "ECO 8f"])
    with pytest.raises(
        Untestable, match=r"'Non-local I3D \+ GCN' is not built, so it cannot be counted: It needs boxes"
    ):
        book.find("table2", ["Non-local I3D + GCN", "STH 16f"])
    with pytest.raises(Untestable, match="the experiment has no such row"):
        book.find("table2", ["STH 9f"])

    # As `cost table2` leaves it: with the 400 classes of the print. Then both rows have 400.
    settings = load_study(["table2"], profile="paper").experiment("table2").row("ECO 8f").arms[0].settings
    cost = Cost(params_m=47.5, gmacs_per_view=32.0, fvcore_gmacs=None, executed_gmacs=32.0, uncounted={})
    geometry = {"num_classes": 400, "frames": settings.clip.frames, "size": settings.clip.size}
    CostCache(store.costs).store(cost, settings.model, **geometry)
    assert CostBook(store).find(settings, count=False, num_classes=400) == cost
    costs = PaperCostBook(store).find("table2", ["STH 8f", "ECO 8f"])
    assert costs.classes == 400
    assert costs.rows["ECO 8f"].params_m == 47.5
    # 226 further classes of 2048 weights and a bias: 0.463 M more than 23.236.
    assert costs.rows["STH 8f"].params_m == pytest.approx(23.236 + 226 * 2049 / 1e6, abs=1e-3)


class Fakes:
    """Trials that are named after arm and repeat, and scores in which the first ``right`` of 6 videos are right."""

    def __init__(self, right: dict[str, int]) -> None:
        self.right = right

    def find(self, experiment: str, arm: str, repeat: int) -> Any:
        return SimpleNamespace(trial_id=f"{arm} {repeat}", record=None, parent=None)

    def has(self, trial_id: str) -> bool:
        return trial_id in self.right

    def load(self, trial_id: str) -> ViewScores:
        logits = np.zeros((6, 1, 2), np.float32)
        logits[np.arange(6) < self.right[trial_id], 0, 0] = 1.0
        logits[np.arange(6) >= self.right[trial_id], 0, 1] = 1.0
        videos = np.array([f"v{number}" for number in range(6)])
        return ViewScores(videos, np.zeros(6, np.int64), (VIEW,), logits, np.ones((6, 1), np.int64))


VIEW = "t0s0c0"


def test_folds_are_pooled_where_all_of_them_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.commands.evidence.primary_views", lambda arm: (VIEW,))
    study = load_study(["table5"], profile="laptop", repeats=2, folder=EXPERIMENTS)
    experiment = study.experiment("table5")
    dataset = next(one for one in experiment.datasets if one.name == "hmdb51")
    assert dataset.folds == (1, 2)
    first, second = (arm.name for arm in experiment.row("TSM").on("hmdb51"))
    fakes = Fakes({f"{first} 0": 5, f"{second} 0": 2, f"{first} 1": 6})
    plan, scores = cast(Plan, fakes), cast(StoredScores, fakes)
    hits = collect_hits(experiment, experiment.row("TSM"), dataset, plan, scores)
    # The second repeat lacks a fold. In the first, 5 of 6 videos of fold 1 and 2 of 6 of fold 2 are right.
    assert list(hits) == [0]
    assert hits[0].video_ids.tolist() == [f"{fold}/v{number}" for fold in (1, 2) for number in range(6)]
    assert hits[0].hits.tolist() == [True] * 5 + [False] + [True] * 2 + [False] * 4


def test_data_sets_may_differ_in_what_their_profile_sets_and_in_nothing_else() -> None:
    study = load_study(["figure7"], profile="laptop", repeats=1, folder=EXPERIMENTS)
    (experiment,) = study.experiments
    cells = [("TSN", "something_v1"), ("TSN", "kinetics400")]

    def find(**changes: Any) -> list[str]:
        finder = FactorFinder(cast(Plan, Fakes({})))
        names = {name: experiment.row("TSN").on(name)[0].name for _, name in cells}
        facts = {f"{names[name]} 0": make_facts(experiment.arm(names[name])) for _, name in cells}
        facts[f"{names['kinetics400']} 0"] = make_facts(experiment.arm(names["kinetics400"]), **changes)
        finder._known = facts
        return [factor.path for factor in finder.find(experiment, *cells)]

    assert find() == []
    assert find(device="Some GPU") == ["device"]
    assert find(settings={"training.optimizer.momentum": 0.5}) == ["training.optimizer.momentum"]


def make_facts(arm: Any, **changes: Any) -> Any:
    from study.analysis.factors import TrialFacts
    from study.spec.trial import flatten

    settings = dict(flatten(arm.settings.identity)) | changes.pop("settings", {})
    return TrialFacts(
        settings=settings,
        protocol="p",
        repeat=0,
        manifest=arm.settings.data.type,
        killed=(),
        decoder="auto: pyav",
        modules={f"study.data.datasets.{arm.settings.data.type}": "x"},
        device=changes.get("device", "cpu"),
        versions={"torch": "2"},
    )
