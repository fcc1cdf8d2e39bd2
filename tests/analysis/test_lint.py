"""The lint: silent about a clean paper, loud about every kind of planted defect, right about this one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from study.analysis.lint import RULES, Finding, Paper, run_rules
from study.analysis.lint.rounding import Interval, interval_of, interval_of_count, interval_per_view
from tests.analysis.synthetic_paper import Draft


def findings(paper: Paper, *rules: str) -> list[Finding]:
    return [finding for result in run_rules(paper, rules) for finding in result.findings]


def test_a_clean_paper_has_no_findings_and_every_rule_looked_at_something() -> None:
    results = run_rules(Draft().build())
    assert [finding for result in results for finding in result.findings] == []
    assert [result.rule for result in results if result.checked == 0] == []
    assert [result.rule for result in results] == list(RULES)


def wrong_ratio(draft: Draft) -> None:
    draft.statement("cheaper")["value"] = 1.4


def wrong_gain(draft: Draft) -> None:
    draft.statement("gain")["value"] = 4.2


def wrong_formula(draft: Draft) -> None:
    draft.statement("kernel")["value"] = 7


def not_smaller(draft: Draft) -> None:
    draft.statement("smaller")["cells"].reverse()


def not_best(draft: Draft) -> None:
    draft.set("table3", "1/2", top1=45.4, top5=75.9)


def not_falling(draft: Draft) -> None:
    draft.statement("falls")["cells"].reverse()


def a_dash(draft: Draft) -> None:
    draft.set("table2", "Base 8f", params_m=None)


def other_pretraining(draft: Draft) -> None:
    draft.set("table2", "Base 8f", pretrain="Elsewhere")


def other_views(draft: Draft) -> None:
    draft.set("table2", "Base 8f", frames="8 × 30", gflops="10.0 × 30")


def quoted(draft: Draft) -> None:
    draft.set("table3", "0", top1=40.0, top5=70.0)


def older_source(draft: Draft) -> None:
    draft.data["text"]["years"]["5"] = 2014


def shifted_costs(draft: Draft) -> None:
    """Still linear, but of no convention: 0.4 more in two of three rows."""
    draft.counted[("table3", "0")] = (9.6, 5.0)
    draft.counted[("table3", "1/4")] = (7.6, 4.0)


def quoted_cost(draft: Draft) -> None:
    draft.counted[("table4", "Base 8f")] = (13.0, 5.0)


def bent_column(draft: Draft) -> None:
    draft.set("table3", "1/4", gflops=8.3)


def other_classes(draft: Draft) -> None:
    for key in ("Base 8f", "Base 16f"):
        draft.set("table2", key, params_m=5.1)


def no_class_count(draft: Draft) -> None:
    draft.set("table3", "1/4", params_m=4.3)


def uneven_frames(draft: Draft) -> None:
    draft.set("table2", "Base 16f", gflops=22.0)


def wrong_sum(draft: Draft) -> None:
    draft.set("table2", "Ours_En", gflops=25.0)


def unlike_factors(draft: Draft) -> None:
    draft.set("table4", "Base 8f", gflops="10.0 × 5")


def odd_views(draft: Draft) -> None:
    draft.set("table4", "Ours 8f", frames="8 × 5", gflops="8.0 × 5")


def top5_below_top1(draft: Draft) -> None:
    draft.set("table4", "Base 8f", top5=59.0)


def no_percentage(draft: Draft) -> None:
    draft.set("table4", "Ours 8f", top5=840)


def repeated_row(draft: Draft) -> None:
    numbers = ("frames", "gflops", "params_m", "top1", "top5")
    base = draft.row("table2", "Base 16f")["values"]
    draft.set("table2", "Rival", **{name: base[name] for name in numbers})


def shifted_value(draft: Draft) -> None:
    draft.set("table5", "Rival", params_m=5.0)


def two_sources(draft: Draft) -> None:
    draft.row("table5", "Rival")["printed"] = "Rival [7]"


def one_number_for_two_models(draft: Draft) -> None:
    draft.set("table3", "1/4", top1=44.0, top5=74.9)


def one_name_for_two_networks(draft: Draft) -> None:
    """Table 5's Rival is Table 2's, and there is a Rival Lite in Table 2 that Table 5 means."""
    lite = {**draft.row("table2", "Rival"), "row": "Lite", "printed": "Rival Lite [6]"}
    lite["values"] = {**lite["values"], "frames": "20", "gflops": 30, "params_m": 7.0, "top1": 41.0}
    draft.data["table2"]["rows"].append(lite)
    draft.set("table5", "Rival", frames="20", gflops=30)


def other_backbone(draft: Draft) -> None:
    draft.set("table4", "Base 8f", backbone="Net-34")


def too_wide(draft: Draft) -> None:
    draft.set("table1", "one", first=400)


def too_large_splits(draft: Draft) -> None:
    draft.data["text"]["datasets"]["toy"]["splits"]["train"] = 4000


def wrong_classes(draft: Draft) -> None:
    toy = draft.data["text"]["datasets"].pop("toy")
    draft.data["text"]["datasets"]["jester"] = toy | {"classes": 28}


def bold_second(draft: Draft) -> None:
    draft.row("table2", "Ours 16f")["bold"] = ["top1"]


def plain_equal(draft: Draft) -> None:
    draft.set("table2", "Rival", top5=78.0)


@pytest.mark.parametrize(
    ("plant", "rule", "severity", "message", "evidence"),
    [
        (wrong_ratio, "text-arithmetic", "error", "is 1.25, not 1.4", "10.0; Table 2, Ours 8f, gflops: 8.0"),
        (wrong_gain, "text-arithmetic", "error", "is 4, not 4.2", "rounding 3.9 to 4.1"),
        (wrong_formula, "text-arithmetic", "error", "gives 6, not 7", ""),
        (not_smaller, "text-comparison", "error", "the opposite", "5.0; Table 2, Ours 8f, params_m: 4.0"),
        (not_best, "text-comparison", "error", "1/2 has more", "45.4"),
        (not_falling, "text-comparison", "error", "the opposite", "6.0; Table 3, 1/4, gflops: 8.0"),
        (a_dash, "text-comparison", "doubt", "nothing is printed", "Table 2, Base 8f, params_m"),
        (other_pretraining, "unlike-comparison", "warning", "as if alike", "Elsewhere, not ImageNet"),
        (other_views, "unlike-comparison", "warning", "as if alike", "30 views of a video, not 1"),
        (quoted, "quoted-row", "warning", "those of Base [5] in Table 2", "clips: 1 there, 2 here"),
        (older_source, "chronology", "doubt", "older than the data", "Toy is of 2015 [3], [5] is of 2014"),
        (shifted_costs, "cost-convention", "error", "no single convention", "MACs fits 1 of 3"),
        (quoted_cost, "cost-convention", "doubt", "no convention gives it", "MACs fits 0 of 1"),
        (bent_column, "cost-linear", "error", "not linear", "from 0 to 1/4: -1.7"),
        (
            other_classes,
            "class-count",
            "warning",
            "the count with 20 classes; the table is about 10",
            "20 classes",
        ),
        (no_class_count, "class-count", "error", "no number of classes", "with 10 classes: 5.00, 4.00, 3.00"),
        (uneven_frames, "cost-per-frame", "doubt", "cost for each frame differs", "1.244 to 1.256"),
        (wrong_sum, "sum-of-parts", "error", "its parts make 23.9 to 24.1", "Ours 8f: 8.0; Ours 16f: 16.0"),
        (unlike_factors, "views", "error", "5 views of the cost, 6 of the frames", "8 × 6"),
        (odd_views, "views", "error", "5 views are no multiple of 2 clips", ""),
        (top5_below_top1, "top1-top5", "error", "top-5 is below top-1", ""),
        (no_percentage, "top1-top5", "error", "no percentage", ""),
        (
            repeated_row,
            "duplicate-row",
            "error",
            "repeats every number of the row of Base [5]",
            "Base 16f and Rival",
        ),
        (
            shifted_value,
            "same-row",
            "error",
            "prints 9.5 for the same row; 5.0 stands there beside Base 8f",
            "80",
        ),
        (two_sources, "same-row", "doubt", "credited to two works", "43.1"),
        (one_number_for_two_models, "two-meanings", "warning", "one accuracy", "top-5: 74.9"),
        (one_name_for_two_networks, "two-meanings", "warning", "this is Rival Lite [6] of Table 2", "32×2"),
        (other_backbone, "backbone", "doubt", "two backbones of Base [5]", "Table 2 and Table 4"),
        (too_wide, "architecture", "error", "not 1.06", "as wide as the convolution after it, 1.06 M"),
        (too_large_splits, "split-sizes", "error", "more videos than there are", "4,000 + 200 = 4,200"),
        (wrong_classes, "split-sizes", "error", "the data set has 27", ""),
        (bold_second, "bold", "doubt", "not the best of its column: Ours 16f", "48.0"),
        (plain_equal, "bold", "doubt", "not bold: Rival", "78.0"),
    ],
)
def test_a_planted_defect_is_found(
    plant: Callable[[Draft], None], rule: str, severity: str, message: str, evidence: str
) -> None:
    draft = Draft()
    plant(draft)
    found = findings(draft.build(), rule)
    assert any(f.severity == severity and message in f.message and evidence in f.evidence for f in found), (
        found
    )


def test_rounding_is_no_defect() -> None:
    """Between 9.95 / 8.05 and 10.05 / 7.95 lies what is printed as 1.2 and as 1.3; 4.0 may be half of 8.1."""
    draft = Draft()
    draft.statement("cheaper")["value"] = 1.3
    draft.set("table2", "Ours_En", params_m=8.1)  # 4.04 + 4.04
    draft.set("table5", "Rival", gflops=80.4)  # against 80
    assert findings(draft.build()) == []


def test_one_equal_accuracy_is_chance_and_two_are_a_copy() -> None:
    draft = Draft()
    draft.set("table3", "0", top1=40.0)
    assert findings(draft.build(), "quoted-row") == []
    draft.set("table3", "0", top5=70.0)
    assert len(findings(draft.build(), "quoted-row")) == 1


def test_frames_times_something_that_is_not_said_to_be_views_is_not_taken_for_views() -> None:
    draft = Draft()
    draft.set("table2", "Ours 8f", frames="8 × 6", gflops="8.0 × 6")
    draft.set("table2", "Base 8f", frames="8 × 3", gflops=30.0)
    assert findings(draft.build(), "unlike-comparison") == []
    draft.set("table2", "Base 8f", frames="8 × 3", gflops="10.0 × 3")
    assert len(findings(draft.build(), "unlike-comparison")) == 1


def test_equal_accuracies_on_another_data_set_are_no_copy() -> None:
    draft = Draft()
    draft.set("table4", "Ours 8f", top1=40.0, top5=70.0)
    assert findings(draft.build(), "quoted-row") == []


def test_a_source_of_the_year_of_the_data_is_not_older() -> None:
    draft = Draft()
    draft.data["text"]["years"]["5"] = 2016
    assert findings(draft.build(), "chronology") == []


def test_a_name_with_another_backbone_is_another_row() -> None:
    draft = Draft()
    draft.data["table4"]["protocol"]["datasets"] = ["toy"]
    draft.set("table4", "Base 8f", frames="8", gflops=10.0)
    assert {f.printed for f in findings(draft.build(), "same-row")} == {
        "60.0",
        "80.0",
    }  # 5.0 and 5.1 may both be 5.05
    draft.set("table4", "Base 8f", backbone="Net-34")
    assert findings(draft.build(), "same-row") == []


def test_a_column_in_twice_the_macs_is_one_convention() -> None:
    draft = Draft()
    for key, cost in (("0", 20.0), ("1/4", 16.0), ("1/2", 12.0)):
        draft.set("table3", key, gflops=cost)
    assert findings(draft.build(), "cost-convention", "cost-linear") == []
    draft.set("table3", "0", gflops=10.0)
    assert [f.severity for f in findings(draft.build(), "cost-convention")] == ["error"]


def test_smaller_only_for_fewer_classes_is_told() -> None:
    draft = Draft()
    other_classes(draft)
    (found,) = [f for f in findings(draft.build(), "class-count") if f.place == "section 4"]
    assert found.message == "4.0 M counts 10 classes and 5.1 M counts 20"
    assert "with 10 classes both, 4.00 and 5.00 M, +1.00 M" in found.evidence


def test_intervals_are_those_of_the_printed_digits() -> None:
    assert interval_of(28) == Interval(27.5, 28.5)
    assert interval_of("152 × 115") == Interval(151.5 * 115, 152.5 * 115)
    assert interval_per_view(306, 2) == Interval(152.75, 153.25)
    assert interval_of_count(148_092, about=True) == Interval(148_091.5, 148_092.5)
    assert interval_of_count(240_000, about=False) == Interval(240_000, 240_000)
    quotient = Interval(604.5, 605.5) / Interval(60.5, 61.5)
    assert (quotient.low, quotient.high) == pytest.approx((9.829, 10.008), abs=5e-4)
    with pytest.raises(ValueError, match="division"):
        Interval(1, 2) / Interval(0, 1)
