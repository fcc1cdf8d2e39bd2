"""From names and paths to a study, with every problem of every file reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from study.errors import SpecError, suggest
from study.spec.base import Spec
from study.spec.expansion import Scale, expand_experiment
from study.spec.experiment import ExperimentSpec, ProfileSpec, StudySpec
from study.spec.overlay import parse_overrides
from study.spec.problems import list_problems
from study.spec.resolved import Experiment, ParentArm, Study
from study.spec.yaml import Document, load_document

DEFAULT_STUDY = "study"
S = TypeVar("S", bound=Spec)


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

    Experiments that others start from (``init_from``) are added, before them.

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
    document = load_document(_locate(profile or default_profile, folder / "profiles", "profile"))
    scale = Scale(validate(ProfileSpec, document), document, extra, repeats)
    loader = _Loader(folder, scale)
    for name in names:
        loader.load(name)
    if loader.problems:
        raise SpecError(loader.problems)
    requested = tuple(loader.by_name[name] for name in names)
    experiments = _keep_needed(list(loader.experiments.values()), requested)
    return Study(study_name, scale.spec, tuple(experiments), tuple(overrides), requested)


def _keep_needed(experiments: Sequence[Experiment], requested: Sequence[str]) -> list[Experiment]:
    """``experiments``, where those that were not asked for keep only the arms that others start from."""
    needed: set[ParentArm] = set()
    kept = []
    # Whoever starts from an experiment comes after it.
    for experiment in reversed(experiments):
        if experiment.name not in requested:
            rows = tuple(r for r in experiment.rows if ParentArm(experiment.name, r.name) in needed)
            names = [row.name for row in rows]
            baseline = experiment.spec.baseline
            change = {"baseline": baseline if baseline in names else names[0], "figures": ()}
            experiment = replace(experiment, spec=experiment.spec.model_copy(update=change), rows=rows)
        needed |= {arm.parent for arm in experiment.arms if arm.parent}
        kept.append(experiment)
    return kept[::-1]


class _Loader:
    """Loads experiments, each after those it starts from.

    Attributes:
        experiments: by their own names, in the order in which they can run.
        by_name: their own names by those they were asked for by (a name or a path).
        problems: what is wrong, over all files.
    """

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.experiments: dict[str, Experiment] = {}
        self.by_name: dict[str, str] = {}
        self.problems: list[str] = []
        self._folder, self._scale = folder, scale
        self._loading: list[str] = []

    def load(self, name: str) -> None:
        """Load the experiment that ``name`` names; what is wrong with it is noted."""
        try:
            path = _locate(name, self._folder, "experiment")
            document = load_document(path)
            spec = validate(ExperimentSpec, document)
            if spec.name != path.stem:
                raise SpecError(
                    f"{document.where(('name',))}: name: '{spec.name}' differs from its file, {path.name}"
                )
            self.by_name[name] = spec.name
            if self._is_known(spec, path, document):
                return
            experiment = expand_experiment(spec, document, path, self._scale)
            self._load_parents(experiment, document)
            self.experiments[spec.name] = experiment
        except SpecError as error:
            self.problems += [line for line in error.problems if line not in self.problems]

    def _is_known(self, spec: ExperimentSpec, path: Path, document: Document) -> bool:
        known = self.experiments.get(spec.name)
        if known is None:
            return False
        if known.path.resolve() != path.resolve():
            raise SpecError(f"{document.where(('name',))}: name: '{spec.name}' is taken by {known.path}")
        return True

    def _load_parents(self, experiment: Experiment, document: Document) -> None:
        """Load what the arms of ``experiment`` start from, and check that it is there."""
        if experiment.name in self._loading:
            chain = " -> ".join([*self._loading, experiment.name])
            raise SpecError(f"{document.where(('init_from',))}: init_from: goes in a circle: {chain}")
        parents = list(dict.fromkeys(arm.parent for arm in experiment.arms if arm.parent))
        self._loading.append(experiment.name)
        for name in dict.fromkeys(parent.experiment for parent in parents):
            self.load(name)
        self._loading.pop()
        for parent in parents:
            self._check_parent(parent, document)

    def _check_parent(self, parent: ParentArm, document: Document) -> None:
        source = self.experiments.get(parent.experiment)
        where = f"{document.where(('init_from',))}: init_from"
        if source is None:
            return  # its own problems are noted
        rows = [row.name for row in source.rows if row.arms]
        if parent.row not in rows:
            hint = suggest(parent.row, rows)
            raise SpecError(f"{where}: '{parent.experiment}' trains no arm '{parent.row}'; {hint}")
        if len(source.row(parent.row).arms) > 1:
            raise SpecError(f"{where}: '{parent.experiment}' is on several data sets or folds; expected one")


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
