"""A trial of several processes: what each of them runs, and what becomes of the trial when one fails or dies.

Whoever starts the processes (:mod:`study.running.spawn`, :mod:`study.running.ray_tune.train`) begins the attempt, is
told how each process ended, and ends the attempt. In between the first process holds the trial's folder and is the only
one that writes there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from study.running.attempts import Claim, LostProcessError, Tick
from study.running.executor import Place
from study.spec.record import Failure, TrialRecord, save_record
from study.spec.trial import Trial

if TYPE_CHECKING:
    from study.training.group import Group

BROKEN = ("connection closed by peer", "connection reset", "broken pipe", "timed out", "connection refused")
"""What processes say whose neighbor is gone."""
BROKEN_KINDS = ("DistBackendError", "DistNetworkError", "DistStoreError")
MAX_LOSSES = 2
"""How often a trial is begun again whose processes died, as Ray Tune does."""


def run_rank(trial: Trial, place: Place, tick: Tick, claim: Claim, group: Group) -> TrialRecord:
    """Run ``trial`` as one of the processes of ``group``; in the first, under the claim.

    Raises:
        Superseded: in the first process, when a newer attempt has begun.
        StoreError: in the first process, when the attempt before this one does not let go of the folder.
    """
    from study.running.run_trial import run_trial

    if group.leads:
        return claim.work(lambda apart: run_trial(trial, place, apart, group), tick)
    return run_trial(trial, place, tick, group)


def settle(place: Place, claim: Claim, failed: Mapping[int, TrialRecord]) -> TrialRecord:
    """Write the record of a trial that failed, once all its processes have ended.

    Args:
        place: of the trial.
        claim: of the attempt.
        failed: records of processes that failed, by rank, the first to fail first.

    Returns:
        The record of the process that failed by itself, and not because another one was gone.

    Raises:
        LostProcessError: when there is none: the cause has died without a word.
    """
    found = next((record for record in failed.values() if not _is_consequence(record.failure)), None)
    if found is None:
        said = "; ".join(
            f"process {rank}: {record.failure and record.failure.message}" for rank, record in failed.items()
        )
        raise LostProcessError(f"a process of the trial is gone ({said})")
    record = found

    def write(tick: Tick) -> TrialRecord:
        save_record(record, place.folder / "record.json")
        return record

    return claim.work(write, lambda epoch: None)


def _is_consequence(failure: Failure | None) -> bool:
    """Whether a process failed only because another one no longer answered."""
    if failure is None:
        return False
    return failure.kind in BROKEN_KINDS or any(words in failure.message.lower() for words in BROKEN)
