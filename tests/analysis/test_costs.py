"""Published against counted cost, with the counts at the paper's scale."""

from __future__ import annotations

import pytest

from study.analysis.costs import CountedCost, add_costs, judge_cost
from study.analysis.published import load_published

# Parameters in millions and GMACs of convolutions and linear layers for ResNet-50, 8 frames, 174 classes.
COUNTS = {
    ("table6", "0"): (23.865, 32.70, "disagrees"),
    ("table6", "1/8"): (22.921, 31.47, "disagrees"),
    ("table6", "1/4"): (21.978, 30.23, "agrees"),
    ("table6", "1/2"): (20.092, 27.77, "disagrees"),
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


def test_a_doubt_that_names_no_cause_does_not_explain() -> None:
    """Table 6, p = 1/8: that the print is too high is known, why is not."""
    verdict = judge_cost(load_published("table6").row("1/8"), CountedCost(22.921, 31.47))
    assert verdict.kind == "disagrees"
    assert "23.1 M printed, 22.92 M counted" in verdict.reason
    assert "the print is 0.2 M too high" in verdict.known


def test_one_explained_cell_does_not_excuse_another() -> None:
    row = load_published("table2").row("S3D-G")  # 142.8 is twice the multiply-accumulates of a view
    assert judge_cost(row, CountedCost(9.09, 71.9)).kind == "explained"
    both = row.model_copy(update={"values": {**row.values, "params_m": 11.6}})
    assert judge_cost(both, CountedCost(9.09, 71.9)).kind == "disagrees"


def test_the_sum_and_the_double_that_explain_are_right() -> None:
    """The causes given for prints that are sums or multiples of other prints, by arithmetic on the prints."""
    table2, table9 = load_published("table2"), load_published("table9")
    cost = {name: float(str(table9.row(name).values["gflops"])) for name in ("STH 8f", "STH 16f")}
    assert round(cost["STH 8f"] + cost["STH 16f"]) == table2.row("STH_En").values["gflops"]
    assert 2 * float(str(table2.row("TSM 8f").values["params_m"])) == table2.row("TSM_En").values["params_m"]


def test_without_a_count_there_is_no_verdict() -> None:
    assert judge_cost(load_published("table8").row("Fixed"), None).kind == "not counted"


def test_a_product_and_a_count_of_views_are_costs_of_one_view() -> None:
    table = load_published("table2")
    # 306 GMACs for two views of 153, printed to units: 152.75 to 153.25, or 1 %.
    assert judge_cost(table.row("I3D"), CountedCost(28.04, 152.5)).kind == "agrees"
    assert judge_cost(table.row("I3D"), CountedCost(28.04, 150.0)).kind == "disagrees"
    assert judge_cost(table.row("R(2+1)D"), CountedCost(63.58, 152.4)).kind == "agrees"
    assert judge_cost(table.row("R(2+1)D"), CountedCost(61.83, 152.4)).kind == "disagrees"


def test_printed_to_units_rounds_to_units() -> None:
    row = load_published("table2").row("ECO 8f")  # 32 GMACs, 47.5 M
    assert judge_cost(row, CountedCost(47.502, 32.2)).kind == "agrees"
    assert judge_cost(row, CountedCost(47.502, 32.6)).kind == "disagrees"


def test_a_row_without_printed_cost_has_no_verdict() -> None:
    row = load_published("table4").row("CoST")
    assert judge_cost(row, CountedCost(25.09, 47.5)).kind == "not published"


def test_costs_of_a_fusion_add_up() -> None:
    parts = [CountedCost(23.236, 30.24), CountedCost(23.236, 60.47)]
    assert add_costs(parts) == CountedCost(pytest.approx(46.472), pytest.approx(90.71))
