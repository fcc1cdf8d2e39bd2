"""Runtime as a measurement: under which conditions networks were timed, and what every round gave.

A record is one session: all arms of an experiment, timed in one process in interleaved rounds, so that their times may
be compared round by round. It lies in the store as ``runtime/<id>.json`` and is never changed; measuring again adds
another. Medians and quartiles stand in it for readers, and are refused where they do not follow from the times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from study.errors import StoreError
from study.spec.base import Positive
from study.spec.clip import ClipSpec
from study.spec.json_file import read_json
from study.spec.model import ModelSpec
from study.spec.record import Environment, RecordPart, write_atomically
from study.spec.trial import derive_digest, identity_dump

ID_LENGTH = 16
Device = Literal["cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]
Mode = Literal["inference", "training"]
Clock = Literal["process CPU time", "wall time", "CUDA events"]
Second = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RuntimeConditions(RecordPart):
    """Everything besides the network that a time depends on and that was asked for. Frames and size are the arm's."""

    device: Device = "cpu"
    """Where networks run."""
    batch: Positive = 1
    """Clips of one pass."""
    dtype: Precision = "fp32"
    """Inference: of weights and inputs. Training: of the forward pass under autocast; weights stay fp32."""
    compile: bool = False
    """Whether networks went through ``torch.compile``, which is done before the clock starts."""
    mode: Mode = "inference"
    """``inference``: a forward pass in eval mode. ``training``: forward, backward and a step of SGD."""
    threads: Positive = 1
    """Threads that compute on the CPU. With one, process CPU time is the clock, which other processes do not slow."""

    @model_validator(mode="after")
    def _check(self) -> RuntimeConditions:
        if self.device == "cpu" and self.dtype == "fp16":
            raise ValueError("dtype: fp16 needs a GPU; on a CPU allowed: fp32, bf16")
        return self

    @property
    def clock(self) -> Clock:
        """What the times that are compared are taken with."""
        if self.device == "cuda":
            return "CUDA events"
        return "process CPU time" if self.threads == 1 else "wall time"

    @property
    def slug(self) -> str:
        """A short name that is fit for a file: "cpu-inference-b1-fp32"."""
        parts = [self.device, self.mode, f"b{self.batch}", self.dtype, "compiled" if self.compile else ""]
        parts.append(f"t{self.threads}" if self.device == "cpu" and self.threads > 1 else "")
        return "-".join(part for part in parts if part)

    def describe(self) -> str:
        """The same in words."""
        doing = "forward pass" if self.mode == "inference" else "forward, backward and optimizer step"
        threads = f", {self.threads} thread{'s' if self.threads > 1 else ''}" if self.device == "cpu" else ""
        return (
            f"{doing} of {self.batch} clip{'s' if self.batch > 1 else ''} in {self.dtype}"
            f"{', torch.compile' if self.compile else ''}{threads}, {self.clock}"
        )


