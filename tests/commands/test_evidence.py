"""Intervals and confounded differences in the report of real trials."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from study.commands.launch import LaunchOptions, launch
from study.commands.report import write_report
from study.errors import StudyError
from study.running.plan import make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study
from tests.running.conftest import TOY


def toy() -> Study:
    return load_study(["table8"], overrides=TOY)


def test_a_difference_has_an_interval_and_what_else_differs_is_named(store: Store) -> None:
    study = toy()
    assert launch(study, LaunchOptions(storage=store.root, engine="inline")) == 0
    table = pd.read_csv(store.report / "tables" / "table8.csv").set_index("arm")
    row = table.loc["Dilated"]
    assert row["delta_low_points"] <= row["delta_top1_points_mean"] <= row["delta_high_points"]
    assert row["delta_varies"] == "videos"
    assert pd.isna(row["confounded_by"])
    page = (store.report / "report.md").read_text()
    assert "say nothing about other seeds" in page
    assert write_report(study, store.root, tracking_uri=None, output=None, strict=True).exists()

    # As if one of the two had been trained on another device with another torch.
    planned = make_plan(study, store).find("table8", "Dilated", 0)
    path = store.folder(planned.trial_id) / "record.json"
    content = json.loads(path.read_text())
    content["environment"]["device"] = "cuda:0: Some GPU"
    content["environment"]["versions"]["torch"] = "9.9"
    path.write_text(json.dumps(content))
    with pytest.raises(StudyError, match=r"table8: Dilated: also differs in device: .*GPU.* against cpu"):
        write_report(study, store.root, tracking_uri=None, output=None, strict=True)
    write_report(study, store.root, tracking_uri=None, output=None)
    page = (store.report / "report.md").read_text()
    assert "Confounded: these trials and the baseline's also differ in device" in page
