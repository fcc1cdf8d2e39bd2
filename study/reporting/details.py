"""What opens behind a measured cell: its trials, how sure the difference is, and where all of it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from study.analysis.repeats import RepeatResult, Spread
from study.analysis.statistics.deltas import Delta
from study.analysis.tables import Accuracy, ArmResult, TableResult
from study.reporting.display import Details, Facts, RunLine, show_sentence, show_signed
from study.reporting.signs import ABSENT

HEADINGS = ("top-1, %", "top-5, %")
ORIGINS = (
    ("commit", "git_commit"),
    ("code fingerprint", "code_fingerprint"),
    ("data manifest", "data_digest"),
    ("videos", "videos"),
    ("device", "device"),
    ("clips at a time", "micro_batch"),
)
"""Label of a fact, and the tag of a run that holds it."""


def build_details(table: TableResult, row: ArmResult, place: int, key: str) -> Details:
    """What is behind the cells of ``row`` on the data set with number ``place``; ``key`` is to be unique."""
    accuracy = row.accuracies[place]
    several = len(table.datasets) > 1
    title = f"{row.arm.label} on {accuracy.dataset.shown}" if several else row.arm.label
    baseline = next(one for one in table.rows if one.is_baseline)
    groups = [
        Facts("Measured", tuple(_list_values(accuracy))),
        Facts(f"Difference to {baseline.arm.label}", tuple(_list_difference(accuracy))),
        Facts("Where it comes from", tuple(_list_origins(table, row, accuracy))),
    ]
    return Details(
        key=key,
        title=title,
        groups=tuple(group for group in groups if group.lines),
        headings=HEADINGS,
        runs=tuple(_iter_runs(accuracy.repeats)),
    )


def _list_values(accuracy: Accuracy) -> Iterator[tuple[str, str]]:
    for name, spread in (("top-1", accuracy.top1), ("top-5", accuracy.top5)):
        if spread is not None:
            yield name, f"{_show_spread(spread, 100)} %, mean{_describe_count(spread, len(accuracy.repeats))}"


def _describe_count(spread: Spread, planned: int) -> str:
    of = f"{spread.n} of {planned}" if spread.n != planned else str(spread.n)
    deviation = " ± sample standard deviation" if spread.std is not None else ""
    return f"{deviation} of {of} repeat{'s' if planned != 1 else ''}"


def _list_difference(accuracy: Accuracy) -> Iterator[tuple[str, str]]:
    delta = accuracy.evidence
    if delta is not None:
        yield from _list_inference(delta)
    elif accuracy.delta is not None:
        yield "top-1", f"{show_signed(accuracy.delta.mean)} points, without interval"
        if accuracy.refused:
            yield "no interval", show_sentence(accuracy.refused)
    if accuracy.confounders:
        yield "also differs in", "; ".join(map(str, accuracy.confounders))


def _list_inference(delta: Delta) -> Iterator[tuple[str, str]]:
    yield "top-1", f"{show_signed(delta.points)} points"
    by_repeat = zip(delta.repeats, delta.by_repeat, strict=True)
    yield "by repeat", ", ".join(f"r{repeat} {show_signed(points)}" for repeat, points in by_repeat)
    yield f"{100 * delta.level:g} % interval", f"{show_signed(delta.low)} to {show_signed(delta.high)} points"
    yield "what varies", f"{delta.varies}; {delta.videos} videos"
    corrected = "" if delta.p_holm is None else f"; {_show_p(delta.p_holm)} after Holm's correction"
    yield "p-value", f"{_show_p(delta.p_value)}{corrected}"
    yield "test", delta.test
    yield "found with 80 % power", f"from {delta.detectable:.1f} points on"
    if delta.repeats_needed is None:
        yield "repeats for 80 % power", "not known from fewer than three repeats"
    elif math.isinf(delta.repeats_needed):
        yield "repeats for 80 % power", "no number of repeats would do with these videos"
    else:
        yield "repeats for 80 % power", f"{delta.repeats_needed:.0f}, if the true difference is the one seen"


def _list_origins(table: TableResult, row: ArmResult, accuracy: Accuracy) -> Iterator[tuple[str, str]]:
    """What the runs say of themselves; every value that occurs, and how often, where they differ."""
    if row.arm.spec.fuse:
        yield "scores", f"mean of the scores of {', '.join(row.arm.spec.fuse)}; their cells name the runs"
        return
    arms = row.arm.on(accuracy.dataset.name)
    if arms:
        evaluation = arms[0].settings.evaluation
        protocol = evaluation.protocols[evaluation.primary].model_dump(mode="json")
        yield (
            "protocol",
            f"{evaluation.primary}: "
            + ", ".join(f"{name} {value}" for name, value in protocol.items() if value is not None),
        )
    runs = [run for trial in _iter_trials(accuracy.repeats) if (run := table.runs.get(trial.trial_id))]
    for label, tag in ORIGINS:
        if text := _summarize(run.get(f"tags.{tag}") for run in runs):
            yield label, text


def _summarize(values: Iterable[object]) -> str:
    counts: dict[str, int] = {}
    for value in values:
        if isinstance(value, str) and value:
            counts[value] = counts.get(value, 0) + 1
    if len(counts) < 2:
        return "".join(counts)
    return "mixed: " + "; ".join(f"{text} ({count} trials)" for text, count in sorted(counts.items()))


def _iter_trials(repeats: Iterable[RepeatResult]) -> Iterator[RepeatResult]:
    for result in repeats:
        yield from result.trials


def _iter_runs(repeats: Iterable[RepeatResult]) -> Iterator[RunLine]:
    for result in repeats:
        for number, trial in enumerate(result.trials, start=1):
            values = (trial.top1, trial.top5)
            texts = tuple(ABSENT if value is None else f"{100 * value:.1f}" for value in values)
            yield RunLine(
                repeat=result.repeat,
                fold=number if result.folds else None,
                texts=(trial.state, ABSENT) if trial.top1 is None else texts,
                state=trial.state,
                reason=trial.reason,
                trial_id=trial.trial_id,
                fragment=trial.fragment,
            )


def _show_spread(spread: Spread, scale: float) -> str:
    deviation = f" ± {scale * spread.std:.2f}" if spread.std is not None else ""
    return f"{scale * spread.mean:.2f}{deviation}"


def _show_p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.4f}" if value < 0.01 else f"p = {value:.3f}"
