"""An experiment: one question, one YAML file, one table. Profiles and studies beside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from study.spec.base import Positive, Spec
from study.spec.model import BackboneName

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
"""A file-name-safe name."""
Overlay = dict[str, Any]
"""Part of the settings of a trial, nested as in :class:`study.spec.trial.TrialSettings`."""


class ArmSpec(Spec):
    """One row of the table."""

    name: str = Field(min_length=1, max_length=80)
    """Unique in the experiment; the key of colors and of ``baseline``."""
    label: str = ""
    """What the table prints; the name when empty."""
    set: Overlay = Field(default_factory=dict)
    """What makes this arm, laid over the settings of the experiment."""
    published: str | None = None
    """The row of the published table that this arm reproduces."""
    published_only: str = ""
    """Why this row is not built and stands with the paper's numbers alone."""
    fuse: tuple[str, ...] = ()
    """Arms whose scores this row averages, video by video; their costs add up."""
    init_from: str = ""
    """``experiment/arm`` whose final weights this arm starts from, repeat by repeat; else that of the experiment."""
    fixed_clip: bool = False
    """The network takes the clip of this arm and no other. Where a profile limits clips below it, the row is left
    out, with the reason."""
    note: str = ""
    """A footnote."""

    @model_validator(mode="after")
    def _check(self) -> ArmSpec:
        kinds = [name for name in ("set", "published_only", "fuse") if getattr(self, name)]
        if len(kinds) > 1:
            raise ValueError(f"give one of 'set', 'published_only' and 'fuse', not {' and '.join(kinds)}")
        if len(self.fuse) == 1:
            raise ValueError("'fuse' needs at least two arms")
        return self

    @property
    def is_trained(self) -> bool:
        """Whether the row is a network of its own, not a fusion of others and not published only."""
        return not self.published_only and not self.fuse


class ExcludeSpec(Spec):
    """Combinations of an axis product that are left out, and why."""

    when: dict[str, Any] = Field(min_length=1)
    """Setting paths and the values that together exclude a combination."""
    because: str = Field(min_length=1)
    """The reason, shown by ``plan``."""


