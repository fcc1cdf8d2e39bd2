"""The paper's tables against the official data sets, in miniature trees of their own formats.

From lists and videos as they are distributed to a trained network and its report, without any code of the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from study.commands.data_check import CheckOptions, check_dataset
from study.commands.data_flow import FlowOptions, compute_dataset_flow
from study.commands.data_prepare import PrepareOptions, prepare_dataset
from study.commands.launch import LaunchOptions, launch
from study.running.plan import make_plan
from study.running.store import Store
from study.spec.loading import load_study
from study.tracking.read import load_runs
from tests.data.miniature import WRITERS, Size

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
SMALL = (
    "clip.size=32",
    "clip.resize=[40, 48]",
    "clip.frames=4",
    "training.epochs=1",
    "training.batch_size=4",
    "training.precision=fp32",
    "evaluation.every=0",
    "evaluation.batch_size=30",
    "model.backbone=resnet_tiny",
    "resources.gpus=0",
    "resources.cpus=1",
    "resources.loader_workers=1",
)
EXPERIMENT = """
name: everywhere
title: Everywhere
question: Does every data set of the paper train?
baseline: TSN
datasets: [something_v1, something_v2, jester, kinetics400, ucf101, hmdb51]
settings:
  model: {init: {weights: random}}
arms:
  - {name: TSN, set: {model: {block: {type: conv2d}}}}
"""
FLOW = """
name: flow
title: Flow
question: Does the flow stream train?
baseline: rgb
datasets: [hmdb51]
settings:
  model: {init: {weights: random}, block: {type: conv2d}}
arms:
  - {name: rgb, set: {clip: {snippet: 2}}}
  - {name: flow, set: {clip: {modality: {type: flow, stack: 3, method: dis}}}}
  - {name: both, fuse: [rgb, flow]}
"""


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    for name, write in WRITERS.items():
        write(root / name, Size(classes=3, train=2, val=1, height=40, width=56))
    return root


@pytest.fixture
def roots(trees: Path) -> tuple[str, ...]:
    return tuple(f"datasets.{name}.data.root={trees / name}" for name in WRITERS)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "experiments"
    made.mkdir()
    (made / "profiles").symlink_to(EXPERIMENTS / "profiles")
    return made


@pytest.mark.parametrize("table", ["table2", "table3", "table4", "table5"])
def test_the_papers_tables_are_planned_on_the_data_sets_themselves(
    table: str, roots: tuple[str, ...], tmp_path: Path
) -> None:
    study = load_study([table], profile="paper", overrides=roots)
    plan = make_plan(study, Store.at(tmp_path))
    assert plan.warnings == []
    for experiment in study.experiments:
        for arm in experiment.arms:
            assert arm.settings.data.type == arm.dataset
    if table == "table5":
        folds = {arm.settings.data.fold for arm in study.experiment("table5").arms}  # type: ignore[union-attr]
        assert folds == {1, 2, 3}
        assert {p.parent.uses[0].experiment for p in plan.trials if p.parent} == {"pretraining"}


def test_one_root_for_an_experiment_on_one_data_set(trees: Path, tmp_path: Path) -> None:
    overrides = [f"data.root={trees / 'something_v1'}"]
    plan = make_plan(load_study(["table6"], profile="paper", overrides=overrides), Store.at(tmp_path))
    assert plan.warnings == []
    assert {p.trial.settings.evaluation.primary for p in plan.trials} == {"2x3"}


def test_every_data_set_trains_under_the_papers_protocols(
    roots: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    (folder / "everywhere.yaml").write_text(EXPERIMENT)
    protocols = "evaluation.protocols={1x1: {}, 2x3: {size: 36}, 10x3: {clips: 10, crops: 3, size: null}}"
    study = load_study(["everywhere"], profile="paper", overrides=[*roots, *SMALL, protocols], folder=folder)
    store = Store.at(tmp_path / "store")
    assert launch(study, LaunchOptions(storage=store.root, engine="inline")) == 0
    table = pd.read_csv(store.report / "tables" / "everywhere.csv").set_index("dataset")
    assert list(table.index) == list(WRITERS)
    assert (table["repeats_measured"] == 1).all()
    plan = make_plan(study, store)
    record = plan.find("everywhere", "TSN on ucf101 fold 2", 0).record
    assert record is not None
    assert {name: metrics.views for name, metrics in record.metrics.items()} == {
        "1x1": 1,
        "2x3": 6,
        "10x3": 30,
    }
    # 12 frames in 4 segments of 3 hold 3 different clips, so ten clips repeat some.
    assert [metrics.repeated for metrics in record.metrics.values()] == [0, 0, 3]
    # Of Kinetics, one video of every class but three is listed and not there.
    kinetics = plan.find("everywhere", "TSN on kinetics400", 0).record
    assert kinetics is not None
    assert kinetics.data is not None
    assert len(kinetics.data.excluded) == 397
    assert "397: " in (store.report / "report.md").read_text()


def test_from_avi_through_check_prepare_and_flow_to_a_fused_row(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made = tmp_path / "hmdb51", tmp_path / "made"
    WRITERS["hmdb51"](source, Size(classes=3, train=2, val=1, height=40, width=56))
    broken = next((source / "hmdb51_org").rglob("*.avi"))
    broken.write_bytes(b"not a video")
    annotations = f"annotations={source}"
    assert prepare_dataset("hmdb51", PrepareOptions(source, made, workers=1)) == 1
    assert broken.stem in capsys.readouterr().err
    # What could not be prepared is not there: it is left out by name when that is asked for, never silently.
    settings = (annotations, "files=mp4", "missing=exclude")
    assert check_dataset("hmdb51", CheckOptions(made, settings, workers=1)) == 0
    assert compute_dataset_flow("hmdb51", FlowOptions(made, tmp_path / "flow", settings, workers=1)) == 0
    (folder / "flow.yaml").write_text(FLOW)
    overrides = [
        f"datasets.hmdb51.data.root={made}",
        *(f"datasets.hmdb51.data.{setting}" for setting in settings),
        *SMALL,
        "evaluation.protocols={2x3: {size: null}, 10x3: {clips: 2, size: null}}",
    ]
    study = load_study(["flow"], profile="paper", overrides=overrides, folder=folder)
    for arm in study.experiments[0].arms:
        if arm.row == "flow":
            assert arm.settings.clip.channels == 6
    store = Store.at(tmp_path / "store")
    root = f"clip.modality.root={tmp_path / 'flow'}"
    with pytest.raises(Exception, match="modality"):
        load_study(["flow"], profile="paper", overrides=[*overrides, root], folder=folder)
    (folder / "flow.yaml").write_text(FLOW.replace("method: dis", f"method: dis, root: {tmp_path / 'flow'}"))
    study = load_study(["flow"], profile="paper", overrides=overrides, folder=folder)
    assert launch(study, LaunchOptions(storage=store.root, engine="inline")) == 0
    table = pd.read_csv(store.report / "tables" / "flow.csv").set_index("arm")
    assert table["repeats_measured"].tolist() == [1, 1, 1]
    runs = load_runs(store.tracking_uri, study.name)
    assert set(runs["tags.data_checked"]) == {"True"}
    assert broken.stem in str(runs["tags.excluded"].iloc[0])
