"""``bench``: for real on networks that take milliseconds, and what becomes of a measurement afterwards."""

from __future__ import annotations

import json
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from study.cli import app
from study.commands.archive import export_study, import_archive, verify
from study.commands.bench import BenchOptions, choose_rows
from study.commands.report import write_report
from study.commands.report_check import check_report
from study.commands.runtimes import collect_stored, fingerprint_network
from study.commands.sync import sync
from study.errors import SpecError, StoreError
from study.running.archive.layout import ArchiveManifest
from study.running.archive.write import write_archive
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Experiment
from study.spec.runtime import RuntimeRecord, load_runtimes, save_runtime
from study.tracking.runtime import load_tracked_runtimes
from tests.commands.archived import toy
from tests.fabricated_runtime import fabricate_record, load, steady

SMALL = ("-p", "laptop", "--set", "clip.size=16", "--set", "clip.frames=4")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_it_measures_stores_tracks_and_shows(tmp_path: Path) -> None:
    storage = ("--storage", str(tmp_path))
    asked = (*SMALL, *storage, "--rounds", "2", "--batch", "2", "--arm", "p=1/4")
    shown = run("table6", *asked, "--mode", "both", "--json")
    assert shown.exit_code == 0, shown.output
    inference, training = json.loads(shown.stdout)["measurements"]
    experiment = load_study(["table6"], profile="laptop").experiment("table6")
    baseline = experiment.spec.baseline
    for measurement, mode in ((inference, "inference"), (training, "training")):
        record = RuntimeRecord.model_validate(measurement["record"])
        assert record.conditions.mode == mode
        # The baseline comes along, for the ratio.
        assert {arm.arm for arm in record.arms} == {"p=1/4", baseline}
        assert all(len(arm.seconds) == 2 and (arm.frames, arm.size) == (4, 16) for arm in record.arms)
        row = next(row for row in measurement["rows"] if row["arm"] == "p=1/4")
        assert row["speed_ratio"] > 0
        assert row["order"] == "too few rounds"
        assert measurement["ranking"] == "No order: 2 rounds, and an order needs 11."
        assert "versions" in measurement["record"]["environment"]
    again = run("table6", *asked, "--against", "p=1/4", "--arm", baseline)
    assert again.exit_code == 0, again.output
    assert "p=1/4 (reference)" in again.stdout
    store = Store.at(tmp_path)
    stored = load_runtimes(store.runtime)
    assert len(stored) == 3
    assert load_tracked_runtimes(store.tracking_uri) == stored
    study = load_study(["table6"], profile="laptop", overrides=SMALL[3::2])
    # Under the same conditions the newest is shown.
    assert {record.runtime_id for record in collect_stored(study, store).records} == {
        record.runtime_id for record in stored[1:]
    }


def test_a_row_that_does_not_run_is_told_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.cost.runtime import workload

    build = workload.build_model

    def fail(spec: Any, **geometry: Any) -> Any:
        if spec.block.type == "sth" and spec.block.p == Fraction(1, 4):
            raise MemoryError("no room")
        return build(spec, **geometry)

    monkeypatch.setattr(workload, "build_model", fail)
    shown = run("table6", *SMALL, "--storage", str(tmp_path), "--rounds", "1", "--arm", "p=1/4")
    assert shown.exit_code == 1
    assert "p=1/4: MemoryError: no room" in shown.output
    record = load_runtimes(tmp_path / "runtime")[0]
    assert [bool(arm.seconds) for arm in record.arms] == [arm.arm != "p=1/4" for arm in record.arms]


def test_mistakes_are_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="fp16 needs a GPU; on a CPU allowed: fp32, bf16"):
        BenchOptions(tmp_path, dtype="fp16").make_conditions("inference")
    table9 = load()
    with pytest.raises(SpecError) as caught:
        choose_rows(table9, ("STH 8g", "TSM"), "I3E")
    assert len(caught.value.problems) == 3
    assert "no arm 'STH 8g'; did you mean 'STH 8f'?" in caught.value.problems[0]
    with pytest.raises(SpecError, match="--against 'ABM-A-in': no network stands for it"):
        choose_rows(table9, (), "ABM-A-in")
    assert [row.name for row in choose_rows(table9, ("STH 16f",), None)] == ["TSM 8f", "STH 16f"]


def record_at(experiment: Experiment, started_at: float, **changed: Any) -> RuntimeRecord:
    """A measurement whose code is the present one."""
    times = {"STH 8f": steady(0.6)} | changed.pop("times", {"TSM 8f": steady(0.5)})
    code = {name: fingerprint_network(experiment.arm(name).settings).digest for name in times}
    return fabricate_record(experiment, times, started_at=started_at, code=code, **changed)


