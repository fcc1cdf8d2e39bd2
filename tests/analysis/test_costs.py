"""Published against counted cost, with the counts at the paper's scale."""

from __future__ import annotations

import pytest

from study.analysis.costs import CountedCost, is_paper_scale, judge_cost
from study.analysis.published import load_published
from study.spec.loading import load_study
from tests import fabricated

# Parameters in millions and GMACs of convolutions and linear layers for ResNet-50, 8 frames, 174 classes.
COUNTS = {
    ("table6", "0"): (23.865, 32.70, "explained"),
    ("table6", "1/8"): (22.921, 31.47, "explained"),
    ("table6", "1/4"): (21.978, 30.23, "agrees"),
    ("table6", "1/2"): (20.092, 27.77, "explained"),
    ("table7", "(2+1)D sequential"): (27.637, 37.63, "agrees"),
    ("table7", "(2+1)D parallel"): (27.637, 37.63, "agrees"),
    ("table7", "STH merge"): (21.978, 30.23, "agrees"),
    ("table7", "STH hybrid"): (21.978, 30.23, "agrees"),
    ("table7", "STH hybrid+attention"): (23.236, 30.24, "agrees"),
    ("table8", "Fixed"): (23.236, 30.24, "agrees"),
    ("table8", "Dilated"): (23.236, 30.24, "agrees"),
}


@pytest.mark.parametrize(("cell", "count"), COUNTS.items())
def test_verdicts_on_the_paper(cell: tuple[str, str], count: tuple[float, float, str]) -> None:
    params, gmacs, kind = count
    verdict = judge_cost(load_published(cell[0]).row(cell[1]), CountedCost(params, gmacs))
    assert verdict.kind == kind
    assert verdict.reason


def test_an_unexplained_difference_disagrees_and_names_both_numbers() -> None:
    row = load_published("table7").row("STH hybrid")
    verdict = judge_cost(row, CountedCost(22.06, 30.23))
    assert verdict.kind == "disagrees"
    assert "22.0 M printed, 22.06 M counted" in verdict.reason
    assert judge_cost(row, CountedCost(22.04, 30.23)).kind == "agrees"
    assert judge_cost(row, CountedCost(21.978, 30.19)).kind == "disagrees"  # 1.02 % below 30.5
    assert judge_cost(row, CountedCost(21.978, 30.20)).kind == "agrees"


def test_one_known_doubt_does_not_excuse_another_cell() -> None:
    row = load_published("table6").row("1/8").model_copy(update={"doubts": {"gflops": "known"}})
    verdict = judge_cost(row, CountedCost(22.921, 31.47))
    assert verdict.kind == "disagrees"
    assert "23.1 M printed" in verdict.reason


def test_without_a_count_there_is_no_verdict() -> None:
    assert judge_cost(load_published("table8").row("Fixed"), None).kind == "not counted"


def test_only_the_paper_profile_has_the_scale_of_the_paper() -> None:
    laptop = fabricated.load(["table6"]).experiments[0].arms[0]
    paper = load_study(["table6"], profile="paper", folder=fabricated.EXPERIMENTS).experiments[0].arms[0]
    assert not is_paper_scale(laptop.settings)
    assert is_paper_scale(paper.settings)