class AxesSpec(Spec):
    """Arms by axes instead of one by one."""

    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Setting paths and their values; every combination is an arm."""
    zip: dict[str, list[Any]] = Field(default_factory=dict)
    """Setting paths whose values go together, position by position; all lists have one length."""
    exclude: tuple[ExcludeSpec, ...] = ()
    """Combinations left out."""
    name: str = Field(min_length=1)
    """Template of an arm's name: ``{p}`` stands for the value of the axis that ends in ``.p``."""
    published: str | None = None
    """Template of the published row, likewise."""

    @model_validator(mode="after")
    def _check(self) -> AxesSpec:
        if not self.grid and not self.zip:
            raise ValueError("axes need a 'grid' or a 'zip'")
        lengths = {path: len(values) for path, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the lists of 'zip' differ in length: {lengths}")
        empty = [path for path, values in (self.grid | self.zip).items() if not values]
        if empty:
            raise ValueError(f"no values for {', '.join(empty)}")
        twice = set(self.grid) & set(self.zip)
        if twice:
            raise ValueError(f"both in 'grid' and in 'zip': {', '.join(sorted(twice))}")
        return self


class FigureSpec(Spec):
    """A figure drawn from what the trials of this experiment recorded."""

    kind: Literal[
        "attention_by_layer",
        "attention_by_arm",
        "attention_by_dataset",
        "class_difference",
        "training_curves",
        "contact_sheet",
    ]
    """``attention_by_layer``: coefficients of one arm by layer (Fig. 5). ``attention_by_arm``: those of several arms
    beside each other (Fig. 6, Fig. 8). ``attention_by_dataset``: those of one arm on every data set (Fig. 7).
    ``class_difference``: accuracy by class of the first arm minus the second. ``training_curves``: loss and accuracy
    by epoch. ``contact_sheet``: videos of the classes that one arm recognizes best (Fig. 9, Fig. 10)."""
    name: Name
    """File name of the figure, without extension."""
    title: str
    """Its title."""
    arms: tuple[str, ...] = Field(min_length=1)
    """The arms it shows."""
    dataset: Name | None = None
    """The data set it is about, where the experiment has several; the first when null."""

    @model_validator(mode="after")
    def _check(self) -> FigureSpec:
        wanted = ARMS_OF_FIGURE.get(self.kind)
        if wanted is not None and len(self.arms) != wanted:
            raise ValueError(
                f"arms: a figure of the kind '{self.kind}' takes exactly {wanted}, got {len(self.arms)}"
            )
        return self


ARMS_OF_FIGURE = {
    "attention_by_layer": 1,
    "attention_by_dataset": 1,
    "class_difference": 2,
    "contact_sheet": 1,
}
"""How many arms a kind of figure shows, where it is not any number."""


class ExperimentSpec(Spec):
    """One question. The file that holds it is its documentation."""

    name: Name
    """How it is asked for on the command line; the file has the same name."""
    title: str
    """Title of its table."""
    question: str
    """What it asks."""
    prediction: str = ""
    """What is expected, and on what grounds; written before the runs."""
    fixed: str = ""
    """What is held equal between the arms."""
    baseline: str
    """The arm that the others are compared with."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """How often each arm is trained, with different seeds; ``--repeats`` overrides it."""
    row_header: str = "model"
    """Heading of the first column."""
    published: Name | None = None
    """File under ``reports/published`` with the paper's rows."""
    datasets: tuple[Name, ...] = ()
    """Data sets that every arm is trained on, each by itself, by the names of the profile; the profile's own data
    when empty. With several, the paper's columns for one begin with its name: ``jester_top1``."""
    init_from: Name | None = None
    """Experiment whose arm of the same name gives the initial weights of each arm, repeat by repeat."""
    settings: Overlay = Field(default_factory=dict)
    """Settings of all arms, laid over the profile."""
    arms: tuple[ArmSpec, ...] = ()
    """The arms, one by one."""
    axes: AxesSpec | None = None
    """The arms, by axes."""
    figures: tuple[FigureSpec, ...] = ()
    """Figures drawn from this experiment's trials."""

    @model_validator(mode="after")
    def _check(self) -> ExperimentSpec:
        if bool(self.arms) == bool(self.axes):
            raise ValueError("give the arms either one by one ('arms') or by 'axes'")
        if self.arms and not any(arm.is_trained for arm in self.arms):
            raise ValueError("no arm is a network of its own: all are 'published_only' or 'fuse'")
        for figure in self.figures:
            if figure.kind == "attention_by_dataset" and len(self.datasets) < 2:
                raise ValueError(
                    f"figure '{figure.name}' shows several data sets, and 'datasets' names none or one"
                )
            if figure.dataset is not None and figure.dataset not in self.datasets:
                known = ", ".join(self.datasets) or "none"
                raise ValueError(
                    f"figure '{figure.name}': '{figure.dataset}' is no data set of this experiment: {known}"
                )
        return self


class DatasetRole(Spec):
    """What a profile takes for one of the data sets that experiments name."""

    label: str = ""
    """What tables call it; its name when empty."""
    about: str = ""
    """What it is, where it is not the data set itself."""
    folds: tuple[Positive, ...] = ()
    """Folds (``data.fold``) that are trained; accuracies are their mean. One training without a fold when empty."""
    settings: Overlay = Field(default_factory=dict)
    """Settings of every arm on this data set, laid over the profile's: its ``data``, and what its size asks for."""


class LimitsSpec(Spec):
    """What no arm exceeds at a profile, whatever it asks for; ``--set`` does."""

    frames: Positive | None = None
    """Most frames of a clip; an arm with stacked or consecutive frames keeps whole groups of them."""
    size: Positive | None = None
    """Largest height and width of a crop, pixels."""
    backbones: dict[BackboneName, BackboneName] = Field(default_factory=dict)
    """Backbones that are replaced by a smaller one."""
    stages: Positive | None = None
    """Stages that the smaller backbones have; a placement in a replaced one keeps those that there are."""


class ProfileSpec(Spec):
    """A scale at which any experiment can be asked: data set, backbone, clip, schedule, resources."""

    name: Name
    """How it is asked for on the command line; the file has the same name."""
    about: str
    """What it is for."""
    seconds_per_trial: float | None = None
    """Seconds one trial takes, measured once on the machine named in ``about``; the estimate of ``plan``
    until trials of the study itself have finished."""
    settings: Overlay
    """The scale. Only ``data``, ``clip``, ``training``, ``evaluation``, ``resources`` and the model's
    ``backbone``, ``init`` and ``dropout``: a profile never sets what an experiment is about."""
    datasets: dict[Name, DatasetRole] = Field(default_factory=dict)
    """What is taken for each data set that an experiment names."""
    limits: LimitsSpec = LimitsSpec()
    """What no arm exceeds."""

    @model_validator(mode="after")
    def _check(self) -> ProfileSpec:
        wrong = _list_foreign_keys(self.settings)
        for name, role in self.datasets.items():
            wrong += [f"datasets.{name}.settings.{key}" for key in _list_foreign_keys(role.settings)]
        if wrong:
            raise ValueError(
                f"a profile sets the scale and nothing else, so not {', '.join(wrong)}; "
                "allowed: data, clip, training, evaluation, resources, model.backbone, model.init, model.dropout"
            )
        return self


def _list_foreign_keys(settings: Overlay) -> list[str]:
    """Keys of ``settings`` that no profile may set."""
    wrong = sorted(set(settings) - {"data", "clip", "training", "evaluation", "resources", "model"})
    model = settings.get("model", {})
    if isinstance(model, dict):
        wrong += [f"model.{key}" for key in sorted(set(model) - {"backbone", "init", "dropout"})]
    return wrong


class StudySpec(Spec):
    """Experiments that share one store and one report."""

    name: Name
    """Name of the MLflow experiment and of the report."""
    experiments: tuple[str, ...] = Field(min_length=1)
    """Names or paths of the experiments."""
    profile: str = "laptop"
    """The profile, unless ``--profile`` names another."""
