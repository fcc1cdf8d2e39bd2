"""pydantic's errors as lines that a user can act on: where, which key, which value, what is allowed."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from study.errors import suggest


def list_problems(
    error: ValidationError, model: type[BaseModel], data: Any, where: Callable[[Sequence[str | int]], str]
) -> list[str]:
    """One line for each error of ``error``: ``where: key: what is wrong``.

    Args:
        error: what validating ``data`` as ``model`` raised.
        model: the model that was validated against.
        data: the raw value, as nested dicts and lists.
        where: from a path of keys to the place that set it ("table6.yaml:12").
    """
    problems = []
    for item in error.errors(include_url=False):
        path = _raw_path(item, data)
        problems.append(f"{where(path)}: {_dotted(path)}: {_message(dict(item), model, path)}")
    return problems


def _raw_path(item: ErrorDetails, data: Any) -> tuple[str | int, ...]:
    """The error's path without the union tags that pydantic adds: keys that the user wrote, or left out."""
    path: list[str | int] = []
    for part in item["loc"]:
        container: Any = data if isinstance(data, dict | list) else {}
        try:
            data = container[part]
        except (KeyError, IndexError, TypeError):
            if item["type"] != "missing" or part != item["loc"][-1]:
                continue
        path.append(part)
    return tuple(path)


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path)) or "(top level)"


def _message(item: dict[str, Any], model: type[BaseModel], path: Sequence[str | int]) -> str:
    kind, context, value = item["type"], item.get("ctx", {}), item.get("input")
    shown = (
        "a block of keys" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)
    )
    if kind == "extra_forbidden":
        return f"unknown key; {suggest(str(path[-1]), _allowed_keys(model, path[:-1]))}"
    if kind == "missing":
        return "is required"
    if kind in ("literal_error", "enum"):
        allowed = [
            part.strip().strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(",")
        ]
        return f"{shown} is not allowed; {suggest(str(value), allowed)}"
    if kind == "union_tag_invalid":
        allowed = [part.strip().strip("'") for part in str(context["expected_tags"]).split(",")]
        return f"type '{context['tag']}' is unknown; {suggest(str(context['tag']), allowed)}"
    if kind == "union_tag_not_found":
        return "needs a 'type'"
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    return f"{item['msg'][0].lower()}{item['msg'][1:]}, got {shown}"


def _allowed_keys(model: type[BaseModel], path: Sequence[str | int]) -> set[str]:
    """The keys of the models that stand at ``path``, over all members of a union."""
    candidates: list[Any] = [model]
    for part in path:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                field = candidate.model_fields.get(str(part))
                following += _members(field.annotation) if field else []
            else:
                following += [arg for arg in typing.get_args(candidate) for arg in _members(arg)]
        candidates = following
    keys: set[str] = set()
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            keys |= set(candidate.model_fields)
    return keys


def _members(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for arg in typing.get_args(annotation) for member in _members(arg)]
    return [annotation]
