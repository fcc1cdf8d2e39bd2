"""From names and paths to experiments whose arms are resolved, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from study.errors import SpecError, suggest
from study.spec.arms import Excluded, expand_axes
from study.spec.base import Spec
from study.spec.experiment import ArmSpec, ExperimentSpec, ProfileSpec, StudySpec
from study.spec.overlay import Layer, merge_layers, parse_overrides
from study.spec.problems import list_problems
from study.spec.trial import TrialSettings
from study.spec.yaml import Document, Path_, load_document

DEFAULT_STUDY = "study"
S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Arm:
    """An arm with its settings resolved."""

    spec: ArmSpec
    settings: TrialSettings

    @property
    def name(self) -> str:
        """Unique in its experiment."""
        return self.spec.name

    @property
    def label(self) -> str:
        """What tables print."""
        return self.spec.label or self.spec.name


@dataclass(frozen=True)
class DerivedRow:
    """A row that no trial stands for: a fusion of arms, or one that is published only."""

    spec: ArmSpec

    @property
    def name(self) -> str:
        """Unique in its experiment."""
        return self.spec.name

    @property
    def label(self) -> str:
        """What tables print."""
        return self.spec.label or self.spec.name


Row = Arm | DerivedRow
"""A row of a table."""


@dataclass(frozen=True)
class Experiment:
    """An experiment at a profile, ready to be planned."""

    spec: ExperimentSpec
    profile: ProfileSpec
    rows: tuple[Row, ...]
    repeats: int
    excluded: tuple[Excluded, ...] = ()
    path: Path = Path()

    @property
    def name(self) -> str:
        """Its name, unique in a study."""
        return self.spec.name

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The rows that are trained."""
        return tuple(row for row in self.rows if isinstance(row, Arm))

    def arm(self, name: str) -> Arm:
        """The arm called ``name``."""
        return next(arm for arm in self.arms if arm.name == name)


@dataclass(frozen=True)
class Study:
    """Everything one launch covers."""

    name: str
    profile: ProfileSpec
    experiments: tuple[Experiment, ...]
    overrides: tuple[str, ...] = ()
    """The ``path=value`` settings that were laid over everything."""


def find_experiments() -> Path:
    """The folder of experiments: ``experiments`` below the working directory, else the one beside this code."""
    here = Path.cwd() / "experiments"
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "experiments"


def load_study(
    specs: Sequence[str] = (),
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    repeats: int | None = None,
    folder: Path | None = None,
) -> Study:
    """The study that the arguments of the command line describe.

    Args:
        specs: names or paths of experiments or studies; empty for the default study.
        profile: name or path of the profile; None for the study's own.
        overrides: ``path=value`` settings, laid over everything.
        repeats: repeats of every experiment; None for each one's own.
        folder: where names are looked up; :func:`find_experiments` when None.

    Raises:
        SpecError: with every problem of every file.
    """
    folder = folder or find_experiments()
    names, study_name, default_profile = _expand_studies(specs or (DEFAULT_STUDY,), folder)
    extra = parse_overrides(overrides)
    profile_document = load_document(_locate(profile or default_profile, folder / "profiles", "profile"))
    profile_spec = validate(ProfileSpec, profile_document)
    problems: list[str] = []
    experiments: list[Experiment] = []
    for name in names:
        try:
            path = _locate(name, folder, "experiment")
            experiments.append(_load_experiment(path, profile_spec, profile_document, extra, repeats))
        except SpecError as error:
            problems += [line for line in error.problems if line not in problems]
    seen: dict[str, Path] = {}
    for experiment in experiments:
        if experiment.name in seen and not problems:
            problems.append(
                f"{experiment.path}: name: '{experiment.name}' is taken by {seen[experiment.name]}"
            )
        seen[experiment.name] = experiment.path
    if problems:
        raise SpecError(problems)
    return Study(study_name, profile_spec, tuple(experiments), tuple(overrides))


