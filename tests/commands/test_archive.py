"""``export``, ``import`` and ``verify``: the same study elsewhere, and every change found."""

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
from typer.testing import CliRunner

from study.cli import app
from study.commands import archive as commands
from study.commands.archive import export_study, import_archive, verify
from study.commands.launch import LaunchOptions, launch
from study.commands.report import write_report
from study.errors import DataError, StoreError
from study.running import plan as planning
from study.running.plan import State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study
from tests.running.conftest import TOY

RUN_ID = re.compile(rb"runs/[0-9a-f]{32}")


def toy() -> Study:
    return load_study(["table8"], overrides=TOY)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Store:
    """A store in which Table 8 was trained, with its report."""
    root = tmp_path_factory.mktemp("archive") / "runs"
    root.mkdir()
    (root / "data").symlink_to(toy_data)
    assert launch(toy(), LaunchOptions(storage=root, engine="inline")) == 0
    return Store.at(root)


@pytest.fixture(scope="module")
def exported(launched: Store) -> Path:
    """Its archive."""
    path = launched.root.parent / "study.zip"
    export_study(toy(), launched.root, path)
    return path


@pytest.fixture
def other(tmp_path: Path, toy_data: Path) -> Store:
    """An empty store elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "data").symlink_to(toy_data)
    return Store.at(tmp_path / "elsewhere")


def first_trial(store: Store) -> str:
    return sorted(path.name for path in store.trials.iterdir())[0]


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def rewrite(path: Path, changes: dict[str, bytes], *, forge: bool = False) -> None:
    """Write the archive anew with other contents; ``forge`` brings the manifest in line with them."""
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


def test_the_same_study_gives_the_same_bytes_and_holds_what_it_should(
    launched: Store, exported: Path, tmp_path: Path
) -> None:
    export_study(toy(), launched.root, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes()
    with zipfile.ZipFile(exported) as file:
        names = file.namelist()
        manifest = json.loads(file.read("manifest.json"))
        resolved = json.loads(file.read("specs/resolved.json"))
        for name in names:
            info = file.getinfo(name)
            assert (info.date_time, info.compress_type) == ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)
    ids = sorted(path.name for path in launched.trials.iterdir())
    trial_files = ["attempts.jsonl", "metrics.jsonl", "record.json", "scores.npz", "trial.json"]
    assert [n for n in names if n.startswith("trials/")] == [
        f"trials/{i}/{n}" for i in ids for n in trial_files
    ]
    assert names[0] == "manifest.json"
    assert {"launch.json", "report/report.html", "report/report.json", "specs/profiles/laptop.yaml"} <= set(
        names
    )
    assert sorted(manifest["files"]) == sorted(names[1:])
    for name, mark in manifest["files"].items():
        with zipfile.ZipFile(exported) as file:
            data = file.read(name)
        assert mark == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert manifest["request"] == {
        "study": toy().name,
        "experiments": ["table8"],
        "profile": "laptop",
        "overrides": list(TOY),
        "repeats": None,
    }
    assert manifest["exporter"]["packages"]["numpy"] == np.__version__
    assert resolved["table8"]["arms"]["Fixed"]["training"]["epochs"] == 2


def test_checkpoints_only_when_asked_for(
    launched: Store, exported: Path, tmp_path: Path, other: Store
) -> None:
    with zipfile.ZipFile(exported) as file:
        assert not [name for name in file.namelist() if name.endswith("checkpoint.pt")]
    export_study(toy(), launched.root, tmp_path / "weights.zip", checkpoints=True)
    import_archive(tmp_path / "weights.zip", other.root)
    trial = first_trial(launched)
    assert read_files(other.folder(trial)) == read_files(launched.folder(trial))
    assert "checkpoint.pt" in read_files(other.folder(trial))


def test_elsewhere_the_report_is_the_same_but_for_the_ids_of_mlflow_runs(
    launched: Store, exported: Path, other: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    merged = import_archive(exported, other.root)
    assert (len(merged.added), merged.kept) == (2, [])
    said = capsys.readouterr().out
    assert "2 trials added, 0 were there already" in said
    settings = " ".join(f"--set {text}" for text in TOY)
    command = f"uv run run_study.py report table8 --profile laptop {settings} --storage {other.root}"
    assert f"next: {command}\n" in said
    assert [planned.state for planned in make_plan(toy(), other).trials] == [State.DONE, State.DONE]
    write_report(toy(), other.root, tracking_uri=None, output=None)
    before, after = read_files(launched.report), read_files(other.report)
    assert sorted(before) == sorted(after)
    differing = {name for name in before if before[name] != after[name]}
    # MLflow draws the ids of runs at random, the report links to runs, and its manifest holds digests of the pages.
    assert differing == {"report.html", "report.md", "report.json", "tables/table8.md"}
    for name in differing - {"report.json"}:
        assert len(RUN_ID.findall(before[name])) >= 2
        assert RUN_ID.sub(b"", before[name]) == RUN_ID.sub(b"", after[name])
    manifests = [json.loads(files["report.json"]) for files in (before, after)]
    for manifest in manifests:
        for name in differing - {"report.json"}:
            del manifest["files"][name]
    assert manifests[0] == manifests[1]
    assert read_files(merged.folder / "report") == before


def test_what_is_there_stays_and_another_record_is_an_error_that_names_both(
    launched: Store, exported: Path, other: Store
) -> None:
    import_archive(exported, other.root)
    before = {path: path.stat().st_mtime_ns for path in other.trials.rglob("*")}
    merged = import_archive(exported, other.root)
    assert (merged.added, len(merged.kept)) == ([], 2)
    assert {path: path.stat().st_mtime_ns for path in other.trials.rglob("*")} == before

    first, second = sorted(path.name for path in other.trials.iterdir())
    shutil.rmtree(other.folder(second))
    path = other.folder(first) / "record.json"
    path.write_text(path.read_text().replace('"ended_at":', '"ended_at": ', 1))
    record = path.read_bytes()
    with pytest.raises(
        StoreError, match=f"study.zip: trials/{first}/record.json: differs from {re.escape(str(path))}"
    ):
        import_archive(exported, other.root)
    assert path.read_bytes() == record
    # All or nothing: the other trial was not taken over either, and nothing is left lying about.
    assert [path.name for path in other.trials.iterdir()] == [first]
    assert not list(other.root.glob(".import-*"))


def test_a_trial_that_has_begun_here_is_not_mixed_with_the_imported_one(exported: Path, other: Store) -> None:
    with zipfile.ZipFile(exported) as file:
        trial = json.loads(file.read("manifest.json"))["trials"][0]
    other.folder(trial).mkdir(parents=True)
    (other.folder(trial) / "checkpoint.pt").write_bytes(b"half way")
    with pytest.raises(StoreError, match="has begun and has no record"):
        import_archive(exported, other.root)
    assert [path.name for path in other.folder(trial).iterdir()] == ["checkpoint.pt"]


def test_an_import_waits_for_no_launch(exported: Path, other: Store) -> None:
    with other.locked(), pytest.raises(StoreError, match="another launch is running"):
        import_archive(exported, other.root)


def test_what_an_interrupted_import_left_is_cleared_away(exported: Path, other: Store) -> None:
    (other.root / ".import-dead" / "trials").mkdir(parents=True)
    import_archive(exported, other.root)
    assert not list(other.root.glob(".import-*"))


def test_an_unchanged_archive_and_store_hold_together(
    launched: Store, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(exported, Path("nowhere")) == 0
    assert verify(None, launched.root) == 0
    assert capsys.readouterr().out.count("2 trials hold together") == 2


def flip(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


@pytest.mark.parametrize(
    "name", ["scores.npz", "record.json", "trial.json", "metrics.jsonl", "attempts.jsonl"]
)
def test_a_changed_file_is_named(
    launched: Store,
    exported: Path,
    other: Store,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = f"trials/{first_trial(launched)}/{name}"
    path = Path(shutil.copy(exported, tmp_path / "changed.zip"))
    with zipfile.ZipFile(path) as file:
        data = file.read(entry)
    rewrite(path, {entry: flip(data)})
    assert verify(path, Path("nowhere")) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if "changed.zip: trials" in line]
    assert problems == [f"{path}: {entry}: was changed: its SHA-256 is not the manifest's"]
    with pytest.raises(StoreError, match=re.escape(f"{entry}: was changed")):
        import_archive(path, other.root)
    assert not other.trials.exists()


def test_a_flipped_bit_in_the_file_itself_is_named(
    launched: Store, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = f"trials/{first_trial(launched)}/scores.npz"
    data = bytearray(exported.read_bytes())
    with zipfile.ZipFile(exported) as file:
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
        ("metrics.jsonl", lambda data: re.sub(rb'"val/top1": [0-9.]+', b'"val/top1": 0.75', data), "metrics.jsonl: val"),
        ("scores.npz", improve_scores, "record.json: metrics.'1x1'.top1: says "),
        ("scores.npz", lambda data: b"PK\x03\x04", "scores.npz: no readable scores"),
    ],
)  # fmt: skip
def test_a_forger_who_mends_the_manifest_still_has_to_make_the_numbers_fit(
    launched: Store,
    exported: Path,
    other: Store,
    tmp_path: Path,
    name: str,
    edit: Callable[[bytes], bytes],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trial = first_trial(launched)
    path = Path(shutil.copy(exported, tmp_path / "forged.zip"))
    before = (launched.folder(trial) / name).read_bytes()
    assert edit(before) != before
    rewrite(path, {f"trials/{trial}/{name}": edit(before)}, forge=True)
    assert verify(path, Path("nowhere")) == 1
    assert f"{path}: trials/{trial}/{says}" in capsys.readouterr().out
    with pytest.raises(StoreError, match=re.escape(f"trials/{trial}/")):
        import_archive(path, other.root)
    # The same in a store, where there is no manifest at all.
    shutil.copytree(launched.trials, other.trials)
    (other.folder(trial) / name).write_bytes(edit(before))
    assert verify(None, other.root) == 1
    assert f"{other.root}: trials/{trial}/{says}" in capsys.readouterr().out


def test_an_edited_report_of_the_store_is_named(
    launched: Store, other: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(launched.trials, other.trials)
    shutil.copytree(launched.report, other.report)
    (other.report / "report.md").write_text("we are the best")
    assert verify(None, other.root) == 1
    assert f"{other.root}: report/report.md: was changed after it was written" in capsys.readouterr().out
    # Nor does such a report go into an archive.
    export_study(toy(), other.root, other.root / "study.zip")
    assert "note: the report is not in it" in capsys.readouterr().out


def test_a_sample_is_trained_again_and_compared(
    launched: Store, exported: Path, other: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_files(launched.trials)
    assert verify(None, launched.root, sample=1) == 0
    trial = first_trial(launched)
    said = capsys.readouterr().out
    assert f"trial {trial}: the same again, bit for bit\n" in said
    assert "1 of 1 trials trained again with the same result (2 have finished)" in said
    assert read_files(launched.trials) == before

    # A forger made all stored numbers fit each other: only training finds it.
    shutil.copytree(launched.trials, other.trials)
    folder = other.folder(trial)
    (folder / "scores.npz").write_bytes(improve_scores((folder / "scores.npz").read_bytes()))
    record = json.loads((folder / "record.json").read_bytes())
    assert commands.verify(None, other.root) == 1
    found = re.findall(
        r"metrics\.'1x1'\.(\w+): says \S+, the stored scores give (\S+)", capsys.readouterr().out
    )
    record["metrics"]["1x1"] |= {name: float(value) for name, value in found}
    (folder / "record.json").write_text(json.dumps(record))
    line = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(re.sub(r'"val/top1": [0-9.]+', '"val/top1": 1.0', line))
    assert verify(None, other.root) == 0
    assert verify(None, other.root, sample=1) == 1
    said = capsys.readouterr().out
    assert f"trial {trial}: came out otherwise" in said
    assert "1x1 top1: 1.0, now " in said
    assert "scores: differ by up to 100" in said
    assert "neither device nor versions nor code differ" in said


def test_without_its_videos_an_imported_study_is_planned_from_its_records(
    launched: Store, exported: Path, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_archive(exported, other.root)

    def refuse(spec: object, cache: Path) -> None:
        raise DataError("the videos are not at hand")

    monkeypatch.setattr(planning, "open_dataset", refuse)
    plan = make_plan(toy(), other)
    assert plan.warnings == ["the videos are not at hand"]
    assert [planned.state for planned in plan.trials] == [State.DONE, State.DONE]
    # A trial that has no like among the records stays unknown, and nothing is trained on a guess.
    others = load_study(["table8"], overrides=[*TOY, "data.seed=5"])
    assert {p.trial.data_digest for p in make_plan(others, other).trials} == {"unavailable"}
    with pytest.raises(DataError, match="not at hand"):
        launch(toy(), LaunchOptions(storage=other.root, engine="inline"))


def test_unfinished_trials_are_left_out_and_counted(
    launched: Store, other: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(launched.trials, other.trials)
    (other.folder(first_trial(other)) / "record.json").unlink()
    manifest = export_study(toy(), other.root, other.root / "part.zip")
    assert (len(manifest.trials), manifest.missing) == (1, 1)
    assert "1 trials of the request have not finished" in capsys.readouterr().out
    with pytest.raises(StoreError, match="exists already"):
        export_study(toy(), other.root, other.root / "part.zip")
    shutil.rmtree(other.trials)
    with pytest.raises(StoreError, match="nothing to export"):
        export_study(toy(), other.root, other.root / "none.zip")


def test_an_experiment_of_ones_own_goes_along(launched: Store, other: Store, tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "experiments" / "table8.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("name: table8", "name: mine"))
    study = load_study([str(tmp_path / "mine.yaml")], overrides=TOY)
    export_study(study, launched.root, tmp_path / "mine.zip")
    merged = import_archive(tmp_path / "mine.zip", other.root)
    brought = merged.folder / "specs" / "experiments" / "mine.yaml"
    assert f"report {brought} --profile laptop" in commands._suggest_report(merged, other.root)
    assert make_plan(load_study([str(brought)], overrides=TOY), other).count(State.DONE) == 2


def test_the_commands(launched: Store, exported: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    settings = [word for text in TOY for word in ("--set", text)]
    target = str(tmp_path / "cli.zip")
    assert (
        runner.invoke(app, ["export", target, "table8", *settings, "--storage", str(launched.root)]).exit_code
        == 0
    )
    assert Path(target).read_bytes() == exported.read_bytes()
    assert (
        runner.invoke(app, ["import", target, "--storage", str(tmp_path / "s"), "--no-videos"]).exit_code == 0
    )
    assert runner.invoke(app, ["verify", target]).exit_code == 0
    assert runner.invoke(app, ["verify", "--storage", str(tmp_path / "s")]).exit_code == 0
    result = runner.invoke(app, ["verify", str(tmp_path / "none.zip")])
    assert isinstance(result.exception, StoreError)
