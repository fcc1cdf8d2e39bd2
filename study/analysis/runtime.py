"""What measurements of runtime say: ratios paired round by round, an order where there is one, the print beside it.

Speed is videos in a second. A ratio of two speeds is taken in each round, in which both networks ran within moments of
each other, and then its quartiles: what the machine did to both in that round cancels. Where the quartiles contain 1
the two are within the spread and are not ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

from study.analysis.lint.rounding import Interval, interval_of
from study.analysis.published import PublishedTable, RowSpec
from study.spec.resolved import Experiment
from study.spec.runtime import ArmRuntime, Quartiles, RuntimeRecord, digest_settings, sort_runtimes

LEAST_ROUNDS = 11
"""Rounds below which nothing is ranked. Two networks that are equally fast have quartiles on one side of 1 in 37 % of
all measurements of 5 rounds, in 11 % with 11, 2.6 % with 21 and 0.5 % with 31 (``tests/analysis/test_runtime.py``)."""
PAPER_GPU, PAPER_BATCH = "1080 Ti", 16
"""What the paper's speeds were measured on, and at which batch size (section 4.6)."""
PRINTED = "videos_per_s"
Order = Literal["faster", "slower", "within the spread", "too few rounds"]


@dataclass(frozen=True)
class SpeedRatio:
    """Speed of one arm over that of another: quartiles over the rounds, and what may be said of them."""

    ratio: Quartiles
    rounds: int

    @property
    def order(self) -> Order:
        """Whether the first arm is faster or slower, or why that is not said."""
        if self.rounds < LEAST_ROUNDS:
            return "too few rounds"
        if self.ratio.contains(1.0):
            return "within the spread"
        return "faster" if self.ratio.median > 1 else "slower"


@dataclass(frozen=True)
class RuntimeRow:
    """A row of a table of speeds.

    Attributes:
        name: the row's, in its experiment.
        label: what tables print.
        runtime: what it gave; None where it has no times.
        reason: why it has none.
        stale: whether its code, or the timer's, has changed since.
        ratio: its speed over that of the reference; None for the reference itself, and where either has no times.
        printed: videos in a second as the paper prints them.
        printed_ratio: the printed speed over the printed one of the reference, as far as rounding leaves it open.
    """

    name: str
    label: str
    runtime: ArmRuntime | None = None
    reason: str = ""
    stale: bool = False
    ratio: SpeedRatio | None = None
    printed: float | None = None
    printed_ratio: Interval | None = None


@dataclass(frozen=True)
class RuntimeTable:
    """Speeds of the rows of one experiment.

    Attributes:
        experiment: the experiment.
        against: the row that ratios are to.
        rows: its rows, in order.
        record: the session behind it; None where nothing was measured.
        published: the paper's table, where it prints speeds.
    """

    experiment: Experiment
    against: str
    rows: tuple[RuntimeRow, ...]
    record: RuntimeRecord | None = None
    published: PublishedTable | None = None

    @property
    def is_papers_gpu(self) -> bool:
        """Whether the speeds themselves, and not only their ratios, may be held against the print."""
        record = self.record
        if record is None or PAPER_GPU not in record.environment.device:
            return False
        conditions = record.conditions
        return (conditions.batch, conditions.mode) == (PAPER_BATCH, "inference")

    def row(self, name: str) -> RuntimeRow | None:
        """The row called ``name``, or None."""
        return next((row for row in self.rows if row.name == name), None)


def compare_speeds(record: RuntimeRecord, first: str, second: str) -> SpeedRatio | None:
    """Speed of the arm ``first`` over that of ``second``, round by round; None where either has no times."""
    one, other = record.arm(first), record.arm(second)
    if one is None or other is None or not (one.measured and other.measured):
        return None
    ratios = [
        other.views * theirs / (one.views * ours)
        for ours, theirs in zip(one.seconds, other.seconds, strict=True)
    ]
    return SpeedRatio(Quartiles.of(ratios), len(ratios))


def rank_arms(record: RuntimeRecord, names: Sequence[str]) -> list[tuple[str, ...]]:
    """``names`` in tiers, fastest first: every arm of a tier is faster than every arm of the tiers after it. Arms that
    the spread does not tell apart, directly or by way of others, share a tier. Those without times are left out.
    """
    speeds = {
        name: arm.videos_per_s.median for name in names if (arm := record.arm(name)) and arm.videos_per_s
    }
    ordered = sorted(speeds, key=lambda name: -speeds[name])
    cuts = [0]
    for place in range(1, len(ordered)):
        pairs = product(ordered[:place], ordered[place:])
        compared = (compare_speeds(record, faster, slower) for faster, slower in pairs)
        if all(found is not None and found.order == "faster" for found in compared):
            cuts.append(place)
    return [tuple(ordered[begin:end]) for begin, end in pairwise([*cuts, len(ordered)]) if end > begin]


