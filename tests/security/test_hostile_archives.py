"""Archives that would write elsewhere, fill the disk or lie about themselves: each is refused by name, and harmless."""

from __future__ import annotations

import io
import json
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.errors import StoreError
from study.running.archive import layout, read
from study.running.archive.check import check_arrays, check_trial
from study.running.archive.merge import merge_archive
from study.running.archive.read import open_archive
from study.running.archive.write import write_archive
from study.running.store import Store
from tests.security.hostile import TRIAL, make_archive, make_manifest, make_zip


def refuse(tmp_path: Path, content: bytes) -> str:
    """What an import says of ``content``, which must not have written anything outside of its store."""
    home = tmp_path / "home"
    (home / "in").mkdir(parents=True, exist_ok=True)
    path = home / "in" / "archive.zip"
    path.write_bytes(content)
    store = Store.at(home / "store")
    with pytest.raises(StoreError) as caught:
        merge_archive(path, store)
    left = {item.relative_to(home).as_posix() for item in home.rglob("*")}
    assert left <= {"in", "in/archive.zip", "store", "store/lock"}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["home"]
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "../../evil.json",
        "/etc/evil.json",
        "trials/../../evil.json",
        "trials/0123456789abcdef/../../../evil.json",
        "C:\\evil.json",
        "..\\evil.json",
        "report/..\\..\\evil.json",
        "trials/0123456789abcdef/evil.py",
        "trials/0123456789ABCDEF/record.json",
        "trials/0123/record.json",
        "report/a/b/c/d.txt",
        "report/.bashrc",
        "report/con.txt",
        "report/ends.",
        "report/\x1b[2Jx",
        "specs/experiments/x.py",
        "lock",
        "mlflow.db",
        "data/x.mp4",
        "launch.json/",
        " launch.json",
        "launch.json ",
    ],
)
def test_names_outside_of_the_layout(tmp_path: Path, name: str) -> None:
    files = {"launch.json": b"{}", name: b"{}"}
    said = refuse(tmp_path, make_archive(files))
    assert said.startswith(f"{name!a}: ") or "is no file but a folder" in said
    assert any(
        reason in said
        for reason in (
            "its path leads out",
            "an archive holds no entry of this name",
            "is no file but a folder",
        )
    )


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFSOCK])
def test_links_devices_and_folders(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("launch.json")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    content = make_zip(
        [
            (zipfile.ZipInfo("manifest.json"), make_manifest({"launch.json": b"/etc/passwd"})),
            (info, b"/etc/passwd"),
        ]
    )
    assert refuse(tmp_path, content).startswith("'launch.json': is no file but a folder, a link or a device")


@pytest.mark.parametrize("second", ["launch.json", "report/A.txt"])
def test_names_that_stand_there_twice(tmp_path: Path, second: str) -> None:
    files = {"launch.json": b"{}", "report/a.txt": b"a"}
    entries = [(zipfile.ZipInfo(n), d) for n, d in {"manifest.json": make_manifest(files), **files}.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = make_zip([*entries, (zipfile.ZipInfo(second), b"other")])
    assert refuse(tmp_path, content) == f"'{second}': stands in the archive twice"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_decompression_bomb(tmp_path: Path, method: int) -> None:
    data = b"0" * 50_000_000
    info = zipfile.ZipInfo("report/bomb.txt")
    info.compress_type = method
    entries = [(zipfile.ZipInfo("manifest.json"), make_manifest({"report/bomb.txt": data})), (info, data)]
    content = make_zip(entries)
    assert len(content) < 100_000
    assert refuse(tmp_path, content) == "'report/bomb.txt': is compressed; nothing in an archive is"


def patch_directory(content: bytes, name: bytes, offset: int, fmt: str, value: int) -> bytes:
    """``content`` with one field of the directory entry of ``name`` changed."""
    data = bytearray(content)
    place = data.rindex(name) - 46
    assert data[place : place + 4] == b"PK\x01\x02"
    struct.pack_into(fmt, data, place + offset, value)
    return bytes(data)


def test_entries_that_overlap_to_claim_more_than_the_file_has(tmp_path: Path) -> None:
    files = {f"report/{number}.txt": b"x" * 1000 for number in range(20)}
    content = make_archive(files)
    first = content.index(b"PK\x03\x04", content.index(b"report/0.txt") - 40)
    for name in files:
        content = patch_directory(content, name.encode(), 42, "<L", first)
        content = patch_directory(content, name.encode(), 20, "<L", 10_000)
        content = patch_directory(content, name.encode(), 24, "<L", 10_000)
    assert "claim " in (said := refuse(tmp_path, content))
    assert "overlap" in said


def test_sizes_that_are_not_the_manifests(tmp_path: Path) -> None:
    files = {"launch.json": b"{}"}
    manifest = json.loads(make_manifest(files))
    manifest["files"]["launch.json"]["size"] = 3
    content = make_zip({"manifest.json": json.dumps(manifest).encode(), **files})
    assert refuse(tmp_path, content) == "launch.json: was changed: 2 bytes, the manifest says 3"


def test_entries_larger_than_their_kind_may_be(tmp_path: Path) -> None:
    said = refuse(tmp_path, make_archive({"launch.json": b" " * (2**20 + 1)}))
    assert said == "'launch.json': 1048577 bytes; at most 1048576 are allowed"


def test_too_many_entries_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "MAX_FILES", 10)
    assert "11 entries in " in refuse(tmp_path, make_archive({f"report/{n}": b"" for n in range(10)}))
    monkeypatch.setattr(read, "MAX_FILES", 11)
    assert "11 entries in " not in refuse(
        tmp_path, make_archive({f"report/{n}": b"" for n in range(10)}) + b"x"
    )


def test_a_directory_of_long_entries_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("launch.json")
    info.extra = b"\x99\x99\xf0\xff" + b"\0" * 0xFFF0
    content = make_zip(
        [(zipfile.ZipInfo("manifest.json"), make_manifest({"launch.json": b"{}"})), (info, b"{}")]
    )
    assert "2 entries in 65" in refuse(tmp_path, content)


@pytest.mark.parametrize("where", ["before", "behind"])
def test_bytes_before_and_behind(tmp_path: Path, where: str) -> None:
    content = make_archive({"launch.json": b"{}"})
    said = refuse(tmp_path, b"#!/bin/sh\n" + content if where == "before" else content + b"\0")
    assert "something" in said


def test_an_entry_that_is_not_in_the_manifest_and_one_that_is_only_there(tmp_path: Path) -> None:
    files = {"launch.json": b"{}"}
    extra = make_zip({"manifest.json": make_manifest(files), **files, "report/x": b""})
    assert refuse(tmp_path, extra) == "'report/x': is not in the manifest"
    assert refuse(tmp_path, make_zip({"manifest.json": make_manifest(files)})) == "'launch.json': is missing"
    assert "holds no manifest.json" in refuse(tmp_path, make_zip(files))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, "'version': Input should be 1"),
        ({"format": "x"}, "'format': Input should be 'sth-study archive'"),
        ({"request": {"study": "s\x1b[2J", "experiments": ["a"], "profile": "p"}}, "'request.study': "),
        ({"request": {"study": "s", "experiments": [], "profile": "p"}}, "'request.experiments': "),
        ({"trials": ["../../etc"]}, "'trials.0': "),
        ({"trials": ["0" * 16]}, "trials: it lists others than the archive holds"),
        ({"files": {"launch.json": {"size": -1, "sha256": "0" * 64}}}, "'files.launch.json.size': "),
        ({"extra": 1}, "'extra': Extra inputs are not permitted"),
    ],
)
def test_manifests_that_lie(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    assert f"manifest.json: {says}" in refuse(tmp_path, make_archive({"launch.json": b"{}"}, changes))


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "(file)"),
        (b"", "JSON"),
    ],
)
def test_manifests_that_are_none(tmp_path: Path, manifest: bytes, says: str) -> None:
    assert says in refuse(tmp_path, make_zip({"manifest.json": manifest}))