def test_a_report_shows_it_and_knows_when_it_is_no_longer_so(tmp_path: Path) -> None:
    study, store = load_study(["table9"]), Store.at(tmp_path / "runs")
    experiment, output = study.experiment("table9"), tmp_path / "report"

    def report() -> pd.DataFrame:
        write_report(study, store.root, tracking_uri=None, output=output)
        return pd.read_csv(output / "tables" / "claims.csv").set_index("claim")

    claims = report()
    assert claims.loc["slower-than-tsm", "verdict"] == "untestable"
    assert "bench table9 --profile laptop" in claims.loc["slower-than-tsm", "reason"]
    assert "bench table9" in (output / "tables" / "table9_speed.md").read_text()
    assert check_report(output, store, own=True).problems == []

    first = record_at(experiment, 10.0)
    save_runtime(first, store.runtime)
    assert check_report(output, store, own=True).problems == [
        f"measurement of runtime {first.runtime_id}: is new"
    ]
    claims = report()
    assert claims.loc["slower-than-tsm", "verdict"] == "supported"
    assert "a verdict on a CPU" in claims.loc["slower-than-tsm", "scope"]
    # Values are not judged away from the paper's scale.
    assert claims.loc["speed-over-i3d", "verdict"] == "untestable"
    assert not (output / "tables" / "table9_speed.md").exists()
    tables = {path.suffix for path in (output / "tables").glob("table9_speed-cpu-inference-b2-fp32.*")}
    assert tables == {".csv", ".md", ".tex", ".parquet"}
    page = (output / "report.html").read_text()
    assert "Speed: Table 9: runtime and accuracy (inference on cpu: Some CPU, batch 2, fp32)" in page
    assert check_report(output, store, own=True).problems == []
    assert check_report(output, Store.at(tmp_path / "nowhere"), own=False).problems == []

    second = record_at(experiment, 20.0, times={"TSM 8f": steady(0.7)})
    save_runtime(second, store.runtime)
    assert check_report(output, store, own=True).problems == [
        f"measurement of runtime {name}: {what}"
        for name, what in sorted([(first.runtime_id, "a newer one is there"), (second.runtime_id, "is new")])
    ]
    assert report().loc["slower-than-tsm", "verdict"] == "contradicted"
    (store.runtime / f"{second.runtime_id}.json").unlink()
    gone = check_report(output, store, own=True).problems
    assert f"measurement of runtime {second.runtime_id}: is gone from the store" in gone


def test_sync_writes_them_into_an_empty_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, store = load_study(["table9"]), Store.at(tmp_path)
    with pytest.raises(StoreError, match="holds no trials"):
        sync(study, tmp_path, tracking_uri=None)
    record = record_at(study.experiment("table9"), 10.0)
    save_runtime(record, store.runtime)
    assert sync(study, tmp_path, tracking_uri=None) == 0
    assert "Measurements of runtime: 1 new, 0 unchanged." in capsys.readouterr().out
    assert sync(study, tmp_path, tracking_uri=None) == 0
    assert "Measurements of runtime: 0 new, 1 unchanged." in capsys.readouterr().out
    assert load_tracked_runtimes(store.tracking_uri) == [record]
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    assert sync(study, tmp_path, tracking_uri=elsewhere) == 0
    assert load_tracked_runtimes(elsewhere) == [record]


def test_an_archive_carries_it_and_refuses_a_changed_one(
    archived_store: Store, other_store: Store, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(archived_store.root, root, symlinks=True)
    store, experiment = Store.at(root), toy().experiment("table8")
    times = {row.name: steady(0.5) for row in experiment.rows if row.arms}
    record = fabricate_record(experiment, times)
    save_runtime(record, store.runtime)
    target = tmp_path / "study.zip"
    export_study(toy(), root, target)
    name = f"runtime/{record.runtime_id}.json"
    with zipfile.ZipFile(target) as archive:
        assert name in archive.namelist()
    assert verify(target, root) == 0
    import_archive(target, other_store.root, videos=False)
    assert load_runtimes(other_store.runtime) == [record]
    import_archive(target, other_store.root, videos=False)

    path = store.runtime / f"{record.runtime_id}.json"
    path.write_text(path.read_text().replace("Some CPU", "Fast CPU"))
    assert verify(None, root) == 1
    with pytest.raises(StoreError, match="is not the digest of the content"):
        export_study(toy(), root, tmp_path / "changed.zip")

    fake = tmp_path / "fake.zip"
    sources = {"runtime/" + "0" * 16 + ".json": record.model_dump_json().encode()}
    with zipfile.ZipFile(target) as archive:
        manifest = ArchiveManifest.model_validate_json(archive.read("manifest.json"))
    write_archive(fake, sources, request=manifest.request, exporter=manifest.exporter)
    with pytest.raises(
        StoreError, match=f"runtime/{'0' * 16}.json: holds the measurement {record.runtime_id}"
    ):
        import_archive(fake, other_store.root, videos=False)
    assert load_runtimes(other_store.runtime) == [record]
