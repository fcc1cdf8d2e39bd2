"""The base of every specification, and the scalar types they share."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

Positive = Annotated[int, Field(ge=1)]
"""An integer from 1."""


class Later:
    """Marks a field that was added when records of finished trials existed.

    While such a field has its default it is left out of a trial's identity, so that those records stay what they
    are. Its default can therefore never change.
    """


LATER = Later()


class Spec(BaseModel):
    """Frozen, and closed: an unknown key is an error. A field's docstring is its description in the editors' schemas.

    Only they read it (:mod:`study.spec.schema`): pydantic's own ``use_attribute_docstrings`` would look through the
    source of every class whenever it is imported, which is most of what a worker's start costs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_proportion(value: Any) -> Fraction:
    """A fraction from ``"1/4"``, ``0.25``, ``0`` or a :class:`~fractions.Fraction`.

    Raises:
        ValueError: when the text is neither a number nor ``numerator/denominator``.
    """
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"expected a fraction such as 1/4, got {value!r}")
    try:
        return Fraction(str(value)).limit_denominator(4096)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a fraction such as 1/4, got {value!r}") from None


Proportion = Annotated[
    Fraction,
    BeforeValidator(parse_proportion),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+(/\d+)?$"}]}),
]
"""A fraction, written ``1/4`` or ``0.25`` in YAML and always ``"1/4"`` in records."""
