"""``why``: what made a trial what it is: missing, stale, failed; and what happened at each attempt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from study.commands.progress import describe_seconds, describe_use
from study.errors import SpecError, StoreError, suggest
from study.running.attempts import Attempt, read_attempts
from study.running.failures import ADVICE, classify
from study.running.plan import Plan, PlannedTrial, State, make_plan
from study.running.store import Store
from study.spec.record import TrialRecord
from study.spec.resolved import Study
from study.spec.trial import flatten

LEAST_PREFIX = 4
"""Digits of an id that are taken for its beginning."""
LOSSES = 6
"""Losses of the last steps that are told of a training that diverged."""
MOST_DIFFERENCES = 6
"""A finished trial that differs in more is no neighbor of this one."""
ABSENT = "(not set)"


def explain(study: Study, store: Store, wanted: str) -> str:
    """What there is to say about the trials that ``wanted`` names, each in a paragraph.

    Args:
        study: where they are planned.
        store: where they lie.
        wanted: an id or its beginning, "experiment/arm", or "experiment/arm/repeat".

    Raises:
        SpecError: when nothing in the study is called so.
    """
    plan = make_plan(study, store)
    found = _find(plan, wanted)
    neighbors = [] if all(planned.record for planned in found) else list(_read_records(store))
    return "\n\n".join("\n".join(_explain(planned, store, neighbors)) for planned in found)


def _find(plan: Plan, wanted: str) -> list[PlannedTrial]:
    by_id = [t for t in plan.trials if t.trial_id.startswith(wanted)] if len(wanted) >= LEAST_PREFIX else []
    by_use = [
        planned
        for planned in plan.trials
        if any(
            wanted in (f"{use.experiment}/{use.arm}", f"{use.experiment}/{use.arm}/{use.repeat}")
            for use in planned.uses
        )
    ]
    if not by_id and not by_use:
        names = dict.fromkeys(f"{use.experiment}/{use.arm}" for t in plan.trials for use in t.uses)
        raise SpecError(f"no trial of this study is '{wanted}': {suggest(wanted, names)}, or the id of one")
    return by_id or by_use


def _read_records(store: Store) -> Iterator[TrialRecord]:
    """Every readable record of the store, also of trials that no experiment asks for any more."""
    for path in sorted(store.trials.glob("*/record.json")):
        try:
            record = store.record(path.parent.name)
        except StoreError:
            continue
        if record is not None:
            yield record


def _explain(planned: PlannedTrial, store: Store, neighbors: list[TrialRecord]) -> Iterator[str]:
    yield f"{planned.trial_id} is {planned.state.value}" + (f": {planned.reason}" if planned.reason else "")
    yield f"  serves {'; '.join(f'{u.experiment} / {u.arm}, repeat {u.repeat}' for u in planned.uses)}"
    if planned.parent is not None:
        parent = planned.parent
        yield f"  starts from {parent.trial_id} ({describe_use(parent)}), which is {parent.state.value}"
    if planned.record is None:
        yield from _compare(planned, neighbors)
    else:
        yield from _describe_record(planned, planned.record)
    for attempt in read_attempts(store.folder(planned.trial_id)):
        yield f"  attempt {attempt.number}: {_describe_attempt(attempt)}"
    yield f"  folder: {store.folder(planned.trial_id)}"


def _describe_record(planned: PlannedTrial, record: TrialRecord) -> Iterator[str]:
    if planned.state is State.STALE:
        yield "  its numbers stand, made by the code as it was; launch --retry stale trains it again"
    elif planned.state is State.PROTOCOL:
        for name, views in planned.trial.protocols.items():
            if record.protocols.get(name) != views:
                before = record.protocols.get(name)
                measured = f"measured from {len(before)} other views" if before else "not measured"
                yield f"  protocol {name} needs {len(views)} views and was {measured}; launch evaluates, trains nothing"
    if record.failure is not None:
        kind = classify(record.failure)
        yield f"  a failure of the class '{kind.value}' after {record.epochs_done} epochs: {ADVICE[kind]}"
        if record.failure.steps:
            losses = ", ".join(f"{step.loss:.4g}" for step in record.failure.steps[-LOSSES:])
            yield f"  the losses that led there: {losses}; record.json has more, with the videos of each step"
    if record.micro_batch is not None:
        yield f"  trained {record.micro_batch} clips at a time: a whole batch did not fit into memory"


def _compare(planned: PlannedTrial, records: list[TrialRecord]) -> Iterator[str]:
    """What tells the trial from the finished one that is most like it: most often a setting that was changed."""
    wanted = dict(flatten(planned.trial.identity))
    nearest: tuple[int, TrialRecord, list[str]] | None = None
    for record in records:
        differences = list(_list_differences(wanted, _identity_of(record)))
        if nearest is None or len(differences) < nearest[0]:
            nearest = len(differences), record, differences
    if nearest is None:
        yield "  no trial of this store has finished"
    elif nearest[0] > MOST_DIFFERENCES:
        yield "  no finished trial of this store is like it"
    else:
        yield f"  the finished trial that is most like it, {nearest[1].trial_id} ({nearest[1].status}), differs in"
        yield from (f"    {text}" for text in nearest[2])


def _identity_of(record: TrialRecord) -> dict[str, object]:
    """The identity of a recorded trial, as far as this version reads its settings."""
    from study.spec.trial import Trial

    try:
        return dict(flatten(Trial.from_json(record.trial).identity))
    except ValueError:
        return dict(flatten(record.trial))


def _list_differences(wanted: dict[str, object], other: dict[str, object]) -> Iterator[str]:
    for path in sorted(set(wanted) | set(other)):
        here, there = wanted.get(path, ABSENT), other.get(path, ABSENT)
        if here != there:
            yield f"{path}: {here} here, {there} there"


def _describe_attempt(attempt: Attempt) -> str:
    began = datetime.fromtimestamp(attempt.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f"{began}, process {attempt.pid} on {attempt.host}"
    if attempt.ended_at is None:
        return f"{where}: died without a word, or is at work"
    lasted = describe_seconds(max(0.0, attempt.ended_at - attempt.started_at))
    what = f"{attempt.outcome} ({attempt.failure})" if attempt.failure else attempt.outcome
    said = f": {attempt.message.splitlines()[0]}" if attempt.message else ""
    return f"{where}: {what} after {lasted}{said}"