def test_trials_that_do_not_hold_together_are_not_taken(tmp_path: Path) -> None:
    said = refuse(tmp_path, make_archive({f"{TRIAL}record.json": b"{}", f"{TRIAL}trial.json": b"{}"}))
    assert said.startswith(f"{TRIAL}record.json: no valid record: ")
    assert refuse(
        tmp_path, make_archive({f"{TRIAL}scores.npz": b""})
    ) == f"{TRIAL}record.json: cannot be read: " + ("No such file or directory")


def make_npy(shape: tuple[int, ...], descr: str = "<f4", data: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + data


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"logits.npy": make_npy((10**6, 10**6))}, "claim more than"),
        ({"logits.npy": make_npy((2**62, 2**62))}, "claim more than"),
        ({"logits.npy": make_npy((1,), "|O", b"\x80\x04.")}, "Python objects"),
        ({"logits.npy": b"no array"}, "no readable scores"),
        ({"logits.npy": make_npy((-5,))}, "no readable scores"),
        ({"logits.npy": make_npy((4,), "<f4", b"\0" * 15)}, ""),
        ({"nothing": b""}, "no readable scores"),
    ],
)
def test_scores_that_would_fill_the_memory_or_run_code(
    tmp_path: Path, arrays: dict[str, bytes], says: str
) -> None:
    path = tmp_path / "scores.npz"
    path.write_bytes(make_zip(arrays))
    if says:
        with pytest.raises(StoreError, match=says):
            check_arrays(path)
    else:
        check_arrays(path)  # short data are found when they are read


