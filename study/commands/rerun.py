"""``verify --sample``: some trials again, from nothing, to see whether the same numbers come out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.errors import StoreError
from study.running.archive.check import load_checked_scores
from study.running.attempts import run_attempt
from study.running.executor import Place
from study.running.fingerprint import fingerprint_code, list_changes
from study.running.spawn import launch_here
from study.spec.record import TrialRecord, load_record
from study.spec.trial import Trial

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Scratch:
    """Where trials run again.

    Attributes:
        source: folder of the trials' folders, never written to.
        trials: folder of those that run here.
        data: where synthetic videos lie.
    """

    source: Path
    trials: Path
    data: Path


def rerun_sample(folder: Path, ids: Sequence[str], count: int, data: Path, say: Say) -> int:
    """Train ``count`` trials again in a scratch folder and compare them with their records.

    The choice is that of the lowest ids among the finished ones: as good as random, since ids are digests of
    settings, and the same each time.

    Args:
        folder: holds ``trials``.
        ids: the trials that are there.
        count: how many to run; all when there are fewer.
        data: where synthetic videos lie or are made.
        say: called with each line to be printed.

    Returns:
        The exit code: 0 when every one came out the same, 1 when one did not.
    """
    source = folder / "trials"
    completed = [i for i in sorted(ids) if load_record(source / i / "record.json").status == "completed"]
    equal = 0
    chosen = completed[:count]
    with tempfile.TemporaryDirectory(prefix="study-rerun-") as name:
        scratch = _Scratch(source, Path(name), data)
        for trial_id in chosen:
            record = load_record(source / trial_id / "record.json")
            again = _run(trial_id, scratch)
            differences = list(_compare(record, again, source / trial_id, scratch.trials / trial_id))
            equal += not differences
            say(
                f"trial {trial_id}: "
                + ("the same again, bit for bit" if not differences else "came out otherwise")
            )
            for text in differences:
                say(f"  {text}")
            if differences:
                say(f"  {_explain(record, again)}")
    say(
        f"{equal} of {len(chosen)} trials trained again with the same result ({len(completed)} have finished)"
    )
    return 0 if equal == len(chosen) else 1


def _run(trial_id: str, scratch: _Scratch) -> TrialRecord:
    """Run a trial in the scratch folder, after the one it starts from where that one's weights are not there."""
    record = load_record(scratch.source / trial_id / "record.json")
    trial = Trial.from_json(record.trial)
    return run_attempt(
        trial,
        Place(scratch.trials / trial_id, scratch.data, _find_parent(trial, scratch), record.micro_batch),
        lambda epoch: None,
        launch=launch_here,
    )


def _find_parent(trial: Trial, scratch: _Scratch) -> Path | None:
    if not trial.parent:
        return None
    stored, own = scratch.source / trial.parent, scratch.trials / trial.parent
    if (stored / "checkpoint.pt").is_file():
        return stored
    if not (own / "record.json").is_file():
        if not (stored / "record.json").is_file():
            raise StoreError(f"trial {trial.trial_id} starts from {trial.parent}, which is not at hand")
        _run(trial.parent, scratch)
    return own


def _compare(before: TrialRecord, now: TrialRecord, stored: Path, rerun: Path) -> Iterator[str]:
    """A line for each figure that differs; the scores of every video and view among them."""
    if now.status != "completed":
        yield f"status: {before.status}, now {now.status}: {now.failure.message if now.failure else ''}"
        return
    for name, metrics in before.metrics.items():
        found = now.metrics.get(name)
        if found is None:
            yield f"{name}: was not measured"
            continue
        for field in type(metrics).model_fields:
            said, came = getattr(metrics, field), getattr(found, field)
            # Records of the first version do not know what their views showed.
            if said != came and not (field == "repeated" and said is None):
                yield f"{name} {field}: {said}, now {came}"
    for name, value in before.train.items():
        if now.train.get(name) != value:
            yield f"training {name}: {value}, now {now.train.get(name)}"
    old, new = load_checked_scores(stored, before), load_checked_scores(rerun, now)
    if old is None or new is None or not np.array_equal(old.video_ids, new.video_ids):
        yield "scores: of other videos"
        return
    shared = [view for view in old.views if view in new.views]
    gap = float(np.abs(old.select(shared) - new.select(shared)).max()) if shared else 0.0
    if gap:
        yield f"scores: differ by up to {gap:.3g}"


def _explain(before: TrialRecord, now: TrialRecord) -> str:
    """What else differs, and so may be the reason."""
    then, here = before.environment, now.environment
    differing = [
        f"{name} {getattr(then, name)}, here {getattr(here, name)}"
        for name in ("device", "platform", "python", "threads")
        if getattr(then, name) != getattr(here, name)
    ]
    differing += [
        f"{name} {then.versions.get(name)}, here {here.versions.get(name)}"
        for name in sorted(set(then.versions) | set(here.versions))
        if then.versions.get(name) != here.versions.get(name)
    ]
    changes = list_changes(before.code, fingerprint_code(Trial.from_json(before.trial).settings))
    if before.micro_batch != now.micro_batch:
        differing.append(f"clips at a time {before.micro_batch or 'all'}, here {now.micro_batch or 'all'}")
    differing += [f"the code ({'; '.join(changes[:5])})"] if changes else []
    if not differing:
        return (
            "neither device nor versions nor code differ: on a CPU the result should be the same, bit for bit"
        )
    return (
        f"but so do {', '.join(differing)}; the same result is promised for one device, version and code only"
    )
