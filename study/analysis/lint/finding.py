"""What a rule reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["error", "warning", "doubt"]
"""``error``: the print contradicts itself or arithmetic. ``warning``: the number may be right, but is not what it is
taken for, or is compared with what is not alike. ``doubt``: there may be an explanation that the print does not give.
"""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "doubt")


@dataclass(frozen=True)
class Finding:
    """A defect of the print.

    Attributes:
        rule: name of the rule that found it.
        severity: how sure it is.
        place: where it stands in the paper.
        printed: what is printed there.
        message: what was found.
        evidence: how a reader can check it.
    """

    rule: str
    severity: Severity
    place: str
    printed: str
    message: str
    evidence: str


@dataclass
class RuleResult:
    """What one rule did.

    Attributes:
        rule: its name.
        checked: comparisons made, those that led to a finding included.
        skipped: comparisons that could not be made, because something was not counted or not printed.
        findings: what is wrong.
    """

    rule: str
    checked: int = 0
    skipped: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: Severity, place: str, printed: str, message: str, *, evidence: str) -> None:
        """Report a defect; the same one of two statements is one."""
        finding = Finding(self.rule, severity, place, printed, message, evidence)
        if finding not in self.findings:
            self.findings.append(finding)