def test_scores_that_inflate(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez_compressed(path, logits=np.zeros(40_000_000, np.float32))
    assert path.stat().st_size < 400_000
    with pytest.raises(StoreError, match="its arrays claim more than 67108864 bytes"):
        check_arrays(path)


def test_our_own_writer_refuses_what_our_reader_would(tmp_path: Path) -> None:
    request = layout.StudyRequest(study="s", experiments=("a",), profile="p")
    exporter = layout.Exporter(python="3", platform="x")
    with pytest.raises(StoreError, match="holds no entry of this name"):
        write_archive(tmp_path / "a.zip", {"../x": b""}, request=request, exporter=exporter)
    with pytest.raises(StoreError, match="takes at most 1048576"):
        write_archive(tmp_path / "a.zip", {"launch.json": b" " * 2**21}, request=request, exporter=exporter)
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        write_archive(
            tmp_path / "a.zip", {"launch.json": tmp_path / "none"}, request=request, exporter=exporter
        )
    assert list(tmp_path.iterdir()) == []


def test_more_entries_than_a_plain_zip_can_hold(tmp_path: Path) -> None:
    request = layout.StudyRequest(study="s", experiments=("a",), profile="p")
    exporter = layout.Exporter(python="3", platform="x")
    sources = {f"report/{number}": b"" for number in range(65_600)}
    write_archive(tmp_path / "a.zip", sources, request=request, exporter=exporter)
    with open_archive(tmp_path / "a.zip") as archive:
        assert len(archive.names) == 65_600


BASE = make_archive({"launch.json": b'{"last launch": "1 s"}', "report/a.txt": b"a" * 50})


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_archives_are_named_or_whole(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(BASE)
    for place, value in changes:
        data[place] = value
    path, out = tmp_path / "a.zip", tmp_path / "out"
    path.write_bytes(data)
    for item in sorted(out.rglob("*"), reverse=True):
        item.unlink() if item.is_file() else item.rmdir()
    out.mkdir(exist_ok=True)
    said = ""
    try:
        with open_archive(path) as archive:
            problems = archive.extract(out)
    except StoreError as error:
        said, problems = str(error), []
    if said:
        assert said.startswith(str(path))
    elif not problems:
        assert (out / "report" / "a.txt").read_bytes() == b"a" * 50


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(StoreError), open_archive(path):
        pass


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_as_scores_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "scores.npz"
    path.write_bytes(data)
    with pytest.raises(StoreError):
        check_arrays(path)


def test_a_folder_without_anything_is_no_trial(tmp_path: Path) -> None:
    (problem,) = check_trial(tmp_path)
    assert problem.startswith("record.json: ")
