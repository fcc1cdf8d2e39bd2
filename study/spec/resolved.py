"""What files and arguments come to: studies, experiments and arms with every setting filled in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from study.spec.arms import Excluded
from study.spec.experiment import ArmSpec, ExperimentSpec, ProfileSpec
from study.spec.trial import TrialSettings


@dataclass(frozen=True)
class ParentArm:
    """The arm whose final weights another one starts from."""

    experiment: str
    row: str


@dataclass(frozen=True)
class Arm:
    """A network to be trained on one data set, and one fold of it.

    Attributes:
        name: unique in its experiment: the row's, with data set and fold where there are several.
        label: the same for people.
        row: the row of the table that it serves.
        settings: everything it depends on.
        dataset: name of the data set; "" for the profile's own.
        parent: where its initial weights come from, where that is another trial.
    """

    name: str
    label: str
    row: str
    settings: TrialSettings
    dataset: str = ""
    parent: ParentArm | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table: an arm of the file, trained on every data set, or one that no trial stands for (a fusion
    of arms, or published only).
    """

    spec: ArmSpec
    arms: tuple[Arm, ...] = ()

    @property
    def name(self) -> str:
        """Unique in its experiment."""
        return self.spec.name

    @property
    def label(self) -> str:
        """What tables print."""
        return self.spec.label or self.spec.name

    def on(self, dataset: str) -> tuple[Arm, ...]:
        """Its arms on one data set, fold by fold."""
        return tuple(arm for arm in self.arms if arm.dataset == dataset)


@dataclass(frozen=True)
class UsedDataset:
    """A data set of an experiment. ``name`` is "" for the profile's own data."""

    name: str = ""
    label: str = ""
    about: str = ""
    folds: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        """What measured numbers call it: one that another stands for is not called by its name alone."""
        return f"stand-in for {self.label}" if self.about else self.label


@dataclass(frozen=True)
class Experiment:
    """An experiment at a profile, ready to be planned."""

    spec: ExperimentSpec
    profile: ProfileSpec
    rows: tuple[Row, ...]
    repeats: int
    datasets: tuple[UsedDataset, ...] = (UsedDataset(),)
    excluded: tuple[Excluded, ...] = ()
    path: Path = Path()

    @property
    def name(self) -> str:
        """Its name, unique in a study."""
        return self.spec.name

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Everything that is trained."""
        return tuple(arm for row in self.rows for arm in row.arms)

    def arm(self, name: str) -> Arm:
        """The arm called ``name``."""
        return next(arm for arm in self.arms if arm.name == name)

    def row(self, name: str) -> Row:
        """The row called ``name``."""
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True)
class Study:
    """Everything one launch covers. Experiments that others start from come before them."""

    name: str
    profile: ProfileSpec
    experiments: tuple[Experiment, ...]
    overrides: tuple[str, ...] = ()
    """The ``path=value`` settings that were laid over everything."""
    requested: tuple[str, ...] = ()
    """Names of the experiments that were asked for; the others are there because these start from them."""

    def experiment(self, name: str) -> Experiment:
        """The experiment called ``name``."""
        return next(experiment for experiment in self.experiments if experiment.name == name)
