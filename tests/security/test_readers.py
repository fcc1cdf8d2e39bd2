"""Every reader of files that may come from anybody: an error that names the file, or a value; never a traceback."""

from __future__ import annotations

import ast
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.data.datasets import something_v2
from study.data.flow.compute import load_raft
from study.data.health.manifest_file import read_manifest
from study.data.list_file import read_names, read_rows
from study.errors import DataError, StoreError, StudyError, WeightsError
from study.models.weights import open_weights
from study.running.archive.check import check_trial, load_checked_scores
from study.running.attempts import read_attempts
from study.running.store import Store
from study.scores import load_scores
from study.spec.json_file import MAX_BYTES, read_json
from study.spec.model import InitSpec
from study.spec.record import TrialRecord, load_record
from study.tracking.folder import read_metrics, read_start
from study.training.checkpoint import load_checkpoint
from tests.running.conftest import toy_trial
from tests.security.hostile import Bomb, make_zip

PACKAGE = Path(__file__).resolve().parents[2] / "study"
FUZZ = settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])

DEEP = b"[" * 100_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


ENVIRONMENT = {
    "python": "3",
    "platform": "x",
    "device": "cpu",
    "versions": {},
    "git_commit": None,
    "threads": 1,
}


def record_json() -> dict[str, object]:
    return {
        "version": 2,
        "trial_id": "0" * 16,
        "status": "completed",
        "trial": {},
        "environment": ENVIRONMENT,
        "code": {"digest": "0", "modules": {}},
        "started_at": 0.0,
        "ended_at": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (DEEP, "nested too deeply"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[]", "no valid record"),
        (b'{"version": 1}', "no valid record"),
        (b'{"version": 1, "trial": 3}', "no valid record"),
        (b'{"version": 1, "trial": {"settings": {"evaluation": {}, "clip": []}}}', "no valid record"),
        (b'{"version": 1e400}', "no valid record"),
        (b"9" * 5000, "not JSON"),
        (b" " * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
    ],
)
def test_records_that_are_none(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=says) as caught:
        load_record(path)
    assert str(caught.value).startswith(f"{path}: ")


@FUZZ
@given(
    key=st.sampled_from(sorted(record_json())),
    value=JSON,
    more=st.dictionaries(st.text(max_size=5), JSON, max_size=1),
)
def test_any_record_is_one_or_is_refused(
    tmp_path: Path, key: str, value: object, more: dict[str, object]
) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record_json() | {key: value} | more))
    try:
        assert isinstance(load_record(path), TrialRecord)
    except StoreError as error:
        assert str(path) in str(error)  # noqa: PT017
    (tmp_path / "scores.npz").unlink(missing_ok=True)
    assert check_trial(tmp_path)


VALUES = st.dictionaries(st.text(max_size=5), JSON, max_size=2)
LINE = st.fixed_dictionaries({}, optional={"step": JSON, "timestamp": JSON, "metrics": VALUES | JSON})