def write_ranking(record: RuntimeRecord, labels: Mapping[str, str]) -> str:
    """The order of the arms in a sentence, or why there is none; "" for fewer than two arms with times."""
    measured = [name for name in labels if (arm := record.arm(name)) and arm.measured]
    if len(measured) < 2:
        return ""
    if record.rounds < LEAST_ROUNDS:
        return f"No order: {record.rounds} rounds, and an order needs {LEAST_ROUNDS}."
    tiers = rank_arms(record, measured)
    if len(tiers) == 1:
        return f"No order: {_join([labels[name] for name in tiers[0]])} are within the spread."
    shown = []
    for tier in tiers:
        names = _join([labels[name] for name in tier])
        shown.append(f"{names} (within the spread)" if len(tier) > 1 else names)
    return f"Fastest first: {'; '.join(shown)}."


def select_runtimes(experiment: Experiment, records: Sequence[RuntimeRecord]) -> list[RuntimeRecord]:
    """The measurement of ``experiment`` under each of its conditions that has the most rows, of several the newest;
    GPUs first. A look at two arms does not take the place of a session of all.

    Only rows count whose settings are those that they have now: the others are of another scale.
    """
    now = {row.name: _digest_row(experiment, row.name) for row in experiment.rows}
    chosen: dict[tuple[str, ...], tuple[int, RuntimeRecord]] = {}
    for record in sort_runtimes(records):
        rows = sum(bool(arm.settings) and arm.settings == now.get(arm.arm) for arm in record.arms)
        if record.experiment != experiment.name or not rows:
            continue
        if rows >= chosen.get(record.key, (0, record))[0]:
            chosen[record.key] = rows, record
    found = [record for _, record in chosen.values()]
    return sorted(found, key=lambda record: (record.conditions.device != "cuda", record.key))


def build_runtime_table(
    experiment: Experiment,
    record: RuntimeRecord | None,
    *,
    published: PublishedTable | None = None,
    codes: Mapping[str, str] | None = None,
) -> RuntimeTable:
    """The table of speeds of ``experiment``.

    Args:
        experiment: the experiment.
        record: the session to show; None gives rows that say that nothing was measured.
        published: the paper's table; one without speeds is left out.
        codes: fingerprint of the code of each row's network now, by row; nothing is stale without.
    """
    if published is not None and PRINTED not in published.columns:
        published = None
    against = record.against if record else experiment.spec.baseline
    printed = {row.name: _find_printed(row.spec.published, published) for row in experiment.rows}
    reference = printed.get(against)
    rows = []
    for row in experiment.rows:
        runtime, reason = _find_runtime(experiment, row.name, record)
        value, base = printed[row.name], reference
        rows.append(
            RuntimeRow(
                name=row.name,
                label=row.label,
                runtime=runtime,
                reason=reason,
                stale=runtime is not None and bool(codes) and (codes or {}).get(row.name) != runtime.code,
                ratio=_compare(experiment, record, row.name, against) if runtime and record else None,
                printed=value,
                printed_ratio=_divide(value, base) if row.name != against else None,
            )
        )
    return RuntimeTable(experiment, against, tuple(rows), record, published)


def choose_table(tables: Sequence[RuntimeTable]) -> RuntimeTable | None:
    """Of the tables of inference the one whose conditions are nearest to the paper's; the newest of equals."""

    def rate(table: RuntimeTable) -> tuple[bool, bool, bool, bool, bool, float]:
        assert table.record is not None
        conditions = table.record.conditions
        return (
            table.is_papers_gpu,
            conditions.device == "cuda",
            conditions.batch == PAPER_BATCH,
            conditions.dtype == "fp32",
            not conditions.compile,
            table.record.started_at,
        )

    usable = [one for one in tables if one.record and one.record.conditions.mode == "inference"]
    return max(usable, key=rate, default=None)


def _compare(experiment: Experiment, record: RuntimeRecord, name: str, against: str) -> SpeedRatio | None:
    if name == against or _find_runtime(experiment, against, record)[0] is None:
        return None
    return compare_speeds(record, name, against)


def _find_runtime(
    experiment: Experiment, name: str, record: RuntimeRecord | None
) -> tuple[ArmRuntime | None, str]:
    """What a row gave in a session with the settings that it has now; or None, and why."""
    spec = experiment.row(name).spec
    if spec.published_only:
        return None, f"Not built: {spec.published_only.strip().rstrip('.')}."
    if spec.fuse:
        return None, f"Fuses the scores of {', '.join(spec.fuse)}, each of which is timed by itself."
    found = record.arm(name) if record else None
    if found is None:
        return None, "Not measured."
    if found.settings != _digest_row(experiment, name):
        return None, "Measured with other settings than the row has now."
    return (found, "") if found.measured else (None, found.reason)


def _digest_row(experiment: Experiment, name: str) -> str:
    """Digest of the network that stands for a row: that of its first data set. "" where none does."""
    arms = experiment.row(name).arms
    return digest_settings(arms[0].settings.model, arms[0].settings.clip) if arms else ""


def _find_printed(name: str | None, published: PublishedTable | None) -> float | None:
    row: RowSpec | None = published.row(name) if published is not None and name is not None else None
    value = row.values.get(PRINTED) if row else None
    return float(value) if isinstance(value, int | float) else None


def _divide(value: float | None, base: float | None) -> Interval | None:
    """All ratios of numbers that round to ``value`` and ``base``."""
    over, under = interval_of(value), interval_of(base)
    return over / under if over and under else None


def _join(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
