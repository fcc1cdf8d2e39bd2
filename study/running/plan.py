"""What a study implies: every distinct trial, whom it serves, and whether it is done. Imports no torch."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from study.data.catalog import open_dataset
from study.errors import StudyError
from study.running.fingerprint import fingerprint_code, list_changes
from study.running.store import Store
from study.spec.data import AnyDataset
from study.spec.loading import Arm, Experiment, Study
from study.spec.model import ModelSpec
from study.spec.record import TrialRecord
from study.spec.trial import Trial
from study.spec.weights_digest import weights_digest


class State(StrEnum):
    """Where a trial stands."""

    DONE = "done"
    """Its record is complete and made by the present code under the present protocols."""
    STALE = "stale"
    """Its record is complete, but the code it used has changed. Run again only when asked."""
    PROTOCOL = "protocol"
    """Trained, but the protocols have changed: it will be evaluated again, not trained."""
    FAILED = "failed"
    """Its record says that it failed. Run again only when asked."""
    MISSING = "missing"
    """No record: it has not run, or was interrupted."""


RUNNABLE = frozenset({State.MISSING, State.PROTOCOL})
"""States that ``launch`` runs without being asked."""


@dataclass(frozen=True)
class Use:
    """A cell of a table that a trial serves."""

    experiment: str
    arm: str
    repeat: int


@dataclass
class PlannedTrial:
    """A distinct trial of a study."""

    trial: Trial
    uses: list[Use]
    state: State = State.MISSING
    reason: str = ""
    record: TrialRecord | None = None

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self.trial.trial_id

    @property
    def tables(self) -> list[str]:
        """Names of the experiments it serves, each once."""
        return list(dict.fromkeys(use.experiment for use in self.uses))


@dataclass
class Plan:
    """The trials of a study, in the order in which they run: repeat by repeat over all arms, so that a study
    that is cut short has the same number of repeats for every arm.
    """

    study: Study
    trials: list[PlannedTrial]
    warnings: list[str] = field(default_factory=list)
    """What keeps the plan from being launched as it stands: data that are not at hand."""

    def runnable(self, retry: frozenset[State] = frozenset()) -> list[PlannedTrial]:
        """The trials that a launch runs; ``retry`` adds states that run only when asked."""
        return [planned for planned in self.trials if planned.state in RUNNABLE | retry]

    def count(self, state: State) -> int:
        """How many trials are in ``state``."""
        return sum(planned.state is state for planned in self.trials)

    def find(self, experiment: str, arm: str, repeat: int) -> PlannedTrial:
        """The trial behind one cell."""
        return self._cells[(experiment, arm, repeat)]

    def __post_init__(self) -> None:
        self._cells = {
            (use.experiment, use.arm, use.repeat): planned for planned in self.trials for use in planned.uses
        }

    def estimate_seconds(self, concurrent: int) -> float | None:
        """Seconds until the runnable trials are done with ``concurrent`` at a time; None when nothing is known.

        Learned from the finished trials of this plan; before the first, from the profile's own figure.
        """
        finished = [
            sum(planned.record.seconds.values())
            for planned in self.trials
            if planned.record and planned.record.status == "completed"
        ]
        each = statistics.mean(finished) if finished else self.study.profile.seconds_per_trial
        return None if each is None else each * -(-len(self.runnable()) // max(1, concurrent))


def make_plan(study: Study, store: Store) -> Plan:
    """Every distinct trial of ``study`` with its state in ``store``.

    Data or weights that are not at hand do not stop the plan: it lists them in ``warnings``, and the ids of
    the trials concerned are provisional.
    """
    warnings: list[str] = []
    trials: dict[str, PlannedTrial] = {}
    repeats = max((experiment.repeats for experiment in study.experiments), default=0)
    digests = _Digests(store.data, warnings)
    for repeat in range(repeats):
        for experiment in study.experiments:
            if repeat >= experiment.repeats:
                continue
            for arm in experiment.arms:
                _add(trials, experiment, arm, repeat, digests)
    for planned in trials.values():
        _judge(planned, store)
    return Plan(study, list(trials.values()), warnings)


@dataclass
class _Digests:
    """Digests of data and weights, each computed once; what cannot be had becomes a warning."""

    data_dir: Path
    warnings: list[str]
    known: dict[object, str] = field(default_factory=dict)

    def of_data(self, spec: AnyDataset) -> str:
        key = spec.model_dump_json()
        if key not in self.known:
            self.known[key] = self._attempt(lambda: open_dataset(spec, self.data_dir).manifest().digest)
        return self.known[key]

    def of_weights(self, spec: ModelSpec) -> str:
        key = ("weights", spec.init.model_dump_json(), spec.backbone)
        if key not in self.known:
            self.known[key] = self._attempt(lambda: weights_digest(spec.init, spec.backbone))
        return self.known[key]

    def _attempt(self, compute: Callable[[], str]) -> str:
        try:
            return compute()
        except StudyError as error:
            self.warnings.append(str(error))
            return "unavailable"


def _add(
    trials: dict[str, PlannedTrial], experiment: Experiment, arm: Arm, repeat: int, digests: _Digests
) -> None:
    settings = arm.settings
    trial = Trial(settings, repeat, digests.of_data(settings.data), digests.of_weights(settings.model))
    use = Use(experiment.name, arm.name, repeat)
    existing = trials.get(trial.trial_id)
    if existing is None:
        trials[trial.trial_id] = PlannedTrial(trial, [use])
    else:
        existing.uses.append(use)


def _judge(planned: PlannedTrial, store: Store) -> None:
    """Fill in state and reason from the store."""
    record = store.record(planned.trial_id)
    planned.record = record
    if record is None:
        interrupted = (store.folder(planned.trial_id) / "checkpoint.pt").exists()
        planned.reason = "interrupted; goes on from its checkpoint" if interrupted else "not run yet"
    elif record.status != "completed":
        planned.state = State.FAILED
        failure = record.failure
        planned.reason = f"{failure.kind}: {failure.message}" if failure else record.status
    elif record.evaluation_fingerprint != planned.trial.evaluation_fingerprint:
        planned.state, planned.reason = State.PROTOCOL, "the evaluation protocols have changed"
    else:
        changes = list_changes(record.code, fingerprint_code(planned.trial.settings))
        planned.state = State.STALE if changes else State.DONE
        planned.reason = "; ".join(changes)
