"""A trial small enough to train in a second."""

from __future__ import annotations

from study.running.plan import Plan, PlannedTrial, make_plan
from study.running.store import Store
from study.spec.loading import load_study

TOY = (
    "data.train_videos=48",
    "data.val_videos=24",
    "training.epochs=2",
    "training.batch_size=16",
)


class Heard:
    """The events of a run."""

    def __init__(self) -> None:
        self.ends: dict[str, str] = {}

    def started(self, trial_id: str) -> None:
        """See :class:`study.running.executor.Events`."""

    def epoch(self, trial_id: str, epoch: int) -> None:
        """See :class:`study.running.executor.Events`."""

    def ended(self, trial_id: str, problem: str = "") -> None:
        """See :class:`study.running.executor.Events`."""
        assert trial_id not in self.ends
        self.ends[trial_id] = problem


def make_toy_plan(store: Store, *extra: str, specs: tuple[str, ...] = ("table7",), repeats: int = 1) -> Plan:
    """Table 7 at a size that says nothing about accuracy and everything about the machinery."""
    return make_plan(load_study(specs, overrides=[*TOY, *extra], repeats=repeats), store)


def toy_trial(store: Store, arm: str = "STH hybrid+attention", *extra: str) -> PlannedTrial:
    """One arm of table 7 at toy size."""
    return make_toy_plan(store, *extra).find("table7", arm, 0)
