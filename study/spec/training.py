"""Training, evaluation and the resources of a trial."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from study.spec.base import LATER, Positive, Spec

RESERVED_RESOURCES = frozenset({"cpu", "gpu", "memory", "object_store_memory", "bundle"})
"""Names that Ray keeps for itself."""


class OptimizerSpec(Spec):
    """SGD with momentum (section 4.2). What the paper leaves open has the TSM repository's values."""

    lr: Annotated[float, Field(gt=0)] = 0.01
    """Base learning rate for ``batch_size``. Not stated in the paper."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """Applied to convolution and linear weights, not to biases and BatchNorm."""
    classifier_lr_mult: Annotated[float, Field(gt=0)] = 5.0
    """Multiplies the learning rate of the classifier's weight; its bias gets twice that."""
    clip_grad_norm: Annotated[float, Field(gt=0)] | None = 20.0
    """Largest norm of the gradient; not clipped when null."""


class ScheduleSpec(Spec):
    """The learning rate over the epochs."""

    type: Literal["step", "cosine"] = "step"
    milestones: tuple[Positive, ...] = (20, 40)
    """``step``: epochs after which the rate is multiplied by ``gamma``."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Linear rise from zero, in epochs."""


class StopSpec(Spec):
    """When a trial is given up before its last epoch. It then has no accuracy: tables show it as stopped."""

    max_loss: Annotated[float, Field(gt=0)] | None = None
    """Mean training loss of an epoch above which a trial has diverged. One whose loss is not finite fails anyway."""
    min_top1: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Training top-1 (a fraction) that must still be possible: a trial is futile when that of an epoch is lower with
    99.9 % confidence (Clopper and Pearson's limit over the clips of the epoch)."""
    after_epochs: Positive = 1
    """Epochs that every trial is given first."""

    @model_validator(mode="after")
    def _check(self) -> StopSpec:
        if self.max_loss is None and self.min_top1 is None:
            raise ValueError("neither max_loss nor min_top1 is given; leave stop out to train to the end")
        return self


class TrainingSpec(Spec):
    """One training run."""

    epochs: Positive = 50
    batch_size: Positive = 64
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass; ``fp16`` scales the loss. On a CPU only ``fp32`` and ``bf16``."""
    seed: int = 0
    """Base of every derived seed; repeats differ from each other by their number, not by this."""
    deterministic: bool = True
    """Ask torch for deterministic algorithms; on a CPU the same trial twice gives the same record."""
    compile: Annotated[bool, LATER] = False
    """Train the network as ``torch.compile`` makes it, which takes half a minute or more before the first step. The
    evaluation runs it as it is."""
    stop: Annotated[StopSpec | None, LATER] = None
    """When to give a trial up; never when null."""


class ProtocolSpec(Spec):
    """How a video is turned into views at test time, and one score from them: the mean of the logits."""

    clips: Positive = 1
    """Temporal clips. With ``tsn`` sampling the first takes segment centers, the second segment starts (TSM's
    ``twice_sample``), more than two are spread evenly over each segment. With ``dense`` sampling one clip stands
    in the middle, more are spread evenly from the first frame to the last."""
    crops: Literal[1, 3] = 1
    """Spatial crops: 1 is the center, 3 are the two ends of the long side and the center."""
    size: Positive | None = None
    """Height and width of a crop, pixels; the training size when null."""
    sampling: Annotated[Literal["tsn", "dense"] | None, LATER] = None
    """How the frames of a clip are chosen; as in training when null."""

    @property
    def views(self) -> int:
        """Forward passes per video."""
        return self.clips * self.crops


class EvaluationSpec(Spec):
    """What is measured on the validation split after the last epoch."""

    protocols: dict[str, ProtocolSpec] = Field(default_factory=lambda: {"1x1": ProtocolSpec()}, min_length=1)
    """Named protocols, ``clips x crops`` by habit."""
    primary: str = "1x1"
    """The protocol whose accuracy stands in the tables."""
    every: Annotated[int, Field(ge=0)] = 1
    """Validate with the primary protocol every n epochs while training; 0: only after the last."""
    batch_size: Positive = 64

    @model_validator(mode="after")
    def _check(self) -> EvaluationSpec:
        if self.primary not in self.protocols:
            raise ValueError(
                f"primary '{self.primary}' is none of the protocols: {', '.join(self.protocols)}"
            )
        return self


class ResourcesSpec(Spec):
    """What one trial occupies. It never enters a trial's identity."""

    cpus: Annotated[float, Field(gt=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs, or a fraction of one that trials share."""
    processes: Annotated[Positive, LATER] = 1
    """Processes that train the trial together. Each takes its share of every batch, and of all that stands here: one
    GPU or more, or none. BatchNorm is over the whole batch, dropout draws other masks than one process would."""
    custom: Annotated[dict[str, Annotated[float, Field(gt=0)]], LATER] = Field(default={})
    """Resources that a cluster names itself, e.g. ``{a100: 1}`` where nodes were started with
    ``ray start --resources '{"a100": 8}'``."""
    loader_workers: Annotated[int, Field(ge=0)] = 0
    """Processes that decode videos; 0 decodes in the trial's own process."""
    frame_cache_mib: Annotated[int, Field(ge=0)] = 0
    """Memory for decoded and resized videos, mebibytes; 0 decodes every video anew in each epoch."""
    decode_limit_s: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that decoding one video may take. A loader's process that takes longer is killed, and the video is
    left out of the trial, by name; without ``loader_workers`` there is no such process."""

    @model_validator(mode="after")
    def _check(self) -> ResourcesSpec:
        if self.gpus > 1 and not self.gpus.is_integer():
            raise ValueError(f"gpus {self.gpus:g}: more than one GPU is a whole number of them")
        if self.processes > 1 and self.gpus % self.processes:
            raise ValueError(
                f"processes {self.processes}: gpus {self.gpus:g} cannot be shared out; allowed: 0, or a multiple of "
                "the processes"
            )
        reserved = sorted(name for name in self.custom if name.lower() in RESERVED_RESOURCES)
        if reserved or "" in self.custom:
            raise ValueError(
                f"custom: '{', '.join(reserved)}' is not the name of a custom resource; CPUs and GPUs are cpus and gpus"
            )
        return self

    def of_one_process(self) -> ResourcesSpec:
        """The share of each process."""
        if self.processes == 1:
            return self
        return self.model_copy(
            update={
                "processes": 1,
                "cpus": self.cpus / self.processes,
                "gpus": self.gpus / self.processes,
                "custom": {name: amount / self.processes for name, amount in self.custom.items()},
                "loader_workers": -(-self.loader_workers // self.processes),
                "frame_cache_mib": self.frame_cache_mib // self.processes,
            }
        )