class Quartiles(RecordPart):
    """Lower quartile, median and upper quartile (linear between neighbors, as ``numpy.quantile`` has them)."""

    q1: float
    median: float
    q3: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Quartiles:
        """Those of ``values``, at least one."""
        if len(values) == 1:
            return cls(q1=values[0], median=values[0], q3=values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(q1=low, median=middle, q3=high)

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies between the quartiles, both included."""
        return self.q1 <= value <= self.q3

    def is_close(self, other: Quartiles) -> bool:
        """Whether both are the same but for rounding."""
        pairs = ((self.q1, other.q1), (self.median, other.median), (self.q3, other.q3))
        return all(math.isclose(one, two, rel_tol=1e-9) for one, two in pairs)


class ArmRuntime(RecordPart):
    """What one arm gave. An arm without times says why."""

    arm: str
    """Name of the row in its experiment."""
    label: str
    """What tables print for it."""
    settings: str = ""
    """Digest of network and clip (:func:`digest_settings`); empty where no network stands behind the row."""
    code: str = ""
    """Fingerprint of the code of the network and of the timer."""
    frames: int | None = None
    """T of a clip."""
    size: int | None = None
    """Height and width of a clip, pixels."""
    channels: int | None = None
    """C of a clip."""
    classes: int | None = None
    """K of the classifier."""
    views: Positive = 1
    """Clips that make a video, as the row's published cost counts them: two of 32 frames for the 64 frames of I3D."""
    reason: str = ""
    """Why there are no times."""
    graph: bool | None = None
    """Whether a CUDA graph was replayed; null on a CPU."""
    note: str = ""
    """Why no graph was captured, where it was tried."""
    sth_layers: dict[Literal["native", "winograd", "triton", "library"], Positive] = Field(
        default_factory=dict
    )
    """Layers of STH-Conv by what ran them: ``native``, our direct kernel for the CPU, ``winograd``, the other one,
    ``triton``, that for GPUs, ``library``, PyTorch's convolutions. Empty for networks without any."""
    seconds: tuple[Second, ...] = ()
    """Time of one pass in each round, by the clock of the conditions, seconds."""
    wall_seconds: tuple[Second, ...] = ()
    """Wall time of the same passes, seconds."""
    latency_ms: Quartiles | None = None
    """Of ``seconds``, milliseconds."""
    videos_per_s: Quartiles | None = None
    """Videos in a second: batch over views over ``seconds``."""
    peak_mem_gib: float | None = None
    """Memory that building the network and one pass took at most, GiB."""
    peak_mem_note: str = ""
    """Why there is none."""

    @property
    def measured(self) -> bool:
        """Whether it has times."""
        return bool(self.seconds)

    @classmethod
    def summarize(
        cls, batch: int, views: int, seconds: Sequence[float]
    ) -> tuple[Quartiles | None, Quartiles | None]:
        """Latency (ms) and videos in a second of passes of ``batch`` clips; None without any."""
        if not seconds:
            return None, None
        return (
            Quartiles.of([1000 * one for one in seconds]),
            Quartiles.of([batch / views / one for one in seconds]),
        )


class RuntimeRecord(RecordPart):
    """One session of timing the arms of one experiment."""

    version: Literal[1] = 1
    runtime_id: str = Field(pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}$")
    """Digest of everything else."""
    experiment: str
    """Name of the experiment."""
    profile: str
    """Name of the profile that gave the arms their scale."""
    conditions: RuntimeConditions
    against: str
    """The arm that ratios are to."""
    rounds: Positive
    """Rounds that count."""
    warmup: Annotated[int, Field(ge=0)]
    """Rounds before them that were dropped."""
    seed: int
    """What the order in each round was drawn from."""
    order: tuple[tuple[str, ...], ...] = ()
    """Arms of each counted round as they were timed, the first first."""
    arms: tuple[ArmRuntime, ...]
    """Arms in the order of the table."""
    environment: Environment
    """Device, versions of libraries, commit."""
    load_average: float | None = None
    """Processes that wanted to run when the session began; null where the system does not say."""
    started_at: float
    """Seconds since 1970."""
    ended_at: float

    @model_validator(mode="after")
    def _check(self) -> RuntimeRecord:
        if self.runtime_id != derive_runtime_id(self.model_dump(mode="json")):
            raise ValueError("runtime_id: is not the digest of the content, which was changed")
        names = [one.arm for one in self.arms]
        if len(set(names)) != len(names):
            raise ValueError("arms: an arm stands twice")
        for one in self.arms:
            if one.measured == bool(one.reason):
                raise ValueError(f"arms: '{one.arm}' needs either times or a reason")
            if one.measured and (len(one.seconds), len(one.wall_seconds)) != (self.rounds, self.rounds):
                raise ValueError(
                    f"arms: '{one.arm}' has not a time of each clock for each of {self.rounds} rounds"
                )
            stored = (one.latency_ms, one.videos_per_s)
            derived = ArmRuntime.summarize(self.conditions.batch, one.views, one.seconds)
            for before, now in zip(stored, derived, strict=True):
                if (before is None) != (now is None) or (before and now and not before.is_close(now)):
                    raise ValueError(f"arms: '{one.arm}': medians do not follow from the times")
        return self

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Equal for measurements of the same thing under the same conditions, of which the newest counts."""
        return self.experiment, self.profile, self.conditions.slug, self.environment.device

    def arm(self, name: str) -> ArmRuntime | None:
        """The arm called ``name``, or None."""
        return next((one for one in self.arms if one.arm == name), None)


def digest_settings(model: ModelSpec, clip: ClipSpec) -> str:
    """A digest of what a network computes and on which shape: what a time depends on of an arm's settings. Initial
    weights do not count, nor how clips are drawn.
    """
    dumped = {name: value for name, value in identity_dump(model).items() if name != "init"}
    shape = [clip.channels, clip.frames, clip.size]
    return derive_digest({"model": dumped, "clip": shape})[:ID_LENGTH]


def derive_runtime_id(content: Mapping[str, object]) -> str:
    """The id of a record with this ``content`` (JSON)."""
    kept = {name: value for name, value in content.items() if name != "runtime_id"}
    return derive_digest(kept)[:ID_LENGTH]


def make_runtime_record(**content: object) -> RuntimeRecord:
    """A record with its id."""
    dumped = RuntimeRecord.model_construct(runtime_id="", **content).model_dump(mode="json")  # type: ignore[arg-type]
    return RuntimeRecord.model_validate(dumped | {"runtime_id": derive_runtime_id(dumped)})


def save_runtime(record: RuntimeRecord, folder: Path) -> Path:
    """Write ``record`` into ``folder`` at once or not at all; returns its path.

    Raises:
        StoreError: when it cannot be written.
    """
    path = folder / f"{record.runtime_id}.json"
    try:
        write_atomically(path, record.model_dump_json(indent=1))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from None
    return path


def load_runtime(path: Path) -> RuntimeRecord:
    """The record at ``path``.

    Raises:
        StoreError: when the file cannot be read or is no record of this version.
    """
    content = read_json(path)
    try:
        return RuntimeRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "(file)"
        raise StoreError(f"{path}: no valid measurement of runtime: {key}: {first['msg']}") from None


def load_runtimes(folder: Path) -> list[RuntimeRecord]:
    """Every record in ``folder``, oldest first; none where there is no such folder.

    Raises:
        StoreError: as :func:`load_runtime`.
    """
    found = [load_runtime(path) for path in sorted(folder.glob("*.json"))]
    return sort_runtimes(found)


def sort_runtimes(records: Sequence[RuntimeRecord]) -> list[RuntimeRecord]:
    """``records``, oldest first, each once."""
    by_id = {record.runtime_id: record for record in records}
    return sorted(by_id.values(), key=lambda record: (record.started_at, record.runtime_id))
