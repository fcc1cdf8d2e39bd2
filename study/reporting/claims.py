"""The paper's claims as they are shown: counts of verdicts, one row a claim, and what its estimates rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from study.analysis.claims.result import ClaimResult, Estimate, Verdict
from study.reporting.display import Cell, Column, Details, Display, Facts, show_sentence
from study.reporting.signs import ABSENT, Sign

VERDICTS: Mapping[Verdict, Sign] = {
    "supported": Sign("✓", "supported", "what was measured agrees with the claim"),
    "contradicted": Sign("✗", "contradicted", "what was measured is against the claim"),
    "inconclusive": Sign("≈", "inconclusive", "what was measured leaves it open"),
    "untestable": Sign("○", "untestable", "nothing measured here can test it"),
}
"""In the order in which they are counted."""
COLUMNS = (
    Column("", "claim", text=True, width=0.24),
    Column("", "verdict", text=True, width=0.11),
    Column("", "measured or counted here", text=True, width=0.23),
    Column("", "published", published=True, text=True, width=0.14),
    Column("", "why", text=True, width=0.24),
)

NUMBERS = ("value", "low", "high", "level", "p_value", "p_holm")
CLAIM_FIELDS = (
    *("claim", "says", "place", "verdict", "reason", "scope", "experiments", "published", "estimate", "unit"),
    *NUMBERS,
    *("repeats", "by_repeat"),
)
"""Columns of the claims' file."""


@dataclass(frozen=True)
class ClaimsView:
    """Claims in the order of the report.

    Attributes:
        tested: those with a verdict on measurements.
        untestable: the others.
        counts: how many have each verdict.
        scopes: what the verdicts are verdicts on, each once.
        display: all of them as a table.
    """

    tested: tuple[ClaimResult, ...]
    untestable: tuple[ClaimResult, ...]
    counts: tuple[tuple[Sign, int], ...]
    scopes: tuple[str, ...]
    display: Display

    @property
    def details(self) -> Mapping[str, Details]:
        """What opens behind each claim that has estimates, by its name."""
        return {claim.name: _details(claim) for claim in (*self.tested, *self.untestable) if claim.estimates}


def view_claims(claims: Sequence[ClaimResult]) -> ClaimsView:
    """``claims`` as the report shows them, in their own order."""
    tested = tuple(claim for claim in claims if claim.verdict != "untestable")
    untestable = tuple(claim for claim in claims if claim.verdict == "untestable")
    verdicts = [claim.verdict for claim in claims]
    return ClaimsView(
        tested=tested,
        untestable=untestable,
        counts=tuple(
            (sign, verdicts.count(verdict)) for verdict, sign in VERDICTS.items() if verdict in verdicts
        ),
        scopes=tuple(dict.fromkeys(claim.scope for claim in tested if claim.scope)),
        display=_display((*tested, *untestable)),
    )


def show_estimate(estimate: Estimate) -> str:
    """One estimate with its interval: "STH hybrid minus STH merge, top-1: +1.2 points [−0.3, +2.7]"."""
    show = _show_signed if estimate.unit == "points" else _show_plain
    text = f"{estimate.label}: {show(estimate.value)} {estimate.unit}".rstrip()
    if estimate.low is not None and estimate.high is not None:
        text += f" [{show(estimate.low)}, {show(estimate.high)}]"
    return text


def claims_frame(claims: Sequence[ClaimResult]) -> pd.DataFrame:
    """One row an estimate, and one for a claim without any; ``unit`` is that of the numbers after it. No claims give
    the columns without rows.
    """
    records = [_record(claim, estimate) for claim in claims for estimate in claim.estimates or (None,)]
    return pd.DataFrame(records, columns=list(CLAIM_FIELDS)).astype(dict.fromkeys(NUMBERS, "float64"))


def _record(claim: ClaimResult, estimate: Estimate | None) -> dict[str, object]:
    """The fields of :data:`CLAIM_FIELDS`."""
    numbers = {name: getattr(estimate, name) if estimate else None for name in NUMBERS}
    return {
        "claim": claim.name,
        "says": claim.says,
        "place": claim.place,
        "verdict": claim.verdict,
        "reason": claim.reason,
        "scope": claim.scope,
        "experiments": " ".join(claim.experiments),
        "published": claim.published,
        "estimate": estimate.label if estimate else "",
        "unit": estimate.unit if estimate else "",
        **numbers,
        "repeats": " ".join(map(str, estimate.repeats)) if estimate else "",
        "by_repeat": " ".join(f"{value:.6g}" for value in estimate.by_repeat) if estimate else "",
    }


def _display(claims: Sequence[ClaimResult]) -> Display:
    rows = []
    for claim in claims:
        sign = VERDICTS[claim.verdict]
        measured = "; ".join(map(show_estimate, claim.estimates))
        texts = (
            f"{claim.says} ({claim.place})" if claim.place else claim.says,
            f"{sign.sign} {sign.word}",
            measured or ABSENT,
            claim.published or ABSENT,
            claim.reason,
        )
        rows.append(tuple(map(Cell, texts)))
    meanings = " ".join(
        f"{sign.word.capitalize()}: {show_sentence(sign.means)}"
        for verdict, sign in VERDICTS.items()
        if any(claim.verdict == verdict for claim in claims)
    )
    scopes = " ".join(dict.fromkeys(claim.scope for claim in claims if claim.scope))
    return Display(
        name="claims",
        title="Claims of the paper",
        columns=COLUMNS,
        rows=tuple(rows),
        legend=meanings + (f" {show_sentence(scopes)}" if scopes else ""),
        frame=claims_frame(claims) if claims else None,
    )


def _details(claim: ClaimResult) -> Details:
    groups = [Facts(estimate.label, tuple(_list_facts(estimate))) for estimate in claim.estimates]
    about = Facts("Claim", (("place", claim.place or ABSENT), ("scope", claim.scope or "no matter of scale")))
    return Details(f"claim-{claim.name}-details", claim.says, (*groups, about))


def _list_facts(estimate: Estimate) -> list[tuple[str, str]]:
    show = _show_signed if estimate.unit == "points" else _show_plain
    lines = [("estimate", f"{show(estimate.value)} {estimate.unit}".rstrip())]
    if estimate.low is not None and estimate.high is not None:
        lines.append(
            (f"{100 * estimate.level:g} % interval", f"{show(estimate.low)} to {show(estimate.high)}")
        )
    if estimate.p_value is not None:
        corrected = (
            "" if estimate.p_holm is None else f"; {estimate.p_holm:.3g} after Holm's correction over claims"
        )
        lines.append(("p-value", f"{estimate.p_value:.3g}{corrected}"))
    if estimate.repeats and len(estimate.repeats) == len(estimate.by_repeat):
        by_repeat = zip(estimate.repeats, estimate.by_repeat, strict=True)
        lines.append(("by repeat", ", ".join(f"r{repeat} {show(value)}" for repeat, value in by_repeat)))
    elif estimate.repeats:
        lines.append(("repeats", ", ".join(map(str, estimate.repeats))))
    return lines


def _show_signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _show_plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
