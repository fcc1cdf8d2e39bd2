"""Checks of published numbers against themselves, and against what the networks cost: no training, no data.

A rule looks at one kind of defect over typed tables and statements. It knows no paper: what it finds in this one,
it finds by arithmetic that a reader can repeat.
"""

from __future__ import annotations

from study.analysis.lint.finding import Finding, RuleResult, Severity
from study.analysis.lint.paper import CountedNetwork, Paper, load_paper
from study.analysis.lint.rules import RULES, run_rules

__all__ = [
    "RULES",
    "CountedNetwork",
    "Finding",
    "Paper",
    "RuleResult",
    "Severity",
    "load_paper",
    "run_rules",
]
