"""``verify``: every change is found and its file named."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.commands.archive import export_study, import_archive, verify
from study.errors import StoreError
from study.running.store import Store
from tests.commands.archived import first_trial, read_files, toy

ACCURACY = re.compile(rb'"val/top1": [0-9.]+')


def rewrite(path: Path, changes: dict[str, bytes], *, forge: bool = False) -> None:
    """Write the archive anew with other_store contents; ``forge`` brings the manifest in line with them."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()} | changes
    if forge:
        manifest = json.loads(content["manifest.json"])
        for name, data in changes.items():
            manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        content["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)


def test_an_unchanged_archive_and_store_hold_together(
    archived_store: Store, archive_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(archive_file, Path("nowhere")) == 0
    assert verify(None, archived_store.root) == 0
    assert capsys.readouterr().out.count("2 trials hold together") == 2


def flip(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


@pytest.mark.parametrize(
    "name", ["scores.npz", "record.json", "trial.json", "metrics.jsonl", "attempts.jsonl"]
)
def test_a_changed_file_is_named(
    archived_store: Store,
    archive_file: Path,
    other_store: Store,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = f"trials/{first_trial(archived_store)}/{name}"
    path = Path(shutil.copy(archive_file, tmp_path / "changed.zip"))
    with zipfile.ZipFile(path) as file:
        data = file.read(entry)
    rewrite(path, {entry: flip(data)})
    assert verify(path, Path("nowhere")) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if "changed.zip: trials" in line]
    assert problems == [f"{path}: {entry}: was changed: its SHA-256 is not the manifest's"]
    with pytest.raises(StoreError, match=re.escape(f"{entry}: was changed")):
        import_archive(path, other_store.root)
    assert not other_store.trials.exists()


def test_a_flipped_bit_in_the_file_itself_is_named(
    archived_store: Store, archive_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = f"trials/{first_trial(archived_store)}/scores.npz"
    data = bytearray(archive_file.read_bytes())
    with zipfile.ZipFile(archive_file) as file:
        data[file.getinfo(entry).header_offset + 200] ^= 1
    path = tmp_path / "rotten.zip"
    path.write_bytes(data)
    assert verify(path, Path("nowhere")) == 1
    assert f"{entry}: its content is damaged" in capsys.readouterr().out


def edit_record(change: Callable[[dict[str, object]], None]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        record = json.loads(data)
        change(record)
        return json.dumps(record).encode()

    return edit


def improve(record: dict[str, object]) -> None:
    record["metrics"]["1x1"]["top1"] = 0.99  # type: ignore[index]


def rename(record: dict[str, object]) -> None:
    record["trial"]["repeat"] = 1  # type: ignore[index]


def improve_scores(data: bytes) -> bytes:
    """Scores with which every video is right."""
    with np.load(io.BytesIO(data)) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["logits"][np.arange(24), :, arrays["labels"]] += 100
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "edit", "says"),
    [
        ("record.json", edit_record(improve), "record.json: metrics.'1x1'.top1: says 0.99, the stored scores give "),
        ("record.json", edit_record(rename), "record.json: trial: these settings are those of trial "),
        ("record.json", lambda data: data[:-20], "record.json: not JSON: "),
        ("record.json", lambda data: b'{"version": 1}', "record.json: no valid record: KeyError('trial')"),
        ("trial.json", lambda data: data.replace(b'"repeat": 0', b'"repeat": 1'), "trial.json: trial: these settings"),
        ("metrics.jsonl", lambda data: data.split(b"\n", 1)[1], "metrics.jsonl: its epochs are not 1 to 1, each once"),
        ("metrics.jsonl", lambda data: ACCURACY.sub(b'"val/top1": 0.75', data), "metrics.jsonl: val/top1: ends with"),
        ("scores.npz", improve_scores, "record.json: metrics.'1x1'.top1: says "),
        ("scores.npz", lambda data: b"PK\x03\x04", "scores.npz: no readable scores"),
    ],
)  # fmt: skip
def test_a_forger_who_mends_the_manifest_still_has_to_make_the_numbers_fit(
    archived_store: Store,
    archive_file: Path,
    other_store: Store,
    tmp_path: Path,
    name: str,
    edit: Callable[[bytes], bytes],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trial = first_trial(archived_store)
    path = Path(shutil.copy(archive_file, tmp_path / "forged.zip"))
    before = (archived_store.folder(trial) / name).read_bytes()
    assert edit(before) != before
    rewrite(path, {f"trials/{trial}/{name}": edit(before)}, forge=True)
    assert verify(path, Path("nowhere")) == 1
    assert f"{path}: trials/{trial}/{says}" in capsys.readouterr().out
    with pytest.raises(StoreError, match=re.escape(f"trials/{trial}/")):
        import_archive(path, other_store.root)
    # The same in a store, where there is no manifest at all.
    shutil.copytree(archived_store.trials, other_store.trials)
    (other_store.folder(trial) / name).write_bytes(edit(before))
    assert verify(None, other_store.root) == 1
    assert f"{other_store.root}: trials/{trial}/{says}" in capsys.readouterr().out


def test_an_edited_report_of_the_store_is_named(
    archived_store: Store, other_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(archived_store.trials, other_store.trials)
    shutil.copytree(archived_store.report, other_store.report)
    (other_store.report / "report.md").write_text("we are the best")
    assert verify(None, other_store.root) == 1
    assert (
        f"{other_store.root}: report/report.md: was changed after it was written" in capsys.readouterr().out
    )
    # Nor does such a report go into an archive.
    export_study(toy(), other_store.root, other_store.root / "study.zip")
    assert "note: the report is not in it" in capsys.readouterr().out


def test_a_sample_is_trained_again_and_compared(
    archived_store: Store, archive_file: Path, other_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_files(archived_store.trials)
    assert verify(None, archived_store.root, sample=1) == 0
    trial = first_trial(archived_store)
    said = capsys.readouterr().out
    assert f"trial {trial}: the same again, bit for bit\n" in said
    assert "1 of 1 trials trained again with the same result (2 have finished)" in said
    assert read_files(archived_store.trials) == before

    # A forger made all stored numbers fit each other: only training finds it.
    shutil.copytree(archived_store.trials, other_store.trials)
    folder = other_store.folder(trial)
    (folder / "scores.npz").write_bytes(improve_scores((folder / "scores.npz").read_bytes()))
    record = json.loads((folder / "record.json").read_bytes())
    assert verify(None, other_store.root) == 1
    found = re.findall(
        r"metrics\.'1x1'\.(\w+): says \S+, the stored scores give (\S+)", capsys.readouterr().out
    )
    record["metrics"]["1x1"] |= {name: float(value) for name, value in found}
    (folder / "record.json").write_text(json.dumps(record))
    line = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(re.sub(r'"val/top1": [0-9.]+', '"val/top1": 1.0', line))
    assert verify(None, other_store.root) == 0
    assert verify(None, other_store.root, sample=1) == 1
    said = capsys.readouterr().out
    assert f"trial {trial}: came out otherwise" in said
    assert "1x1 top1: 1.0, now " in said
    assert "scores: differ by up to 100" in said
    assert "neither device nor versions nor code differ" in said
