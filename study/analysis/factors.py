"""What differs between the trials of two arms, and whether anything does that the arms do not declare.

A delta means what its table says only where the declared factor is all that differs. Trials that were run on other
days differ in more: another manifest, another GPU, a changed training loop. Each such difference is named.

Not looked at: the number of threads, the processor's model and the platform, which change the order of floating-point
sums; libraries that only keep the books (:data:`BOOKKEEPING`); batch size of the evaluation and other resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from study.spec.experiment import ArmSpec
from study.spec.record import TrialRecord
from study.spec.trial import Trial, flatten

Kind = Literal[
    "setting",
    "protocol",
    "repeat",
    "videos",
    "decoder",
    "code",
    "device",
    "memory",
    "library",
    "weights",
    "parent",
]
BOOKKEEPING = frozenset({"ray", "mlflow", "fvcore"})
"""Libraries of the environment that no result depends on."""
PARENT = "parent."
"""What the paths of differences between the trials begin with that two trials start from."""
SELECTORS: Mapping[str, tuple[str, ...]] = {
    "study.models.": ("model.backbone", "model.block.type", "model.on_top"),
    "study.kernels.": ("model.block.type", "model.on_top"),
    "study.data.": ("data.type", "clip.modality.type"),
}
"""Settings that choose which modules of a package a trial imports."""


class Absent(Enum):
    """What a trial has where only the other one has a value."""

    ABSENT = "absent"

    def __str__(self) -> str:
        return self.value


ABSENT = Absent.ABSENT


@dataclass(frozen=True)
class TrialFacts:
    """What a trial's result depends on.

    Attributes:
        settings: settings that enter its identity, by dotted path; lists are values.
        protocol: the primary protocol: its clips, crops, size and sampling.
        repeat: number of the repeat.
        manifest: digest of the data manifest.
        killed: videos left out while it ran, because decoding them hung or crashed.
        decoder: what decoded the videos.
        modules: digests of the modules it ran.
        device: ``cpu``, or the name of the GPU.
        versions: versions of Python and of the libraries that results depend on.
        weights: digest of the file of initial weights; empty without one.
        parent: id of the trial it started from; empty without one.
        origin: the facts of that trial, where they are known.
        micro_batch: clips of one pass where a batch did not fit into memory: what BatchNorm normalizes over.
    """

    settings: Mapping[str, Any]
    protocol: str
    repeat: int
    manifest: str
    killed: tuple[str, ...]
    decoder: str
    modules: Mapping[str, str]
    device: str
    versions: Mapping[str, str]
    weights: str = ""
    parent: str = ""
    origin: TrialFacts | None = None
    micro_batch: int | None = None

    @classmethod
    def from_record(cls, record: TrialRecord, origin: TrialFacts | None = None) -> TrialFacts:
        """The facts of the trial that ``record`` is about; ``origin`` are those of its parent.

        Raises:
            ValueError: when the record's settings are none that this version knows.
        """
        trial, environment = Trial.from_json(record.trial), record.environment
        settings = dict(flatten(trial.settings.identity))
        evaluation = trial.settings.evaluation
        protocol = evaluation.protocols[evaluation.primary].model_dump(mode="json")
        versions = {name: v for name, v in environment.versions.items() if name not in BOOKKEEPING}
        device, _, gpu = environment.device.partition(": ")
        decoder = settings.get("data.decoder", "auto")
        if decoder == "auto":
            decoder = f"auto: {'decord' if 'decord' in versions else 'pyav'}"
        return cls(
            settings=settings,
            protocol=", ".join(f"{name} {value}" for name, value in protocol.items()),
            repeat=trial.repeat,
            manifest=record.data.digest if record.data else trial.data_digest,
            killed=tuple(sorted(record.data.killed)) if record.data else (),
            decoder=decoder,
            modules=record.code.modules,
            device="cpu" if device == "cpu" else gpu or device,
            versions={"python": environment.python, **versions},
            weights=trial.weights_digest,
            parent=trial.parent,
            origin=origin,
            micro_batch=record.micro_batch,
        )


@dataclass(frozen=True)
class Factor:
    """One thing in which two trials differ.

    Attributes:
        kind: what it is.
        path: a setting's path, or a name such as ``library.torch``.
        arm: its value in the arm; :data:`ABSENT` where it has none.
        baseline: its value in the baseline.
        follows: setting paths of which this is a consequence: where an arm declares one, it declares this too.
    """

    kind: Kind
    path: str
    arm: Any
    baseline: Any
    follows: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}: {self.arm} against {self.baseline}"


@dataclass(frozen=True)
class Controlled:
    """Nothing but the declared factor differs. ``declared`` is what it comes to; empty for one trial twice."""

    declared: tuple[Factor, ...]


@dataclass(frozen=True)
class Confounded:
    """More differs than is declared: ``confounders``."""

    declared: tuple[Factor, ...]
    confounders: tuple[Factor, ...]


def declare_factor(arm: ArmSpec, baseline: ArmSpec) -> frozenset[str]:
    """Setting paths that two rows of a table declare to differ in: what the file sets for either of them, and
    ``init_from`` where they name different origins.
    """
    paths = {path for spec in (arm, baseline) for path, _ in flatten(spec.set)}
    return frozenset(paths | ({"init_from"} if arm.init_from != baseline.init_from else set()))


def list_differences(arm: TrialFacts, baseline: TrialFacts) -> tuple[Factor, ...]:
    """Everything in which two trials differ, settings first."""
    settings = list(_differ("setting", "", arm.settings, baseline.settings))
    changed = {factor.path for factor in settings}
    factors = [*settings]
    for kind, path, name, follows in (
        ("protocol", "evaluation.protocol", "protocol", ("evaluation",)),
        ("repeat", "repeat", "repeat", ()),
        ("videos", "data manifest", "manifest", ("data",)),
        ("videos", "videos left out while training", "killed", ()),
        ("decoder", "decoder", "decoder", ("data",)),
        ("device", "device", "device", ()),
        ("memory", "micro-batch", "micro_batch", ()),
        ("weights", "initial weights", "weights", _weights_follow(arm, baseline)),
    ):
        left, right = getattr(arm, name), getattr(baseline, name)
        if left != right:
            factors.append(Factor(kind, path, _show(left), _show(right), follows))  # type: ignore[arg-type]
    factors += _differ("library", "library.", arm.versions, baseline.versions)
    factors += [
        Factor("code", one.path, one.arm, one.baseline, _code_follows(one, changed))
        for one in _differ("code", "code.", arm.modules, baseline.modules)
    ]
    return (*factors, *_compare_parents(arm, baseline))


def judge(declared: Iterable[str], differences: Iterable[Factor]) -> Controlled | Confounded:
    """Whether ``differences`` are covered by ``declared`` setting paths (of leaves, or of what holds them).

    An arm that declares another ``type`` declares all options of that mapping with it, because those of one type mean
    nothing to another; an arm that declares a part of what the other lacks altogether declares the whole.
    """
    paths, factors = frozenset(declared), tuple(dict.fromkeys(differences))
    wholes = {
        factor.path.removesuffix(".type").removeprefix(PARENT)
        for factor in factors
        if factor.path.endswith(".type") and _covers(paths, factor.path.removeprefix(PARENT))
    }
    for factor in factors:
        path = factor.path.removeprefix(PARENT)
        missing = {factor.arm, factor.baseline} & {None, ABSENT} if factor.kind == "setting" else set()
        if missing and any(one.startswith(f"{path}.") for one in paths):
            wholes.add(path)
    covered = paths | wholes
    known = tuple(factor for factor in factors if _is_declared(covered, factor))
    confounders = tuple(factor for factor in factors if factor not in known)
    return Confounded(known, confounders) if confounders else Controlled(known)


def judge_arms(
    declared: Iterable[str], pairs: Iterable[tuple[TrialFacts, TrialFacts]]
) -> Controlled | Confounded:
    """The same for all trials of two arms: (arm, baseline) by repeat, data set and fold. One confounded pair
    confounds the delta.
    """
    return judge(declared, (factor for arm, baseline in pairs for factor in list_differences(arm, baseline)))


def _is_declared(covered: frozenset[str], factor: Factor) -> bool:
    if factor.path.startswith(PARENT) and "init_from" in covered:
        return True
    if factor.kind == "setting" and _covers(covered, factor.path.removeprefix(PARENT)):
        return True
    return any(
        _covers(covered, followed) or any(one.startswith(f"{followed}.") for one in covered)
        for followed in factor.follows
    )


def _covers(paths: Iterable[str], path: str) -> bool:
    """Whether one of ``paths`` is ``path`` or holds it."""
    return any(path == one or path.startswith(f"{one}.") for one in paths)


def _weights_follow(arm: TrialFacts, baseline: TrialFacts) -> tuple[str, ...]:
    """Another backbone has another file of the same pre-training; two files of the user's may be anything."""
    sources = {facts.settings.get("model.init.weights", ABSENT) for facts in (arm, baseline)}
    same_training = len(sources) == 1 and ABSENT not in sources
    return ("model.init.weights", "init_from", *(("model.backbone",) if same_training else ()))


