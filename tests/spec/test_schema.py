"""The committed editor schemas are those of the models, and accept the committed experiments."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from study.spec.schema import FOLDER, render_schemas
from study.spec.yaml import load_document

EXPERIMENTS = FOLDER.parent


@pytest.mark.parametrize(
    ("path", "text"), render_schemas().items(), ids=lambda value: getattr(value, "name", "")
)
def test_committed_schema_is_current(path: Path, text: str) -> None:
    assert path.read_text() == text, "run: python -m study.spec.schema"


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.name)
def test_committed_experiments_fit_the_schema(path: Path) -> None:
    document = load_document(path)
    if "experiments" not in document.data:
        jsonschema.validate(document.data, json.loads((FOLDER / "experiment.json").read_text()))


def test_schema_refuses_a_misspelled_setting() -> None:
    data = load_document(EXPERIMENTS / "table7.yaml").data
    data["settings"] = {"trainig": {"epochs": 3}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json.loads((FOLDER / "experiment.json").read_text()))
