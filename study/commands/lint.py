"""``lint paper``: the published numbers against each other and against what the networks cost."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.analysis.lint import CountedNetwork, Finding, Paper, RuleResult, load_paper, run_rules
from study.analysis.lint.finding import SEVERITIES
from study.analysis.tables import PAPER_PROFILE
from study.cost.oracle import derive_total, has_closed_form
from study.cost.oracle.conventions import derive_conventions
from study.spec.loading import load_study
from study.spec.trial import TrialSettings

IMAGENET_CLASSES = 1000
STYLES = {"error": "bold red", "warning": "yellow", "doubt": "cyan"}


def lint_paper(*, as_json: bool) -> int:
    """Check the published numbers and print what is wrong with them, and what was found right.

    Returns:
        The exit code: 0 when nothing was found, 1 otherwise.

    Raises:
        SpecError: when a file below ``reports/published`` is wrong or missing.
    """
    paper = load_paper()
    results = run_rules(Paper(paper.tables, paper.text, count_networks(paper)))
    findings = [finding for result in results for finding in result.findings]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    if as_json:
        rules = {result.rule: _count(result) for result in results}
        print(json.dumps({"findings": [asdict(finding) for finding in findings], "rules": rules}))
    else:
        _print(findings, results)
    return 1 if findings else 0


def count_networks(paper: Paper) -> dict[tuple[str, str], CountedNetwork]:
    """What the networks of the published rows cost at the paper's scale, where there is a closed form; by table and
    row. The networks are those of the experiments that are named like the tables.
    """
    tables = {
        name: t for name, t in paper.tables.items() if any(_is_cost(c.unit) for c in t.columns.values())
    }
    counted = {}
    for experiment in load_study(list(tables), profile=PAPER_PROFILE).experiments:
        name = experiment.spec.published or ""
        for row in experiment.rows if name in tables else ():
            if row.spec.published and row.arms and has_closed_form(row.arms[0].settings.model):
                own = [paper.text.datasets[key].classes for key in tables[name].protocol.datasets]
                counted[name, row.spec.published] = _count_network(paper, row.arms[0].settings, min(own))
    return counted


def _is_cost(unit: str) -> bool:
    return unit.startswith("GMAC") or unit == "million"


def _count_network(paper: Paper, settings: TrialSettings, own: int) -> CountedNetwork:
    """``own``: classes of the table's data set, with which operations are counted."""
    clip, model = settings.clip, settings.model
    view = {"frames": clip.frames, "size": clip.size, "in_channels": clip.channels}
    classes = {dataset.classes for dataset in paper.text.datasets.values()} | {IMAGENET_CLASSES}
    totals = {k: derive_total(model, num_classes=k, **view) for k in sorted(classes)}
    operations = derive_conventions(model, totals[own][1], **view)
    return CountedNetwork(
        params_m={k: params / 1e6 for k, (params, _) in totals.items()},
        gmacs={name: count / 1e9 for name, count in operations.items()},
    )


def _count(result: RuleResult) -> dict[str, int]:
    return {"checked": result.checked, "findings": len(result.findings), "not checked": result.skipped}


def _print(findings: list[Finding], results: list[RuleResult]) -> None:
    # Piped into a file it need not be as narrow as the smallest terminal.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    if findings:
        table = Table(show_lines=True, padding=(0, 1))
        for heading in ("severity", "place", "printed", "found", "how it was established"):
            table.add_column(heading, overflow="fold")
        for finding in findings:
            cells = [finding.place, finding.printed, f"{finding.message} ({finding.rule})", finding.evidence]
            severity = f"[{STYLES[finding.severity]}]{finding.severity}[/]"
            table.add_row(severity, *map(escape, cells))
        console.print(table)
    table = Table(box=None, padding=(0, 2))
    for heading in ("rule", "checked", "findings", "not checked"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for result in results:
        table.add_row(result.rule, *map(str, _count(result).values()))
    console.print(table)
    counts = [f"{sum(f.severity == kind for f in findings)} {kind}s" for kind in SEVERITIES]
    console.print(
        f"{', '.join(counts)}. Not checked: nothing is printed, or no closed form of the network is known."
    )