@FUZZ
@given(st.lists(LINE.map(lambda line: json.dumps(line).encode()) | st.binary(max_size=30), max_size=3))
def test_any_lines_of_metrics_are_read_or_refused(tmp_path: Path, lines: list[bytes]) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "attempts.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "trial.json").write_bytes(lines[0] if lines else b"")
    for read in (read_metrics, read_start):
        try:
            read(tmp_path)
        except StoreError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "line", [b'{"step": 1e999, "timestamp": 0, "metrics": {}}', DEEP, b"{}", b"3", b"\xff"]
)
def test_lines_of_metrics_that_are_none(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(line + b"\n")
    with pytest.raises(StoreError, match=r"metrics\.jsonl:1: no line of metrics"):
        read_metrics(tmp_path)


@pytest.mark.parametrize(
    "line", [b"[1]", b'{"attempt": "x"}', b'{"attempt": 1, "evil": 2}', DEEP, b"\xff", b"null"]
)
def test_lines_of_attempts_that_are_none_are_left_out(tmp_path: Path, line: bytes) -> None:
    good = b'{"attempt": 1, "started_at": 0.0, "host": "h", "pid": 1}'
    (tmp_path / "attempts.jsonl").write_bytes(line + b"\n" + good + b"\n")
    assert [attempt.number for attempt in read_attempts(tmp_path)] == [1]


READERS: dict[str, Callable[[Path], object]] = {
    "names": read_names,
    "tsn": lambda path: read_rows(path, "tsn"),
    "csv": lambda path: read_rows(path, "csv"),
    "manifest": read_manifest,
}


@pytest.mark.parametrize("reader", sorted(READERS))
@FUZZ
@given(
    content=st.binary(max_size=80)
    | st.text(st.sampled_from("ab1/ ,\"'\n\r\t#\0\x1c\u2028é"), max_size=80).map(str.encode)
    | st.text(st.sampled_from('ab1/ ,"\n'), max_size=60).map(lambda text: f"path,label\n{text}".encode())
    | st.text(st.sampled_from('ab1/ ,"\n'), max_size=60).map(
        lambda text: f'# {{"version": 1}}\n{text}'.encode()
    )
)
def test_any_list_is_read_or_refused(tmp_path: Path, reader: str, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    try:
        READERS[reader](path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("reader", sorted(set(READERS) - {"manifest"}))
@pytest.mark.parametrize(
    "content", [b"a" * 2_000_000, b"a b 1\n" * 100_000, b'path,label\n"' + b"x" * 500_000]
)
def test_large_lists_neither_hang_nor_break(tmp_path: Path, reader: str, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    try:
        READERS[reader](path)
    except DataError as error:
        assert len(str(error)) < 3_000_000  # noqa: PT017


@pytest.mark.parametrize("content", [b"\r\x01", b"a" * 200_000])
def test_a_first_line_that_is_no_csv(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_rows(path, "auto")


def test_a_manifest_whose_first_line_is_nested_deeply(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(b"#" + DEEP + b"\n")
    with pytest.raises(DataError):
        read_manifest(path)


def test_a_list_of_something_v2_with_a_number_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(b"[" + b"9" * 5000 + b"]")
    with pytest.raises(DataError):
        something_v2._read_json(path, list)


PICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
"""Never imported: what one process hands to another of its own is JSON too."""


def test_no_call_unpickles_and_none_runs_text_as_code() -> None:
    """Every ``torch.load`` is restricted to tensors, every ``np.load`` to plain arrays; nothing else loads objects."""
    loads = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {
                    getattr(node, "module", "") or ""
                }
                assert not names & PICKLERS, path
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            options = {key.arg: ast.unparse(key.value) for key in node.keywords}
            if called == "torch.load":
                assert options.get("weights_only") == "True", path
                loads += 1
            if called in ("np.load", "numpy.load"):
                assert options.get("allow_pickle") == "False", path
                loads += 1
            assert called not in ("eval", "exec", "pd.read_pickle", "torch.hub.load", "yaml.load"), path
            assert "trust_remote_code" not in options, path
            assert options.get("shell") != "True", path
    assert loads == 4


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Bomb, Path]:
    return Bomb(tmp_path / "ran"), tmp_path / "ran"


def test_a_pickle_that_runs_code_is_refused_as_a_checkpoint(tmp_path: Path, bomb: tuple[Bomb, Path]) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"version": 1, "epoch": 1, "model": bomb[0]}, path)
    with pytest.raises(StoreError, match="not a readable checkpoint"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(bomb[0]))
    with pytest.raises(StoreError, match="not a readable checkpoint"):
        load_checkpoint(path)
    assert not bomb[1].exists()


def test_a_pickle_that_runs_code_is_refused_as_weights(tmp_path: Path, bomb: tuple[Bomb, Path]) -> None:
    path = tmp_path / "weights.pth"
    for content in ({"conv1.weight": bomb[0]}, bomb[0]):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="no file of weights that is safe to load"):
            open_weights(InitSpec(weights=path), "resnet18", ("fc.weight", "fc.bias"))
        with pytest.raises(DataError, match="no readable state dict"):
            load_raft(path)
    assert not bomb[1].exists()


def test_a_pickle_that_runs_code_is_refused_as_scores(tmp_path: Path, bomb: tuple[Bomb, Path]) -> None:
    path = tmp_path / "scores.npz"
    objects = np.array([bomb[0]], dtype=object)
    np.savez(path, logits=objects, labels=objects, video_ids=objects, views=objects, shown=objects)
    with pytest.raises(StoreError, match="no readable scores"):
        load_scores(path, {})
    with pytest.raises(StoreError, match="Python objects"):
        load_checked_scores(tmp_path, TrialRecord.model_validate(record_json()))
    path.write_bytes(pickle.dumps(bomb[0]))
    with pytest.raises(StoreError, match="no readable scores"):
        load_scores(path, {})
    assert not bomb[1].exists()


@pytest.mark.parametrize(
    "arrays",
    [
        {"logits": np.zeros((2, 1), np.float32)},
        {"logits": np.zeros((2, 1, 3), np.float64)},
        {"labels": np.array([0, 3])},
        {"labels": np.array([-1, 0])},
        {"labels": np.array([0.0, 1.0])},
        {"shown": np.zeros((2, 2), np.int64)},
        {"views": np.array(["a", "b"])},
        {"video_ids": np.array(["a"])},
        {"logits": np.zeros((0, 1, 3), np.float32), "labels": np.zeros(0, np.int64), "video_ids": np.zeros(0, "U1"),
         "shown": np.zeros((0, 1), np.int64)},
    ],
)  # fmt: skip
def test_scores_whose_parts_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    good = {
        "logits": np.zeros((2, 1, 3), np.float32),
        "labels": np.array([0, 1]),
        "video_ids": np.array(["a", "b"]),
        "views": np.array(["a"]),
        "shown": np.zeros((2, 1), np.int64),
    }
    record = TrialRecord.model_validate(record_json())
    np.savez(tmp_path / "scores.npz", **good)
    assert load_checked_scores(tmp_path, record) is not None
    np.savez(tmp_path / "scores.npz", **(good | arrays))
    with pytest.raises(StoreError, match="no scores: logits"):
        load_checked_scores(tmp_path, record)


def npz() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(
        out,
        logits=np.zeros((2, 1, 3), np.float32),
        labels=np.array([0, 1]),
        video_ids=np.array(["a", "b"]),
        views=np.array(["a"]),
        shown=np.zeros((2, 1), np.int64),
    )
    return out.getvalue()


NPZ = npz()


@FUZZ
@given(st.lists(st.tuples(st.integers(0, len(NPZ) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_scores_are_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(NPZ)
    for place, value in changes:
        data[place] = value
    (tmp_path / "scores.npz").write_bytes(data)
    try:
        load_checked_scores(tmp_path, TrialRecord.model_validate(record_json()))
    except StoreError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017


def test_an_empty_archive_is_no_set_of_scores(tmp_path: Path) -> None:
    (tmp_path / "scores.npz").write_bytes(make_zip({}))
    with pytest.raises(StudyError):
        load_checked_scores(tmp_path, TrialRecord.model_validate(record_json()))


def test_json_files_are_read_up_to_their_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"[1]".ljust(10))
    assert read_json(path, 10) == [1]
    with pytest.raises(StoreError, match="more than 9 bytes"):
        read_json(path, 9)
    with pytest.raises(StoreError, match="cannot be read"):
        read_json(tmp_path)


def test_a_record_with_settings_of_another_trial_is_found(store: Store) -> None:
    trial = toy_trial(store).trial
    folder = store.folder(trial.trial_id)
    folder.mkdir(parents=True)
    record = record_json() | {"trial_id": trial.trial_id, "trial": trial.to_json(), "status": "failed"}
    (folder / "trial.json").write_text(json.dumps({"trial": trial.to_json(), "started_at": 0.0}))
    (folder / "record.json").write_text(json.dumps(record | {"failure": {"kind": "E", "message": "m"}}))
    attempt = {"attempt": 1, "started_at": 1, "host": "h", "pid": 1}
    (folder / "attempts.jsonl").write_text(json.dumps(attempt))
    assert check_trial(folder) == []
    for name, value, says in (
        ("host", 1, "valid string"),
        ("pid", "1", "valid integer"),
        ("started_at", "x", "number"),
    ):
        (folder / "attempts.jsonl").write_text(json.dumps(attempt | {name: value}))
        (problem,) = check_trial(folder)
        assert problem.startswith(f"attempts.jsonl: attempt 0.{name}: ")
        assert says in problem
    (folder / "attempts.jsonl").unlink()
    record["trial"]["settings"]["training"]["epochs"] = 99  # type: ignore[index]
    (folder / "record.json").write_text(json.dumps(record | {"failure": {"kind": "E", "message": "m"}}))
    (problem,) = check_trial(folder)
    assert problem.startswith("record.json: trial: these settings are those of trial ")
