"""JSON schemas for editors, generated from the models: ``python -m study.spec.schema`` rewrites them.

An editor that understands ``# yaml-language-server: $schema=...`` then completes keys and shows each one's
sentence. Overlays are partial, so inside them nothing is required and the options of a block need
no ``type``.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from study.spec.base import Spec
from study.spec.experiment import ExperimentSpec, ProfileSpec
from study.spec.trial import TrialSettings

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "schemas"
OVERLAY_KEYS = ("settings", "set")


def build_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of ``model`` with its overlays described by the settings of a trial."""
    schema = _describe(model, model.model_json_schema())
    template = "#/$defs/settings.{model}"
    settings = _relax(_describe(TrialSettings, TrialSettings.model_json_schema(ref_template=template)))
    definitions = schema.setdefault("$defs", {})
    definitions |= {f"settings.{name}": value for name, value in settings.pop("$defs", {}).items()}
    definitions["settings"] = settings
    for holder in (schema, *definitions.values()):
        for key in OVERLAY_KEYS:
            field = holder.get("properties", {}).get(key)
            if isinstance(field, dict) and field.get("type") == "object":
                holder["properties"][key] = {
                    "$ref": "#/$defs/settings",
                    "description": field.get("description", ""),
                }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _describe(model: type[BaseModel], schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` of ``model`` with the docstrings of fields as their descriptions."""
    # Other packages, and who adds blocks of their own, may have classes of the same names.
    home = __name__.rpartition(".")[0]
    classes = {found.__name__: found for found in _list_models(Spec) if found.__module__.startswith(home)}
    for name, holder in {**schema.get("$defs", {}), model.__name__: schema}.items():
        # A base's docstrings hold for the classes below it that do not declare the field anew.
        for base in reversed(classes[name].__mro__ if name in classes else ()):
            for field, text in _read_docstrings(base) if issubclass(base, Spec) else ():
                if text and field in holder.get("properties", {}):
                    holder["properties"][field]["description"] = text
                elif field in holder.get("properties", {}):
                    holder["properties"][field].pop("description", None)
    return schema


def _list_models(base: type[Spec]) -> Iterator[type[Spec]]:
    for model in base.__subclasses__():
        yield model
        yield from _list_models(model)


def _read_docstrings(model: type[Spec]) -> Iterator[tuple[str, str]]:
    """Name and docstring of each field that the class declares; an empty text for none."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    for field, after in pairwise([*definition.body, None]):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                yield name, ""


def _relax(schema: Any) -> Any:
    """``schema`` with nothing required and without discriminators, since an overlay sets a part only."""
    if isinstance(schema, dict):
        kept = {
            key: _relax(value) for key, value in schema.items() if key not in ("required", "discriminator")
        }
        if "oneOf" in kept:
            kept["anyOf"] = kept.pop("oneOf")
        return kept
    return [_relax(item) for item in schema] if isinstance(schema, list) else schema


def render_schemas() -> dict[Path, str]:
    """The text of each schema file."""
    models: dict[str, type[BaseModel]] = {"experiment": ExperimentSpec, "profile": ProfileSpec}
    return {
        FOLDER / f"{name}.json": json.dumps(build_schema(model), indent=1, sort_keys=True) + "\n"
        for name, model in models.items()
    }


if __name__ == "__main__":
    for path, text in render_schemas().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
