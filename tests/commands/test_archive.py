"""``export`` and ``import``: the same study elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from study.cli import app
from study.commands import archive as commands
from study.commands.archive import export_study, import_archive
from study.commands.launch import LaunchOptions, launch
from study.commands.report import write_report
from study.errors import DataError, StoreError
from study.running import plan as planning
from study.running.plan import State, make_plan
from study.running.store import Store
from study.spec.loading import load_study
from tests.commands.archived import first_trial, read_files, toy
from tests.running.conftest import TOY

TRIAL_FILES = ["attempts.jsonl", "metrics.jsonl", "record.json", "scores.npz", "trial.json"]
RUN_ID = re.compile(rb"runs/[0-9a-f]{32}")


def test_the_same_study_gives_the_same_bytes_and_holds_what_it_should(
    archived_store: Store, archive_file: Path, tmp_path: Path
) -> None:
    export_study(toy(), archived_store.root, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == archive_file.read_bytes()
    with zipfile.ZipFile(archive_file) as file:
        names = file.namelist()
        manifest = json.loads(file.read("manifest.json"))
        resolved = json.loads(file.read("specs/resolved.json"))
        for name in names:
            info = file.getinfo(name)
            assert (info.date_time, info.compress_type) == ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)
    ids = sorted(path.name for path in archived_store.trials.iterdir())
    assert [n for n in names if n.startswith("trials/")] == [
        f"trials/{i}/{n}" for i in ids for n in TRIAL_FILES
    ]
    assert names[0] == "manifest.json"
    assert {"launch.json", "report/report.html", "report/report.json", "specs/profiles/laptop.yaml"} <= set(
        names
    )
    assert sorted(manifest["files"]) == sorted(names[1:])
    for name, mark in manifest["files"].items():
        with zipfile.ZipFile(archive_file) as file:
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
    archived_store: Store, archive_file: Path, tmp_path: Path, other_store: Store
) -> None:
    with zipfile.ZipFile(archive_file) as file:
        assert not [name for name in file.namelist() if name.endswith("checkpoint.pt")]
    export_study(toy(), archived_store.root, tmp_path / "weights.zip", checkpoints=True)
    import_archive(tmp_path / "weights.zip", other_store.root)
    trial = first_trial(archived_store)
    before, after = read_files(archived_store.folder(trial)), read_files(other_store.folder(trial))
    assert sorted(after) == sorted([*TRIAL_FILES, "checkpoint.pt"])
    assert after == {name: before[name] for name in after}


def test_elsewhere_the_report_is_the_same_but_for_the_ids_of_mlflow_runs(
    archived_store: Store, archive_file: Path, other_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    merged = import_archive(archive_file, other_store.root)
    assert (len(merged.added), merged.kept) == (2, [])
    said = capsys.readouterr().out
    assert "2 trials added, 0 were there already" in said
    settings = " ".join(f"--set {text}" for text in TOY)
    command = f"uv run run_study.py report table8 --profile laptop {settings} --storage {other_store.root}"
    assert f"next: {command}\n" in said
    assert [planned.state for planned in make_plan(toy(), other_store).trials] == [State.DONE, State.DONE]
    write_report(toy(), other_store.root, tracking_uri=None, output=None)
    before, after = read_files(archived_store.report), read_files(other_store.report)
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
    archived_store: Store, archive_file: Path, other_store: Store
) -> None:
    import_archive(archive_file, other_store.root)
    before = {path: path.stat().st_mtime_ns for path in other_store.trials.rglob("*")}
    merged = import_archive(archive_file, other_store.root)
    assert (merged.added, len(merged.kept)) == ([], 2)
    assert {path: path.stat().st_mtime_ns for path in other_store.trials.rglob("*")} == before

    first, second = sorted(path.name for path in other_store.trials.iterdir())
    shutil.rmtree(other_store.folder(second))
    path = other_store.folder(first) / "record.json"
    path.write_text(path.read_text().replace('"ended_at":', '"ended_at": ', 1))
    record = path.read_bytes()
    with pytest.raises(
        StoreError, match=f"study.zip: trials/{first}/record.json: differs from {re.escape(str(path))}"
    ):
        import_archive(archive_file, other_store.root)
    assert path.read_bytes() == record
    # All or nothing: the other trial was not taken over either, and nothing is left lying about.
    assert [path.name for path in other_store.trials.iterdir()] == [first]
    assert not list(other_store.root.glob(".import-*"))


def test_a_trial_that_has_begun_here_is_not_mixed_with_the_imported_one(
    archive_file: Path, other_store: Store
) -> None:
    with zipfile.ZipFile(archive_file) as file:
        trial = json.loads(file.read("manifest.json"))["trials"][0]
    other_store.folder(trial).mkdir(parents=True)
    (other_store.folder(trial) / "checkpoint.pt").write_bytes(b"half way")
    with pytest.raises(StoreError, match="has begun and has no record"):
        import_archive(archive_file, other_store.root)
    assert [path.name for path in other_store.folder(trial).iterdir()] == ["checkpoint.pt"]


def test_an_import_waits_for_no_launch(archive_file: Path, other_store: Store) -> None:
    with other_store.locked(), pytest.raises(StoreError, match="another launch is running"):
        import_archive(archive_file, other_store.root)


def test_what_an_interrupted_import_left_is_cleared_away(archive_file: Path, other_store: Store) -> None:
    (other_store.root / ".import-dead" / "trials").mkdir(parents=True)
    import_archive(archive_file, other_store.root)
    assert not list(other_store.root.glob(".import-*"))


def test_without_its_videos_an_imported_study_is_planned_from_its_records(
    archived_store: Store, archive_file: Path, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_archive(archive_file, other_store.root)

    def refuse(spec: object, cache: Path) -> None:
        raise DataError("the videos are not at hand")

    monkeypatch.setattr(planning, "open_dataset", refuse)
    plan = make_plan(toy(), other_store)
    assert plan.warnings == ["the videos are not at hand"]
    assert [planned.state for planned in plan.trials] == [State.DONE, State.DONE]
    # A trial that has no like among the records stays unknown, and nothing is trained on a guess.
    others = load_study(["table8"], overrides=[*TOY, "data.seed=5"])
    assert {p.trial.data_digest for p in make_plan(others, other_store).trials} == {"unavailable"}
    with pytest.raises(DataError, match="not at hand"):
        launch(toy(), LaunchOptions(storage=other_store.root, engine="inline"))


def test_unfinished_trials_are_left_out_and_named(
    archived_store: Store, other_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(archived_store.trials, other_store.trials)
    cut = first_trial(other_store)
    (other_store.folder(cut) / "record.json").unlink()
    manifest = export_study(toy(), other_store.root, other_store.root / "part.zip")
    assert len(manifest.trials) == 1
    assert list(manifest.left_out) == [cut]
    (told,) = manifest.left_out.values()
    assert told.startswith(("Fixed · r0 · table8: ", "Dilated · r0 · table8: "))
    assert told.endswith(": interrupted; goes on from its checkpoint")
    assert not [name for name in manifest.files if cut in name], "nothing of it is in the archive"
    out = " ".join(capsys.readouterr().out.split())
    assert "1 trials of the request have not finished and are left out" in out
    assert told in out
    with pytest.raises(StoreError, match="exists already"):
        export_study(toy(), other_store.root, other_store.root / "part.zip")
    shutil.rmtree(other_store.trials)
    with pytest.raises(StoreError, match="nothing to export"):
        export_study(toy(), other_store.root, other_store.root / "none.zip")


def test_an_experiment_of_ones_own_goes_along(
    archived_store: Store, other_store: Store, tmp_path: Path
) -> None:
    text = (Path(__file__).resolve().parents[2] / "experiments" / "table8.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("name: table8", "name: mine"))
    study = load_study([str(tmp_path / "mine.yaml")], overrides=TOY)
    export_study(study, archived_store.root, tmp_path / "mine.zip")
    merged = import_archive(tmp_path / "mine.zip", other_store.root)
    brought = merged.folder / "specs" / "experiments" / "mine.yaml"
    assert f"report {brought} --profile laptop" in commands._suggest_report(merged, other_store.root)
    assert make_plan(load_study([str(brought)], overrides=TOY), other_store).count(State.DONE) == 2


def test_the_commands(archived_store: Store, archive_file: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    settings = [word for text in TOY for word in ("--set", text)]
    target = str(tmp_path / "cli.zip")
    assert (
        runner.invoke(
            app, ["export", target, "table8", *settings, "--storage", str(archived_store.root)]
        ).exit_code
        == 0
    )
    assert Path(target).read_bytes() == archive_file.read_bytes()
    assert (
        runner.invoke(app, ["import", target, "--storage", str(tmp_path / "s"), "--no-videos"]).exit_code == 0
    )
    assert runner.invoke(app, ["verify", target]).exit_code == 0
    assert runner.invoke(app, ["verify", "--storage", str(tmp_path / "s")]).exit_code == 0
    result = runner.invoke(app, ["verify", str(tmp_path / "none.zip")])
    assert isinstance(result.exception, StoreError)
