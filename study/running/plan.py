"""What a study implies: every distinct trial, whom it serves, and whether it is done. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from study.data.catalog import open_dataset
from study.errors import StudyError
from study.running.fingerprint import fingerprint_code, list_changes
from study.running.forecast import AtWork, Forecast, estimate_work
from study.running.recorded import RecordedDigests
from study.running.store import Store
from study.spec.datasets import AnyDataset
from study.spec.model import ModelSpec
from study.spec.record import TrialRecord, has_protocols
from study.spec.resolved import Arm, Experiment, Study
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
    STOPPED = "stopped"
    """It was given up, as its ``training.stop`` asks. A result, but no number."""
    BLOCKED = "blocked"
    """The trial whose weights it starts from has failed or was given up."""
    MISSING = "missing"
    """No record: it has not run, or was interrupted."""


RUNNABLE = frozenset({State.MISSING, State.PROTOCOL})
"""States that ``launch`` runs without being asked."""
WITHOUT_WEIGHTS = {State.FAILED: "failed", State.STOPPED: "was given up", State.BLOCKED: "is blocked"}
"""States of a trial from which no other can start, and what is said of it."""


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
    parent: PlannedTrial | None = None
    """The trial whose final weights it starts from."""

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self.trial.trial_id

    @cached_property
    def work(self) -> float | None:
        """Multiply-accumulates of the whole trial, billions; None where they are not known without counting."""
        settings = self.trial.settings
        counts = [getattr(settings.data, name, None) for name in ("train_videos", "val_videos")]
        # Sets on disk do not say in their settings how large they are; within one of them the number cancels out.
        train, val = (count if isinstance(count, int) else 1 for count in counts)
        return estimate_work(settings, train, val)

    @property
    def tables(self) -> list[str]:
        """Names of the experiments it serves, each once."""
        return list(dict.fromkeys(use.experiment for use in self.uses))


@dataclass
class Plan:
    """The trials of a study, in the order in which they run: repeat by repeat over all arms, so that a study
    that is cut short has the same number of repeats for every arm. A trial comes after the one it starts from.
    """

    study: Study
    trials: list[PlannedTrial]
    warnings: list[str] = field(default_factory=list)
    """What keeps the plan from being launched as it stands: data that are not at hand."""

    def runnable(self, retry: frozenset[State] = frozenset()) -> list[PlannedTrial]:
        """The trials that a launch runs; ``retry`` adds states that run only when asked."""
        states = RUNNABLE | retry
        chosen: dict[str, PlannedTrial] = {}
        for planned in self.trials:
            freed = planned.state is State.BLOCKED and planned.parent and planned.parent.trial_id in chosen
            if freed or planned.state in states:
                chosen[planned.trial_id] = planned
        return list(chosen.values())

    def blocks(self, todo: Sequence[PlannedTrial]) -> list[list[PlannedTrial]]:
        """``todo`` repeat by repeat: after each of these every arm has equally many repeats."""
        repeats = sorted({planned.trial.repeat for planned in todo})
        return [[planned for planned in todo if planned.trial.repeat == repeat] for repeat in repeats]

    def waves(self, todo: Sequence[PlannedTrial]) -> list[list[PlannedTrial]]:
        """``todo`` in groups of which each can start when those before it are done."""
        waves: list[list[PlannedTrial]] = []
        level: dict[str, int] = {}
        for planned in todo:
            parent = planned.parent
            number = level.get(parent.trial_id, -1) + 1 if parent else 0
            level[planned.trial_id] = number
            waves += [[] for _ in range(number + 1 - len(waves))]
            waves[number].append(planned)
        return waves

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

    def forecast(self, running: Mapping[str, AtWork] | None = None) -> Forecast:
        """What is known of the time that trials take: learned from the finished trials of this plan; before the first,
        from the profile's own figure.
        """
        finished = {
            planned.trial_id: sum(planned.record.seconds.values())
            for planned in self.trials
            if planned.record and planned.record.status == "completed"
        }
        work = {planned.trial_id: planned.work for planned in self.trials if planned.work is not None}
        return Forecast(finished, work, running, self.study.profile.seconds_per_trial)

    def estimate_seconds(self, concurrent: int) -> float | None:
        """Seconds until the runnable trials are done with ``concurrent`` at a time; None when nothing is known."""
        waiting = [planned.trial_id for planned in self.runnable()]
        return self.forecast().seconds_for(waiting, max(1, concurrent))


def make_plan(study: Study, store: Store) -> Plan:
    """Every distinct trial of ``study`` with its state in ``store``.

    Data or weights that are not at hand do not stop the plan: it lists them in ``warnings``. They are taken to be those
    of the finished trials in the store that name the same; without such a trial the ids concerned are provisional.
    """
    warnings: list[str] = []
    trials: dict[str, PlannedTrial] = {}
    cells: dict[tuple[str, str, int], PlannedTrial] = {}
    repeats = max((experiment.repeats for experiment in study.experiments), default=0)
    digests = _Digests(store, warnings)
    for repeat in range(repeats):
        for experiment in study.experiments:
            if repeat >= experiment.repeats:
                continue
            for arm in experiment.arms:
                _add(trials, cells, (experiment, arm, repeat), digests)
    begun = store.list_trials()
    for planned in trials.values():
        _judge(planned, store, planned.trial_id in begun)
    return Plan(study, list(trials.values()), warnings)


@dataclass
class _Digests:
    """Digests of data and weights, each computed once; what cannot be had becomes a warning."""

    store: Store
    warnings: list[str]
    known: dict[object, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._recorded = RecordedDigests(self.store)

    def of_data(self, spec: AnyDataset) -> str:
        key = spec.model_dump_json()
        if key not in self.known:
            self.known[key] = self._attempt(
                lambda: open_dataset(spec, self.store.data).manifest().digest,
                lambda: self._recorded.of_data(spec),
            )
        return self.known[key]

    def of_weights(self, spec: ModelSpec) -> str:
        key = ("weights", spec.init.model_dump_json(), spec.backbone)
        if key not in self.known:
            self.known[key] = self._attempt(
                lambda: weights_digest(spec.init, spec.backbone), lambda: self._recorded.of_weights(spec)
            )
        return self.known[key]

    def _attempt(self, compute: Callable[[], str], recall: Callable[[], str | None]) -> str:
        try:
            return compute()
        except StudyError as error:
            self.warnings.append(str(error))
            return recall() or "unavailable"


def _add(
    trials: dict[str, PlannedTrial],
    cells: dict[tuple[str, str, int], PlannedTrial],
    cell: tuple[Experiment, Arm, int],
    digests: _Digests,
) -> None:
    experiment, arm, repeat = cell
    settings = arm.settings
    parent = cells[(arm.parent.experiment, arm.parent.row, repeat)] if arm.parent else None
    trial = Trial(
        settings,
        repeat,
        digests.of_data(settings.data),
        digests.of_weights(settings.model),
        parent.trial_id if parent else "",
    )
    planned = trials.setdefault(trial.trial_id, PlannedTrial(trial, [], parent=parent))
    planned.uses.append(Use(experiment.name, arm.name, repeat))
    # A parent is known by its row: it is on one data set.
    cells[(experiment.name, arm.row, repeat)] = planned


def _judge(planned: PlannedTrial, store: Store, begun: bool) -> None:
    """Fill in state and reason from the store; ``begun`` says whether the trial has a folder there."""
    record = store.record(planned.trial_id) if begun else None
    planned.record = record
    if record is None and planned.parent is not None and planned.parent.state in WITHOUT_WEIGHTS:
        planned.state = State.BLOCKED
        planned.reason = (
            f"starts from {planned.parent.trial_id}, which {WITHOUT_WEIGHTS[planned.parent.state]}"
        )
    elif record is None:
        interrupted = begun and (store.folder(planned.trial_id) / "checkpoint.pt").exists()
        planned.reason = "interrupted; goes on from its checkpoint" if interrupted else "not run yet"
    elif record.status != "completed":
        planned.state = State.STOPPED if record.status == "stopped" else State.FAILED
        failure = record.failure
        planned.reason = f"{failure.kind}: {failure.message}" if failure else record.status
    elif not has_protocols(record, planned.trial):
        planned.state, planned.reason = State.PROTOCOL, "the evaluation protocols have changed"
    else:
        changes = list_changes(record.code, fingerprint_code(planned.trial.settings))
        planned.state = State.STALE if changes else State.DONE
        planned.reason = "; ".join(changes)
