"""What every executor is given and tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from study.spec.training import ResourcesSpec
from study.spec.trial import Trial


@dataclass(frozen=True)
class Place:
    """Where a trial runs.

    Attributes:
        folder: the trial's folder in the store.
        data_dir: where synthetic videos lie.
        parent: folder of the trial whose final weights it starts from; None without one.
        micro_batch: clips of one pass through the network in training; None for a whole batch.
    """

    folder: Path
    data_dir: Path
    parent: Path | None = None
    micro_batch: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Its fields, folders as text."""
        return {
            "folder": str(self.folder),
            "data_dir": str(self.data_dir),
            "parent": str(self.parent) if self.parent else None,
            "micro_batch": self.micro_batch,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Place:
        """The place that :meth:`to_json` described."""
        parent = content["parent"]
        return cls(
            folder=Path(content["folder"]),
            data_dir=Path(content["data_dir"]),
            parent=Path(parent) if parent else None,
            micro_batch=content["micro_batch"],
        )


@dataclass(frozen=True)
class Job:
    """A trial to run and where."""

    trial: Trial
    place: Place

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` makes it from again, in another process."""
        return {"trial": self.trial.to_json(), "place": self.place.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Job:
        """The job that :meth:`to_json` described."""
        return cls(Trial.from_json(content["trial"]), Place.from_json(content["place"]))


class Events(Protocol):
    """Hears how the jobs go, by trial id. Called from the executor's thread; must not raise."""

    def started(self, trial_id: str) -> None:
        """The trial has begun."""

    def epoch(self, trial_id: str, epoch: int) -> None:
        """The trial has finished ``epoch`` epochs."""

    def ended(self, trial_id: str, problem: str = "") -> None:
        """The trial has a record; or has none, or an old one, because of ``problem``."""


class Executor(Protocol):
    """Runs jobs. What is done stands in the trials' folders, never in the executor."""

    def capacity(self, asked: Sequence[ResourcesSpec]) -> int:
        """How many trials that ask for this can be at work at a time, at least 1; for estimates of time only.

        Raises:
            SchedulingError: when what runs them cannot be reached.
        """

    def run(self, jobs: Sequence[Job], events: Events) -> None:
        """Run all ``jobs``, in order as far as resources allow.

        A trial that fails, or raises anything at all, does not stop the others. KeyboardInterrupt stops all; trials
        without a record then go on from their checkpoints at the next launch.
        """
