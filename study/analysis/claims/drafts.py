"""From a claim and the trials to the comparisons that its verdict rests on, each kind of test in its own way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from study.analysis.claims.contrasts import ABOVE, Contrast, contrast_coefficients, contrast_hits
from study.analysis.claims.loading import Claim
from study.analysis.claims.material import Floats, Material, Side, Untestable
from study.analysis.claims.result import Estimate
from study.analysis.claims.scope import refuse_data, refuse_scale
from study.analysis.claims.spec import AccuracyTest, AttentionTest, CostTest, GainTest, SpeedTest, TrendTest
from study.analysis.claims.wording import format_coefficients
from study.analysis.lint.rounding import Interval
from study.analysis.statistics.hits import PairedHits, pair_hits

SHOWN = 3
"""Factors that a confounded comparison names."""
CHEAPER = Interval(0.0, 1.0 - 1e-9)
"""Where the ratio of two costs is claimed to lie."""
FASTER = Interval(1.0, math.inf)
"""Where the ratio of two speeds is claimed to lie."""
COSTS = {"params_m": ("parameters", "M"), "gmacs_per_view": ("multiply-accumulates of a view", "GMACs")}
Compared = tuple[Contrast, tuple[Side, ...]]
"""A comparison and the trials behind it."""
Attempt = Callable[[], Compared]
"""Makes a comparison, or raises Untestable."""


@dataclass(frozen=True)
class Draft:
    """A claim before the p-values of all claims are corrected together.

    Attributes:
        claim: the claim.
        contrasts: what was compared.
        gaps: why further comparisons that it needs could not be made, in sentences.
        sides: the trials that it is about; none for counts.
    """

    claim: Claim
    contrasts: tuple[Contrast, ...] = ()
    gaps: tuple[str, ...] = ()
    sides: tuple[Side, ...] = ()


def draft_claim(claim: Claim, material: Material) -> Draft:
    """The comparisons behind ``claim``; one that cannot be made is a gap."""
    contrasts, gaps, sides = list[Contrast](), list[str](), list[Side]()
    for attempt in _iter_attempts(claim, material):
        try:
            contrast, used = attempt()
        except Untestable as reason:
            gaps += [str(reason)] if str(reason) not in gaps else []
            continue
        contrasts.append(contrast)
        sides += [side for side in used if side not in sides]
    return Draft(claim, tuple(contrasts), tuple(gaps), tuple(sides))


def _iter_attempts(claim: Claim, material: Material) -> Iterator[Attempt]:
    test = claim.test
    if isinstance(test, AccuracyTest):
        for pair in test.pairs:
            yield partial(_compare_accuracy, claim, test, pair, material)
    elif isinstance(test, GainTest):
        yield partial(_compare_gains, test, material)
    elif isinstance(test, CostTest):
        for pair in test.pairs:
            yield partial(_compare_costs, claim, test, pair, material)
    elif isinstance(test, SpeedTest):
        yield partial(_compare_speeds, claim, test, material)
    elif isinstance(test, TrendTest):
        for dataset in test.datasets or (None,):
            yield partial(_compare_halves, test, dataset, material)
    else:
        yield partial(_compare_attention, test, material)


def _compare_accuracy(
    claim: Claim, test: AccuracyTest, pair: tuple[str, str], material: Material
) -> Compared:
    for row in pair:
        if row in claim.unbuilt:
            raise Untestable(f"'{row}' is not built: {claim.unbuilt[row]}.")
    if claim.printed is not None:
        refuse_scale(test.experiment, material)
    sides = tuple(material.side(test.experiment, row, test.dataset) for row in pair)
    claimed = ABOVE
    if claim.printed is not None:
        refuse_data(sides, material)
        around, tolerance = claim.printed, test.tolerance_points
        claimed = Interval(around.low - tolerance, around.high + tolerance)
    key = (
        "accuracy",
        test.experiment,
        *sides[0].cell,
        *sides[1].cell,
        f"{claimed.low:g}",
        f"{claimed.high:g}",
    )
    label = f"{sides[0].label} minus {sides[1].label}, top-1"
    contrast = contrast_hits(key, label, [(1, _pair(*sides))], claimed)
    return _qualify(contrast, test.experiment, [sides], material), sides


def _compare_gains(test: GainTest, material: Material) -> Compared:
    pairs = [
        tuple(material.side(test.experiment, row, dataset) for row in (test.arm, test.over))
        for dataset in (test.larger_on, test.than_on)
    ]
    larger, smaller = pairs
    hits = [_pair(*pair) for pair in pairs]
    if not set(hits[0].repeats) & set(hits[1].repeats):
        raise Untestable("The two data sets have no finished repeat in common.")
    label = (
        f"gain of {larger[0].label} over {larger[1].label} on {larger[0].dataset.shown} minus that on "
        f"{smaller[0].dataset.shown}, top-1"
    )
    key = ("gain", test.experiment, *larger[0].cell, *larger[1].cell, *smaller[0].cell, *smaller[1].cell)
    contrast = contrast_hits(key, label, [(1, hits[0]), (-1, hits[1])])
    gains = " and ".join(
        f"{100 * float(one.differences.mean()):+.1f} points on {pair[0].dataset.shown}"
        for one, pair in zip(hits, pairs, strict=True)
    )
    contrast = replace(contrast, remarks=(f"The gains are {gains}.",))
    across = (larger[0], smaller[0])
    return _qualify(contrast, test.experiment, [*pairs, across], material), (*larger, *smaller)


def _compare_costs(claim: Claim, test: CostTest, pair: tuple[str, str], material: Material) -> Compared:
    costs = material.find_costs(test.experiment, pair)
    what, unit = COSTS[test.metric]
    first, second = (float(getattr(costs.rows[row], test.metric)) for row in pair)
    estimate = Estimate(f"{pair[0]} over {pair[1]}, {what}", first / second, "ratio")
    digits = 3 if unit == "M" else 2
    remark = f"{first:.{digits}f} against {second:.{digits}f} {unit}, with {costs.classes} classes."
    key = ("cost", test.experiment, test.metric, *pair)
    return Contrast(key, estimate, claim.printed or CHEAPER, remarks=(remark,)), ()


def _compare_speeds(claim: Claim, test: SpeedTest, material: Material) -> Compared:
    for row in (test.arm, test.over):
        if row in claim.unbuilt:
            raise Untestable(f"'{row}' is not built: {claim.unbuilt[row]}.")
    claimed = FASTER
    if claim.printed is not None:
        command = f"uv run run_study.py bench {test.experiment}"
        refuse_scale(
            test.experiment, material, f"`{command}` measures it, and `report --profile paper` shows it."
        )
        claimed = Interval(
            claim.printed.low * (1 - test.tolerance), claim.printed.high * (1 + test.tolerance)
        )
    speed = material.find_speed(test.experiment, test.arm, test.over)
    estimate = Estimate(
        label=f"{speed.labels[0]} over {speed.labels[1]}, videos in a second",
        value=speed.ratio.median,
        unit="times",
        low=speed.ratio.q1,
        high=speed.ratio.q3,
        level=0.5,
    )
    key = ("speed", test.experiment, test.arm, test.over)
    remarks = (speed.remark,)
    contrast = Contrast(key, estimate, claimed, unjudged=speed.unjudged, remarks=remarks, setting=speed.scope)
    return contrast, ()


def _compare_halves(test: TrendTest, dataset: str | None, material: Material) -> Compared:
    side = material.side(test.experiment, test.arm, dataset)
    halves = {repeat: _split(blocks) for repeat, blocks in _find_blocks(side, material).items()}
    _refuse_none([side], set(halves))
    deeper = {repeat: half[1] for repeat, half in halves.items()}
    shallower = {repeat: half[0] for repeat, half in halves.items()}
    on = f" on {side.dataset.shown}" if side.dataset.shown else ""
    label = f"temporal coefficient of {side.label}{on}, deeper half of the blocks minus shallower half"
    contrast = contrast_coefficients(("trend", test.experiment, *side.cell), label, deeper, shallower)
    contrast = _add_levels(contrast, deeper, shallower, "deeper and shallower blocks have")
    return _qualify(contrast, test.experiment, [(side,)], material), (side,)


def _compare_attention(test: AttentionTest, material: Material) -> Compared:
    sides = tuple(material.side(test.experiment, one.arm, one.dataset) for one in (test.higher, test.lower))
    means = [
        {repeat: float(blocks.mean()) for repeat, blocks in _find_blocks(side, material).items()}
        for side in sides
    ]
    _refuse_none(sides, set(means[0]) & set(means[1]))
    same_row, same_data = sides[0].row.name == sides[1].row.name, sides[0].dataset == sides[1].dataset
    names = [
        " on ".join(filter(None, ["" if same_row else side.label, "" if same_data else side.dataset.shown]))
        for side in sides
    ]
    names = [name.removeprefix(" on ") for name in names]
    label = f"mean temporal coefficient, {names[0]} minus {names[1]}"
    key = ("attention", test.experiment, *sides[0].cell, *sides[1].cell)
    contrast = contrast_coefficients(key, label, means[0], means[1])
    contrast = _add_levels(contrast, means[0], means[1], f"{names[0]} and {names[1]} have")
    return _qualify(contrast, test.experiment, [sides], material), sides


def _pair(first: Side, second: Side) -> PairedHits:
    """The hits of both in the repeats that both have; raises Untestable where there are none."""
    hits = [side.view.evidence.hits.get(side.cell, {}) for side in (first, second)]
    _refuse_none((first, second), set(hits[0]) & set(hits[1]))
    try:
        return pair_hits(*hits)
    except ValueError as error:
        raise Untestable(f"{first.label} and {second.label} cannot be compared: {error}.") from None


def _refuse_none(sides: Sequence[Side], repeats: set[int]) -> None:
    if not repeats:
        why = "; ".join(filter(None, (side.describe_absent(_usable(side)) for side in sides)))
        raise Untestable(f"No repeat is there to compare{f': {why}' if why else ''}.")


def _usable(side: Side) -> set[int]:
    """Repeats all of whose trials have a result."""
    repeats = range(side.view.experiment.repeats)
    return {n for n in repeats if all(ref.state in ("done", "stale") for ref in side.refs(n))}


def _find_blocks(side: Side, material: Material) -> Mapping[int, Floats]:
    """Temporal coefficients (blocks,) of each finished repeat; over folds their mean. Raises Untestable."""
    if side.row.spec.fuse:
        raise Untestable(f"'{side.label}' fuses scores, so it has no coefficients of its own.")
    found: dict[int, Floats] = {}
    for repeat in sorted(_usable(side)):
        blocks = [material.coefficients.get(ref.trial_id) for ref in side.refs(repeat)]
        known = [one for one in blocks if one is not None]
        if len(known) == len(blocks) and known:
            total = sum(known[1:], start=known[0])
            found[repeat] = total / len(known)
    if not found and _usable(side):
        raise Untestable(f"'{side.label}' recorded no attention coefficients.")
    return found


def _split(blocks: Floats) -> tuple[float, float]:
    """Mean of the shallower and of the deeper half; an odd one in the middle belongs to neither."""
    half = blocks.size // 2
    if not half:
        raise Untestable("A network with a single attentive block has no deeper half.")
    return float(blocks[:half].mean()), float(blocks[-half:].mean())


def _add_levels(
    contrast: Contrast, higher: Mapping[int, float], lower: Mapping[int, float], who: str
) -> Contrast:
    """``contrast`` with the two means, to as many digits as the difference needs."""
    repeats = contrast.estimate.repeats
    means = [math.fsum(side[repeat] for repeat in repeats) / len(repeats) for side in (higher, lower)]
    shown = format_coefficients(contrast.estimate.value, means)
    return replace(contrast, remarks=(*contrast.remarks, f"On average {who} {shown[0]} and {shown[1]}."))


def _qualify(
    contrast: Contrast, experiment: str, pairs: Sequence[Sequence[Side]], material: Material
) -> Contrast:
    """``contrast`` with what speaks against judging it: confounded or stale trials; and with what was left out."""
    used = contrast.estimate.repeats
    sides = list({side.cell: side for pair in pairs for side in pair}.values())
    reasons = [contrast.unjudged] if contrast.unjudged else []
    for pair in pairs:
        if len(pair) == 2:
            factors = material.find_factors(experiment, pair[0].cell, pair[1].cell)
            if factors:
                named = "; ".join(str(factor) for factor in factors[:SHOWN])
                more = f" and {len(factors) - SHOWN} more" if len(factors) > SHOWN else ""
                reasons.append(f"confounded: the trials also differ in {named}{more}")
    stale = "; ".join(filter(None, (side.describe_stale(used) for side in sides)))
    if stale:
        reasons.append(f"stale trials ({stale})")
    absent = tuple(filter(None, (side.describe_absent(used) for side in sides)))
    if not reasons:
        return replace(contrast, absent=absent)
    estimate = replace(contrast.estimate, p_value=None)
    return replace(contrast, estimate=estimate, unjudged="; ".join(reasons), absent=absent)
