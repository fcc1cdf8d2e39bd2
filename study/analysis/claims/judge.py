"""Verdicts, with one correction over everything that the claims about one table test.

The table is the family, as it is for the stars in it: a table is what one looks at together, so a verdict and the star
beside the same difference do not contradict each other for the company they keep in other tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from study.analysis.claims.contrasts import Contrast
from study.analysis.claims.drafts import Draft, draft_claim
from study.analysis.claims.loading import Claim
from study.analysis.claims.material import Material
from study.analysis.claims.result import ClaimResult, Estimate, Verdict
from study.analysis.claims.scope import describe_scope
from study.analysis.claims.wording import format_p, format_repeats
from study.analysis.statistics.significance import correct_holm

ALPHA = 0.05
TINY = 0.01
"""A difference of attention coefficients below this is called small, whatever its p-value."""
NEGLIGIBLE = 0.001
"""One below this is not judged: coefficients begin at 0.5, and these have hardly left it."""
WITHIN_SPREAD = "within the spread: the quartiles lie on both sides of where the claim has it"
Finding = Literal["holds", "fails", "open"]


class Corrected(NamedTuple):
    """A corrected p-value and the number of comparisons it is corrected for."""

    p_holm: float
    tests: int


def judge_claims(claims: Sequence[Claim], material: Material) -> tuple[ClaimResult, ...]:
    """The verdict on each of ``claims``, in their order.

    A claim is supported when the interval of each of its comparisons lies where the claim has it and the p-value,
    corrected with Holm's method over all distinct comparisons that claims make in the same experiment, is below 0.05;
    contradicted when that is so of one comparison on the other side; inconclusive otherwise; untestable when nothing
    could be compared. Counts do not vary, so they are right or wrong. A ratio of speeds is where its quartiles are: it
    is a measurement of one machine, and no sample of any.
    """
    drafts = [draft_claim(claim, material) for claim in claims]
    corrected = _correct(drafts)
    return tuple(_conclude(draft, corrected, material) for draft in drafts)


def _correct(drafts: Sequence[Draft]) -> Mapping[tuple[str, ...], Corrected]:
    """Holm's p-values of all comparisons that have a test, by key: one that two claims share is one test."""
    families: dict[str, dict[tuple[str, ...], float]] = {}
    for draft in drafts:
        for contrast in draft.contrasts:
            if contrast.estimate.p_value is not None:
                family = families.setdefault(draft.claim.spec.test.experiment, {})
                family[contrast.key] = contrast.estimate.p_value
    return {
        key: Corrected(p_holm, len(family))
        for family in families.values()
        for key, p_holm in zip(family, correct_holm(list(family.values())), strict=True)
    }


def _conclude(
    draft: Draft, corrected: Mapping[tuple[str, ...], Corrected], material: Material
) -> ClaimResult:
    contrasts = [
        replace(one, estimate=replace(one.estimate, p_holm=corrected[one.key].p_holm))
        if one.key in corrected
        else one
        for one in draft.contrasts
    ]
    findings = [_find(contrast) for contrast in contrasts]
    verdict: Verdict = "inconclusive"
    if not contrasts:
        verdict = "untestable"
    elif "fails" in findings:
        verdict = "contradicted"
    elif set(findings) == {"holds"} and not draft.gaps:
        verdict = "supported"
    spec = draft.claim.spec
    return ClaimResult(
        name=spec.name,
        says=spec.says,
        place=draft.claim.place,
        published=draft.claim.published,
        verdict=verdict,
        reason=_give_reason(draft, contrasts, findings, corrected),
        scope=describe_scope(draft.sides, material) if draft.sides else _join_settings(contrasts),
        experiments=(spec.test.experiment,),
        estimates=tuple(contrast.estimate for contrast in contrasts),
    )


def _join_settings(contrasts: Sequence[Contrast]) -> str:
    return " ".join(dict.fromkeys(contrast.setting for contrast in contrasts if contrast.setting))


