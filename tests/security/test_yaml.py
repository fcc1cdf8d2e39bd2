"""Specifications that somebody means harm with: no objects, no expansion, no endless nesting, no factories."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from study.errors import SpecError
from study.spec.blocks import AnyBlock
from study.spec.datasets import AnyDataset
from study.spec.loading import load_study
from study.spec.trial import Trial, TrialSettings
from study.spec.yaml import MAX_BYTES, MAX_NODES, load_document, parse_document, parse_scalar

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "f.yaml:1: anchors and aliases are not allowed ('a'); write the values out"),
        ("a: *b", "f.yaml:1: anchors and aliases are not allowed ('b'); write the values out"),
        ("b: 1\nc: &x {a: 1}\nd: {<<: *x}", "f.yaml:2: anchors and aliases are not allowed ('x')"),
        ("&x a: 1", "f.yaml:1: anchors and aliases are not allowed ('x')"),
        (
            "a: !!python/object/apply:os.system [id]",
            "f.yaml:1: tags are not allowed ('tag:yaml.org,2002:python/object",
        ),
        ("a: !!python/name:os.system", "f.yaml:1: tags are not allowed"),
        ("!!python/object:x.Y {}", "f.yaml:1: tags are not allowed"),
        ("a:\n- !local 1", "f.yaml:2: tags are not allowed ('!local'); write a plain value"),
        ("%TAG ! tag:x,2000:\n---\na: !foo 1", "f.yaml:3: tags are not allowed ('tag:x,2000:foo')"),
        ("a: " + "[" * 5000, "f.yaml:1: nested more than 32 levels deep"),
        ("\n".join(" " * n + "a:" for n in range(400)), "f.yaml:33: nested more than 32 levels deep"),
        ("a: [" + "1," * MAX_NODES + "]", f"f.yaml:1: more than {MAX_NODES} keys and values"),
        ("a: {<<: {b: 1}}", "f.yaml:1: merge keys are not allowed"),
        ("? [a]\n: 1", "f.yaml:1: a key is a word or a number"),
        ("1: a\n'1': b", "f.yaml:2: found duplicate key '1', first in line 1"),
        ("a: 1\na: 2", "f.yaml:2: found duplicate key 'a', first in line 1"),
        ("a: 1\n---\nb: 1", "f.yaml:2: but found another document"),
        ("a: " + "9" * 5000, "f.yaml: not YAML: Exceeds the limit"),
        ("%YAML 9.9\n---\na: 1", "f.yaml:1: found incompatible YAML document"),
    ],
)
def test_what_is_refused_and_where(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_document(text, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.startswith(says)


def test_nesting_that_is_allowed() -> None:
    value = parse_document("a: " + "[" * 32 + "]" * 32, "f.yaml").data["a"]
    for _ in range(31):
        (value,) = value
    assert value == []


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1 #" + b"x" * MAX_BYTES)
    with pytest.raises(SpecError, match=f"more than {MAX_BYTES} bytes"):
        load_document(path)


@pytest.mark.parametrize(
    "shape", ["a: " + "[" * 249_000, "{" * 249_000, "- " * 120_000, "#" * 249_000, "? " * 120_000]
)
def test_no_shape_of_a_file_hangs(shape: str) -> None:
    begun = time.monotonic()
    with pytest.raises(SpecError):
        parse_document(shape, "f.yaml")
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "*a", "&a 1", "!!python/name:os.system", "2001-99-99", "9" * 5000]
)
def test_values_of_the_command_line_stay_text(text: str) -> None:
    assert parse_scalar(text) == text


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab1:-?[]{}&*!|>'\"%@`#,\n \t.~<="), max_size=60))
def test_any_signs_parse_to_plain_values_or_are_refused(text: str) -> None:
    try:
        data = parse_document(text, "f.yaml").data
    except SpecError:
        return
    assert_plain(data)


def assert_plain(value: object) -> None:
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            assert_plain(item)
    else:
        assert isinstance(value, str | int | float | bool | type(None)) or hasattr(value, "isoformat")


SOURCE = (EXPERIMENTS / "table8.yaml").read_text()
PLACES = st.integers(0, len(SOURCE))
SNIPPETS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["null", "[]", "{}", "- ", ": ", "1e999", ".nan", "-1", "9" * 21, "true", "*a", "&a ", "!!x ", "~", "\n", "\t",
         "'", '"', "1/0", "1/4", "arms:", "set: {model: {block: {type: sth, factory: os:system}}}"]
    ),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(PLACES, st.integers(0, 30), SNIPPETS), min_size=1, max_size=3))
def test_a_damaged_experiment_loads_or_is_refused_with_a_reason(
    tmp_path: Path, edits: list[tuple[int, int, str]]
) -> None:
    text = SOURCE
    for place, length, snippet in edits:
        text = text[:place] + snippet + text[place + length :]
    path = tmp_path / "table8.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems: tuple[str, ...] = ("none",)
    try:
        load_study([str(path)])
    except SpecError as error:
        problems = error.problems
    assert problems
    assert all(problems)


@pytest.mark.parametrize("value", ["os:system", "subprocess:run", "study.models.blocks.sth:build_sth"])
def test_no_specification_names_the_code_that_it_runs(tmp_path: Path, value: str) -> None:
    text = SOURCE.replace("set: {", f"set: {{model: {{block: {{factory: '{value}'}}}}, ", 1)
    if text == SOURCE:
        text = f"{SOURCE}settings: {{model: {{block: {{type: sth, factory: '{value}'}}}}}}\n"
    path = tmp_path / "table8.yaml"
    path.write_text(text)
    with pytest.raises(SpecError):
        load_study([str(path)])
    for override in (f"model.block.factory={value}", f"data.factory={value}", f"model.factory={value}"):
        with pytest.raises(SpecError, match="factory"):
            load_study(["table8"], overrides=[override])


def members(union: object) -> list[type]:
    """The classes of a discriminated union."""
    args = get_args(union)
    return [union] if isinstance(union, type) else [part for arg in args for part in members(arg)]


@pytest.mark.parametrize(
    "model", [m for m in [*members(AnyBlock), *members(AnyDataset)] if hasattr(m, "model_fields")]
)
def test_the_factory_of_an_option_is_fixed_by_its_class(model: type) -> None:
    name = model.model_fields["type"].annotation.__args__[0]  # type: ignore[attr-defined]
    assert "factory" not in model.model_fields  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="factory"):
        model.model_validate({"type": name, "factory": "os:system"})  # type: ignore[attr-defined]
    assert model.factory == "" or model.factory.startswith("study.")  # type: ignore[attr-defined]


def test_a_record_names_no_code_either() -> None:
    trial = Trial(TrialSettings(), 0, "0" * 64).to_json()
    trial["settings"]["data"]["factory"] = "os:system"
    with pytest.raises(ValidationError, match="factory"):
        Trial.from_json(trial)
