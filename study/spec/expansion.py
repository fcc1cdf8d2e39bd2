"""From an experiment's file and a profile to its rows, with the settings of every arm resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from study.errors import SpecError, suggest
from study.spec.arms import Excluded, expand_axes
from study.spec.experiment import ArmSpec, ExperimentSpec, ProfileSpec
from study.spec.overlay import Layer, merge_layers
from study.spec.problems import list_problems
from study.spec.resolved import Arm, Experiment, ParentArm, Row, UsedDataset
from study.spec.trial import TrialSettings
from study.spec.yaml import Document, Path_

DATASETS = "datasets"
"""First key of an override that concerns one data set: ``datasets.jester.data.root=...``."""


@dataclass(frozen=True)
class Scale:
    """A profile, its file, and what the command line lays over everything."""

    spec: ProfileSpec
    document: Document
    overrides: Sequence[Layer] = ()
    repeats: int | None = None

    def layers(self, dataset: str) -> list[Layer]:
        """The settings below those of an experiment."""
        layers = [Layer(self.spec.settings, self.document, ("settings",))]
        if dataset:
            role = self.spec.datasets[dataset]
            layers.append(Layer(role.settings, self.document, (DATASETS, dataset, "settings")))
        return layers

    def top_layers(self, dataset: str) -> list[Layer]:
        """The overrides for arms on ``dataset``."""
        layers = []
        for layer in self.overrides:
            named = layer.data.get(DATASETS)
            if named is None:
                layers.append(layer)
            elif isinstance(named, dict) and dataset in named:
                layers.append(Layer(named[dataset], label=layer.label))
        return layers


@dataclass
class _Expansion:
    """One experiment amid expansion, with the problems found so far."""

    spec: ExperimentSpec
    document: Document
    scale: Scale
    problems: list[str] = field(default_factory=list)

    def add_problem(self, line: str) -> None:
        """Note a problem once."""
        if line not in self.problems:
            self.problems.append(line)


def expand_experiment(spec: ExperimentSpec, document: Document, path: Path, scale: Scale) -> Experiment:
    """The experiment that ``spec`` is at ``scale``.

    Raises:
        SpecError: with every problem found.
    """
    work = _Expansion(spec, document, scale)
    arm_specs: list[ArmSpec] = list(spec.arms)
    excluded: list[Excluded] = []
    if spec.axes is not None:
        arm_specs, excluded = expand_axes(spec.axes, document.where(("axes",)))
    _check_names(work, arm_specs)
    datasets = _find_datasets(work)
    rows = [_expand_row(work, index, arm_spec, datasets) for index, arm_spec in enumerate(arm_specs)]
    rows = _drop_incomplete_fusions(work, rows)
    if work.problems:
        raise SpecError(work.problems)
    repeats = scale.repeats or spec.repeats
    return Experiment(spec, scale.spec, tuple(rows), repeats, datasets, tuple(excluded), path)


def _find_datasets(work: _Expansion) -> tuple[UsedDataset, ...]:
    roles = work.scale.spec.datasets
    used = []
    for index, name in enumerate(work.spec.datasets):
        role = roles.get(name)
        if role is None:
            where = work.document.where((DATASETS, index))
            hint = suggest(name, roles)
            work.add_problem(f"{where}: datasets: profile '{work.scale.spec.name}' has no '{name}'; {hint}")
            continue
        used.append(UsedDataset(name, role.label or name, role.about, role.folds))
    for layer in work.scale.overrides:
        for name in layer.data.get(DATASETS, {}):
            if name not in roles:
                work.add_problem(f"{layer.label}: datasets.{name}: {suggest(name, roles)}")
    return tuple(used) or (UsedDataset(),)


def _expand_row(work: _Expansion, index: int, arm_spec: ArmSpec, datasets: tuple[UsedDataset, ...]) -> Row:
    if not arm_spec.is_trained:
        return Row(arm_spec)
    prefix: Path_ = ("arms", index, "set") if work.spec.arms else ("axes",)
    arms = []
    for dataset in datasets:
        for fold in dataset.folds or (None,):
            settings = _resolve(work, arm_spec, prefix, dataset.name, fold)
            if isinstance(settings, str):
                return Row(arm_spec.model_copy(update={"set": {}, "published_only": settings}))
            if settings is not None:
                arms.append(_name_arm(work, arm_spec, settings, (datasets, dataset, fold)))
    return Row(arm_spec, tuple(arms))


def _name_arm(
    work: _Expansion,
    arm_spec: ArmSpec,
    settings: TrialSettings,
    place: tuple[tuple[UsedDataset, ...], UsedDataset, int | None],
) -> Arm:
    datasets, dataset, fold = place
    several = len(datasets) > 1
    suffix = (f" on {dataset.name}" if several else "") + (f" fold {fold}" if len(dataset.folds) > 1 else "")
    spoken = (f" on {dataset.label}" if several else "") + (f" fold {fold}" if len(dataset.folds) > 1 else "")
    return Arm(
        name=arm_spec.name + suffix,
        label=(arm_spec.label or arm_spec.name) + spoken,
        row=arm_spec.name,
        settings=settings,
        dataset=dataset.name,
        parent=_find_parent(work.spec, arm_spec),
    )


def _find_parent(spec: ExperimentSpec, arm_spec: ArmSpec) -> ParentArm | None:
    if arm_spec.init_from:
        experiment, _, row = arm_spec.init_from.partition("/")
        return ParentArm(experiment, row or arm_spec.name)
    return ParentArm(spec.init_from, arm_spec.name) if spec.init_from else None


def _resolve(
    work: _Expansion, arm_spec: ArmSpec, prefix: Path_, dataset: str, fold: int | None
) -> TrialSettings | str | None:
    """The settings of an arm; why it is left out at this scale; or None with the problems noted."""
    layers = [
        *work.scale.layers(dataset),
        Layer(work.spec.settings, work.document, ("settings",)),
        Layer(arm_spec.set, work.document, prefix),
    ]
    if _find_parent(work.spec, arm_spec) is not None:
        layers.append(Layer({"model": {"init": {"weights": "random"}}}, label="init_from"))
    if fold is not None:
        layers.append(Layer({"data": {"fold": fold}}, label=f"profile {work.scale.spec.name}: folds"))
    limits = _limit(merge_layers(layers).data, work.scale.spec)
    if limits and arm_spec.fixed_clip and "clip" in limits:
        asked = merge_layers(layers).data.get("clip", {})
        allowed = work.scale.spec.limits
        return (
            f"it takes clips of {asked.get('frames')} x {asked.get('size')} x {asked.get('size')} only, and profile "
            f"{work.scale.spec.name} has at most {allowed.frames} x {allowed.size} x {allowed.size}"
        )
    label = f"profile {work.scale.spec.name}: limits"
    merged = merge_layers([*layers, Layer(limits, label=label), *work.scale.top_layers(dataset)])
    try:
        return TrialSettings.model_validate(merged.data)
    except ValidationError as error:
        for line in list_problems(error, TrialSettings, merged.data, merged.where):
            work.add_problem(line)
        return None


def _limit(settings: dict[str, Any], profile: ProfileSpec) -> dict[str, Any]:
    """What of ``settings`` exceeds the limits of ``profile``, with the values that it gets instead."""
    limits, changed = profile.limits, dict[str, Any]()
    model, clip = settings.get("model", {}), settings.get("clip", {})
    backbone = model.get("backbone")
    if backbone in limits.backbones:
        changed["model"] = {"backbone": limits.backbones[backbone]}
        stages = model.get("placement", {}).get("stages")
        if limits.stages is not None and stages:
            kept = [stage for stage in stages if stage <= limits.stages]
            changed["model"]["placement"] = {"stages": kept}
    frames, size = clip.get("frames"), clip.get("size")
    shape: dict[str, Any] = {}
    if limits.frames is not None and isinstance(frames, int) and frames > limits.frames:
        group = max(model.get("stack", 1), clip.get("snippet", 1))
        shape["frames"] = max(limits.frames // group, 1) * group
    if limits.size is not None and isinstance(size, int) and size > limits.size:
        # Frames that an arm wants larger than the profile has them are left as the profile has them.
        shape |= {"size": limits.size, "resize": profile.settings.get("clip", {}).get("resize")}
    return changed | ({"clip": shape} if shape else {})


def _check_names(work: _Expansion, arms: list[ArmSpec]) -> None:
    spec, where = work.spec, work.document.where
    names = [arm.name for arm in arms]
    trained = [arm.name for arm in arms if arm.is_trained]
    for index, name in enumerate(names):
        if name in names[:index]:
            work.add_problem(f"{where(('arms', index, 'name'))}: arms: the name '{name}' is taken")
    wanted: list[tuple[Path_, str, str]] = [(("baseline",), "baseline", spec.baseline)]
    for index, figure in enumerate(spec.figures):
        wanted += [(("figures", index, "arms"), f"figures.{figure.name}", arm) for arm in figure.arms]
    for index, arm in enumerate(arms):
        wanted += [(("arms", index, "fuse"), "arms.fuse", part) for part in arm.fuse]
    for path, key, name in wanted:
        if name not in trained:
            work.add_problem(f"{where(path)}: {key}: '{name}' is no arm; {suggest(name, trained)}")


def _drop_incomplete_fusions(work: _Expansion, rows: Sequence[Row]) -> list[Row]:
    """The rows, where what stands on a row that the profile leaves out is left out too."""
    left_out = {row.name for row in rows if row.spec.published_only}
    if work.spec.baseline in left_out:
        where = work.document.where(("baseline",))
        work.add_problem(
            f"{where}: baseline: '{work.spec.baseline}' is left out at profile {work.scale.spec.name}"
        )
    kept = []
    for row in rows:
        missing = [part for part in row.spec.fuse if part in left_out]
        reason = f"it needs {', '.join(missing)}, left out at profile {work.scale.spec.name}"
        change = {"fuse": (), "published_only": reason}
        kept.append(Row(row.spec.model_copy(update=change)) if missing else row)
    return kept