def _find(contrast: Contrast) -> Finding:
    """Whether one comparison is as claimed, is clearly not, or is open."""
    estimate, claimed = contrast.estimate, contrast.claimed
    if contrast.unjudged or _is_negligible(estimate):
        return "open"
    if estimate.unit == "ratio":
        return "holds" if claimed.low <= estimate.value <= claimed.high else "fails"
    if estimate.unit == "times":
        return _locate(contrast)
    return _locate(contrast) if estimate.p_holm is not None and estimate.p_holm < ALPHA else "open"


def _is_negligible(estimate: Estimate) -> bool:
    return estimate.unit == "coefficient" and abs(estimate.value) < NEGLIGIBLE


def _locate(contrast: Contrast) -> Finding:
    """Where the interval lies, whatever the p-value."""
    low, high, claimed = contrast.estimate.low, contrast.estimate.high, contrast.claimed
    if low is None or high is None:
        return "open"
    if low > claimed.low and high < claimed.high:
        return "holds"
    return "fails" if high < claimed.low or low > claimed.high else "open"


def _give_reason(
    draft: Draft,
    contrasts: Sequence[Contrast],
    findings: Sequence[Finding],
    corrected: Mapping[tuple[str, ...], Corrected],
) -> str:
    """Why the verdict is what it is. The numbers themselves are the estimates and are not said again."""
    texts = []
    for contrast, finding in zip(contrasts, findings, strict=True):
        tests = corrected[contrast.key].tests if contrast.key in corrected else 0
        text = _describe(contrast, finding, tests)
        if text:
            texts.append(text if len(contrasts) == 1 else f"{contrast.estimate.label}: {text}")
    if any(contrast.estimate.unit == "ratio" for contrast in contrasts):
        texts.append("Counted at the paper's scale, not measured.")
    absent = dict.fromkeys(clause for contrast in contrasts for clause in contrast.absent)
    texts += [f"Not there: {'; '.join(absent)}."] if absent else []
    texts += draft.gaps
    if draft.claim.spec.note:
        texts.append(draft.claim.spec.note)
    return " ".join(texts)


def _describe(contrast: Contrast, finding: Finding, tests: int) -> str:
    """What there is to say of one comparison beside its estimate; may be nothing."""
    estimate = contrast.estimate
    texts = []
    if estimate.p_holm is not None:
        texts.append(
            f"{format_p(estimate.p_holm)} corrected for {tests} comparisons"
            if tests > 1
            else format_p(estimate.p_holm)
        )
    if contrast.unjudged:
        shown = f"{format_repeats(estimate)}; " if estimate.repeats else ""
        texts.append(f"{shown}not judged: {contrast.unjudged}")
    elif finding == "open":
        texts.append(_describe_open(contrast, tests) if estimate.unit != "times" else WITHIN_SPREAD)
    if math.isfinite(contrast.claimed.high) and estimate.unit == "points":
        texts.append(
            f"claimed: {contrast.claimed.low:.2f} to {contrast.claimed.high:.2f}, the print and the tolerance"
        )
    elif math.isfinite(contrast.claimed.high) and estimate.unit == "times":
        texts.append(f"claimed: {contrast.claimed}, the print and the tolerance")
    elif estimate.unit == "ratio" and contrast.claimed.low > 0:
        texts.append(f"the print allows {contrast.claimed}")
    sentence = f"{'; '.join(texts)}." if texts else ""
    small = estimate.unit == "coefficient" and NEGLIGIBLE <= abs(estimate.value) < TINY
    remarks = [*contrast.remarks, *(["That is a small difference, whatever its p-value."] if small else [])]
    return " ".join(filter(None, [sentence, *remarks]))


def _describe_open(contrast: Contrast, tests: int) -> str:
    """What it would take to settle a comparison that is open, one of ``tests``."""
    needed = contrast.repeats_needed
    if _is_negligible(contrast.estimate):
        return f"not judged: smaller than {NEGLIGIBLE}, the coefficients have hardly left where they began"
    if _locate(contrast) != "open":
        return f"clear by itself, but not as one of the {tests} comparisons that the claims about this table rest on"
    if needed is None or math.isfinite(contrast.claimed.high):
        return "not settled"
    if math.isinf(needed):
        return "not settled, and no number of repeats would settle a difference of this size"
    return f"not settled; {needed:g} repeats would find a difference of this size four times in five, before correction"