def _code_follows(factor: Factor, changed: set[str]) -> tuple[str, ...]:
    """A module that only one trial ran belongs to what chose it; one that changed belongs to nothing."""
    if ABSENT not in (factor.arm, factor.baseline):
        return ()
    module = factor.path.removeprefix("code.")
    chosen_by = next((paths for start, paths in SELECTORS.items() if module.startswith(start)), ())
    return tuple(sorted(path for path in changed if _covers(chosen_by, path)))


def _compare_parents(arm: TrialFacts, baseline: TrialFacts) -> tuple[Factor, ...]:
    if arm.parent == baseline.parent:
        return ()
    if arm.origin is None or baseline.origin is None:
        left, right = arm.parent or ABSENT, baseline.parent or ABSENT
        return (Factor("parent", f"{PARENT}trial", left, right, ("init_from",)),)
    return tuple(
        Factor(one.kind, f"{PARENT}{one.path}", one.arm, one.baseline, one.follows)
        for one in list_differences(arm.origin, baseline.origin)
    )


def _differ(kind: Kind, prefix: str, arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[Factor]:
    for name in sorted(set(arm) | set(baseline)):
        left, right = arm.get(name, ABSENT), baseline.get(name, ABSENT)
        if left != right:
            yield Factor(kind, f"{prefix}{name}", left, right)


def _show(value: Any) -> Any:
    """Nothing as :data:`ABSENT`."""
    return ABSENT if value in ("", ()) else value
