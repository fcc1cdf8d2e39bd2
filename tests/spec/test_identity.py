"""A trial's identity: what changes it, and what must not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from study.seeding import derive_seed
from study.spec.loading import load_study
from study.spec.trial import ID_LENGTH, Trial, TrialSettings, derive_digest


def make(repeat: int = 0, digest: str = "d", **overrides: str) -> Trial:
    study = load_study(
        ["table7"], overrides=[f"{path.replace('__', '.')}={value}" for path, value in overrides.items()]
    )
    return Trial(study.experiments[0].arm("STH hybrid").settings, repeat, digest)


def test_the_three_tables_share_two_trials() -> None:
    study = load_study(["table6", "table7", "table8"])
    ids = [Trial(arm.settings, 0, "d").trial_id for e in study.experiments for arm in e.arms]
    assert (len(ids), len(set(ids))) == (11, 9)


@pytest.mark.parametrize(
    "overrides",
    [
        {"training__epochs": "3"},
        {"clip__frames": "4"},
        {"model__dropout": "0.1"},
        {"data__seed": "1"},
        {"training__seed": "5"},
    ],
)
def test_what_training_depends_on_changes_the_id(overrides: dict[str, str]) -> None:
    assert make(**overrides).trial_id != make().trial_id


def test_repeat_and_data_change_the_id() -> None:
    assert len({make().trial_id, make(repeat=1).trial_id, make(digest="e").trial_id}) == 3


def test_an_id_is_the_digest_of_the_whole_identity() -> None:
    """It is put together from parts that repeats share; the text must be that of the whole."""
    for trial in (make(), make(3, 'd"\u00e4'), replace(make(), parent="0123", weights_digest="ab")):
        assert trial.trial_id == derive_digest(trial.identity)[:ID_LENGTH]


def test_resources_and_protocols_do_not_change_the_id() -> None:
    other = make(resources__cpus="2", resources__loader_workers="3", evaluation__batch_size="7")
    assert other.trial_id == make().trial_id
    assert other.protocols == make().protocols == {"1x1": ("tsn 1/2 center 32",)}


def test_ids_of_records_that_exist_stay_what_they_are() -> None:
    """Taken from version 0.1: an option that is added must not make finished trials unknown."""
    study = load_study(["table7"])
    ids = [Trial(arm.settings, 0, "d").trial_id for arm in study.experiments[0].arms]
    assert ids == [
        "a87c339c667f5b67",
        "5804a214fe2efab6",
        "82dbe6cb1e0f4d32",
        "d10c04257092c1b4",
        "53fa463111092064",
    ]


def test_options_that_came_later_leave_the_ids_of_older_trials_alone() -> None:
    plain, named = make(), make(clip__snippet="1", clip__stride="8")
    assert named.trial_id == plain.trial_id
    assert not {"snippet", "stride", "modality"} & set(plain.settings.identity["clip"])
    assert make(clip__snippet="2").trial_id != plain.trial_id
    assert "parent" not in plain.to_json() or not plain.parent
    assert replace(plain, parent="0123").trial_id != plain.trial_id


def test_moving_the_data_does_not_change_the_id() -> None:
    def settings(root: str) -> TrialSettings:
        data = {"type": "video_list", "root": root, "train_list": f"{root}/a", "val_list": f"{root}/b"}
        return TrialSettings.model_validate({"data": data})

    assert Trial(settings("/a"), 0, "d").trial_id == Trial(settings("/b"), 0, "d").trial_id


def test_equal_in_another_process_and_after_a_round_trip() -> None:
    trial = make()
    again = Trial.from_json(json.loads(json.dumps(trial.to_json())))
    assert again.trial_id == trial.trial_id
    code = (
        "from study.spec.loading import load_study; from study.spec.trial import Trial;"
        "print(Trial(load_study(['table7']).experiments[0].arm('STH hybrid').settings, 0, 'd').trial_id)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )
    assert run.stdout.strip() == trial.trial_id


def test_seeds_depend_on_every_part_and_its_type() -> None:
    seeds = {
        derive_seed("a", 1),
        derive_seed("a", 2),
        derive_seed("b", 1),
        derive_seed("a", "1"),
        derive_seed("a1"),
    }
    assert len(seeds) == 5
    # Frozen: another value here would silently give every finished trial other data orders.
    assert derive_seed("data-order", 0, 0) == 4385856545414944000