def validate(model: type[S], document: Document) -> S:
    """``document`` as ``model``; raises SpecError with every problem and its line."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise SpecError(list_problems(error, model, document.data, document.where)) from None


def list_names(folder: Path) -> list[str]:
    """Names of the files that can be asked for in ``folder``."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _locate(name: str, folder: Path, kind: str) -> Path:
    given = Path(name)
    if given.suffix in (".yaml", ".yml") or given.parent != Path():
        if given.is_file():
            return given
        raise SpecError(f"{kind} '{name}': no such file (looked for {given.absolute()})")
    path = folder / f"{name}.yaml"
    if path.is_file():
        return path
    raise SpecError(f"{kind} '{name}' is unknown: {suggest(name, list_names(folder))} (looked in {folder})")


def _expand_studies(specs: Sequence[str], folder: Path) -> tuple[list[str], str, str]:
    """Names of experiments in order, each once; the name of the study and its profile.

    Experiments that are asked for by themselves belong to the default study, so that all share one MLflow
    experiment whichever of them a command names.
    """
    names: list[str] = []
    study = StudySpec(name=DEFAULT_STUDY, experiments=("-",))
    if (folder / f"{DEFAULT_STUDY}.yaml").is_file():
        study = validate(StudySpec, load_document(folder / f"{DEFAULT_STUDY}.yaml"))
    for spec in specs:
        document = load_document(_locate(spec, folder, "experiment"))
        members = [spec]
        if "experiments" in document.data:
            study = validate(StudySpec, document)
            members = list(study.experiments)
        names += [member for member in members if member not in names]
    return names, study.name, study.profile


def _load_experiment(
    path: Path, profile: ProfileSpec, profile_document: Document, extra: list[Layer], repeats: int | None
) -> Experiment:
    document = load_document(path)
    spec = validate(ExperimentSpec, document)
    if spec.name != path.stem:
        raise SpecError(
            f"{document.where(('name',))}: name: '{spec.name}' differs from its file, {path.name}"
        )
    arm_specs: list[ArmSpec] = list(spec.arms)
    excluded: list[Excluded] = []
    if spec.axes is not None:
        arm_specs, excluded = expand_axes(spec.axes, document.where(("axes",)))
    problems = _check_names(spec, arm_specs, document)
    rows: list[Row] = []
    for index, arm_spec in enumerate(arm_specs):
        if not arm_spec.is_trained:
            rows.append(DerivedRow(arm_spec))
            continue
        prefix = ("arms", index, "set") if spec.arms else ("axes",)
        merged = merge_layers(
            [
                Layer(profile.settings, profile_document, ("settings",)),
                Layer(spec.settings, document, ("settings",)),
                Layer(arm_spec.set, document, prefix),
                *extra,
            ]
        )
        try:
            rows.append(Arm(arm_spec, TrialSettings.model_validate(merged.data)))
        except ValidationError as error:
            found = list_problems(error, TrialSettings, merged.data, merged.where)
            problems += [line for line in found if line not in problems]
    if problems:
        raise SpecError(problems)
    return Experiment(spec, profile, tuple(rows), repeats or spec.repeats, tuple(excluded), path)


def _check_names(spec: ExperimentSpec, arms: list[ArmSpec], document: Document) -> list[str]:
    names = [arm.name for arm in arms]
    trained = [arm.name for arm in arms if arm.is_trained]
    problems = [
        f"{document.where(('arms', index, 'name'))}: arms: the name '{name}' is taken"
        for index, name in enumerate(names)
        if name in names[:index]
    ]
    wanted: list[tuple[Path_, str, str]] = [(("baseline",), "baseline", spec.baseline)]
    for index, figure in enumerate(spec.figures):
        wanted += [(("figures", index, "arms"), f"figures.{figure.name}", arm) for arm in figure.arms]
    for index, arm in enumerate(arms):
        wanted += [(("arms", index, "fuse"), "arms.fuse", part) for part in arm.fuse]
    for path, key, name in wanted:
        if name not in trained:
            problems.append(f"{document.where(path)}: {key}: '{name}' is no arm; {suggest(name, trained)}")
    return problems
