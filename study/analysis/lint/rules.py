"""The rules by name, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper
from study.registry import Registry

Rule = Callable[[Paper, RuleResult], None]
_HERE = "study.analysis.lint"

RULES: Registry[Rule] = Registry(
    "lint rule",
    {
        "text-arithmetic": f"{_HERE}.arithmetic:check_arithmetic",
        "text-comparison": f"{_HERE}.arithmetic:check_comparisons",
        "unlike-comparison": f"{_HERE}.protocols:check_alike",
        "quoted-row": f"{_HERE}.protocols:check_quoted",
        "chronology": f"{_HERE}.protocols:check_chronology",
        "cost-convention": f"{_HERE}.costs:check_conventions",
        "cost-linear": f"{_HERE}.costs:check_linear",
        "class-count": f"{_HERE}.classes:check_classes",
        "cost-per-frame": f"{_HERE}.rows:check_frames",
        "sum-of-parts": f"{_HERE}.rows:check_parts",
        "views": f"{_HERE}.rows:check_views",
        "top1-top5": f"{_HERE}.rows:check_order",
        "duplicate-row": f"{_HERE}.rows:check_duplicates",
        "same-row": f"{_HERE}.names:check_same_row",
        "two-meanings": f"{_HERE}.names:check_meanings",
        "backbone": f"{_HERE}.names:check_backbones",
        "architecture": f"{_HERE}.architecture:check_architecture",
        "split-sizes": f"{_HERE}.datasets:check_splits",
        "bold": f"{_HERE}.marks:check_bold",
    },
)


def run_rules(paper: Paper, names: Iterable[str] = ()) -> list[RuleResult]:
    """What each rule of ``names`` finds in ``paper``; every rule when empty. Raises StudyError for unknown names."""
    results = []
    for name in tuple(names) or tuple(RULES):
        result = RuleResult(name)
        RULES.get(name)(paper, result)
        results.append(result)
    return results
