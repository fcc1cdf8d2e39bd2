"""A trial: one arm once, with an identity that is the same wherever it is computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic.fields import FieldInfo

from study.spec.base import Later, Spec
from study.spec.clip import ClipSpec
from study.spec.datasets import AnyDataset, SyntheticMotion
from study.spec.model import ModelSpec
from study.spec.training import EvaluationSpec, ResourcesSpec, TrainingSpec
from study.spec.views import name_views

ID_LENGTH = 16
"""Hexadecimal digits of an id: 64 bits, so that 100,000 trials collide with probability 3e-10."""


class TrialSettings(Spec):
    """Everything a trial depends on, with every default filled in."""

    model: ModelSpec = ModelSpec()
    """The network."""
    data: AnyDataset = SyntheticMotion(type="motion")
    """The videos and labels."""
    clip: ClipSpec = ClipSpec()
    """How clips are drawn from videos."""
    training: TrainingSpec = TrainingSpec()
    """Epochs, optimizer, schedule, precision, seed."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """Protocols of validation. They have a fingerprint of their own: changing them trains nothing anew."""
    resources: ResourcesSpec = ResourcesSpec()
    """What the trial occupies while it runs. Never part of its identity."""

    @model_validator(mode="after")
    def _check(self) -> TrialSettings:
        resize = self.clip.resize
        short = min(resize) if isinstance(resize, tuple) else resize
        for name, protocol in self.evaluation.protocols.items():
            if short is not None and protocol.size is not None and protocol.size > short:
                raise ValueError(
                    f"evaluation.protocols.{name}.size {protocol.size} does not fit into frames that clip.resize "
                    f"brings to a short side of {short}"
                )
        return self

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings that training depends on, as they enter a trial's id. Computed once for all repeats."""
        return {name: identity_dump(getattr(self, name)) for name in ("model", "data", "clip", "training")}

    @cached_property
    def identity_texts(self) -> dict[str, str]:
        """:attr:`identity` part by part as canonical JSON, which is most of the work of an id."""
        return {name: canonical_json(part) for name, part in self.identity.items()}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def derive_digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def identity_dump(spec: BaseModel) -> dict[str, Any]:
    """The JSON form of ``spec`` without file locations: moving a file never changes what a trial is.

    What the files hold enters the identity through digests (see :class:`Trial`). Options that came later
    (:class:`~study.spec.base.Later`) are left out while they have their default.
    """

    def is_kept(field: FieldInfo, value: Any) -> bool:
        came_later = any(isinstance(mark, Later) for mark in field.metadata)
        return not isinstance(value, Path) and not (came_later and value == field.default)

    def strip(value: Any) -> Any:
        if isinstance(value, BaseModel):
            fields = {name: (field, getattr(value, name)) for name, field in type(value).model_fields.items()}
            return {name: strip(item) for name, (field, item) in fields.items() if is_kept(field, item)}
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return [strip(item) for item in value]
        return value if isinstance(value, str | int | float | bool | type(None)) else str(value)

    dumped = strip(spec)
    assert isinstance(dumped, dict)
    return dumped


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested settings by dotted path; lists become tuples, so that they can be compared and hashed."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from flatten(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", tuple(item) if isinstance(item, list) else item


@dataclass(frozen=True)
class Trial:
    """One arm x one repeat: one task of the scheduler, one MLflow run.

    Attributes:
        settings: everything the trial depends on.
        repeat: number of the repeat, from 0; all arms of one repeat share data order and initial classifier.
        data_digest: digest of the data manifest (paths, labels, splits).
        weights_digest: SHA-256 of the file of initial weights; empty without one.
        parent: id of the trial whose final weights this one starts from; empty without one.
    """

    settings: TrialSettings
    repeat: int
    data_digest: str
    weights_digest: str = ""
    parent: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that training depends on. Evaluation and resources are left out."""
        return self.settings.identity | self._own_identity

    @property
    def _own_identity(self) -> dict[str, Any]:
        """The part of the identity that is not in the settings."""
        parts = {
            "repeat": self.repeat,
            "data_digest": self.data_digest,
            "weights_digest": self.weights_digest,
        }
        return parts | {"parent": self.parent} if self.parent else parts

    @cached_property
    def trial_id(self) -> str:
        """SHA-256 of the identity (:func:`derive_digest`), shortened."""
        own = {name: canonical_json(value) for name, value in self._own_identity.items()}
        texts = sorted((own | self.settings.identity_texts).items())
        text = "{" + ",".join(f'"{name}":{part}' for name, part in texts) + "}"
        return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]

    @cached_property
    def protocols(self) -> dict[str, tuple[str, ...]]:
        """Names of the views of each protocol. A record without one of them is evaluated, not trained again."""
        evaluation, clip = self.settings.evaluation, self.settings.clip
        return {name: name_views(spec, clip) for name, spec in evaluation.protocols.items()}

    def to_json(self) -> dict[str, Any]:
        """A form that :meth:`from_json` reads back."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "repeat": self.repeat,
            "data_digest": self.data_digest,
            "weights_digest": self.weights_digest,
            "parent": self.parent,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Trial:
        """The trial that :meth:`to_json` wrote."""
        return cls(
            settings=TrialSettings.model_validate(data["settings"]),
            repeat=data["repeat"],
            data_digest=data["data_digest"],
            weights_digest=data["weights_digest"],
            parent=data.get("parent", ""),
        )
