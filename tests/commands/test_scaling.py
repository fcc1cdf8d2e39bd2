"""``plan --gpus``: from measured, extrapolated and assumed times to days on so many devices."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from study.cli import app
from study.commands.scaling import Run, VideoFile, count_videos, decode_seconds, parse_counts
from study.commands.step_times import ASSUMED, Band, StepTimes, load_step_times, parse_band
from study.data.catalog import open_dataset
from study.errors import SpecError, StoreError
from study.running.scaling import Work
from study.spec.loading import load_study
from study.spec.runtime import Quartiles, digest_settings, save_runtime
from study.spec.trial import TrialSettings
from tests.fabricated_runtime import fabricate_record, load, steady

PAPER = ("table8", "--profile", "paper", "--repeats", "2")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", *arguments])


def settings_of(arm: str) -> TrialSettings:
    return load("table9", "paper").row(arm).arms[0].settings


def digest_of(arm: str) -> str:
    settings = settings_of(arm)
    return digest_settings(settings.model, settings.clip)


GMACS = {digest_of("TSM 8f"): 33.0, digest_of("STH 8f"): 30.0}
WORK = Work(1000, {224: 100}, {8: 1100})


def timed(mode: str, seconds: float, arm: str = "TSM 8f", **changes: Any) -> Any:
    return fabricate_record(load("table9", "paper"), {arm: steady(seconds)}, mode=mode, batch=4, **changes)


def test_without_measurements_times_are_assumed_from_multiply_accumulates() -> None:
    times = StepTimes([], GMACS, Band(10, 20, 40))
    found = times.of_trial(settings_of("TSM 8f"), WORK)
    gmacs = 33 * (3 * 1000 + 100)
    assert found.source == "assumed"
    assert found.seconds == Band(*(pytest.approx(gmacs / rate) for rate in (40, 20, 10)))


def test_measured_networks_take_what_was_measured() -> None:
    times = StepTimes([timed("training", 0.8), timed("inference", 0.2)], GMACS)
    found = times.of_trial(settings_of("TSM 8f"), WORK)
    # 0.2 s a clip in training, 0.05 in inference.
    assert found.source == "measured"
    assert found.seconds.middle == pytest.approx(1000 * 0.2 + 100 * 0.05)
    spread = Quartiles.of(steady(0.2))
    assert found.seconds.high == pytest.approx(1000 * spread.q3 + 100 * Quartiles.of(steady(0.05)).q3)
    larger = times.of_trial(settings_of("TSM 8f"), Work(0, {448: 100}, {}))
    assert larger.seconds.middle == pytest.approx(4 * 100 * 0.05), "twice the size is four times the area"


def test_networks_without_times_take_the_rates_of_those_that_have_them() -> None:
    times = StepTimes([timed("training", 0.8), timed("inference", 0.2)], GMACS)
    found = times.of_trial(settings_of("STH 8f"), WORK)
    assert found.source == "extrapolated"
    # 3 x 33 GMACs in 0.2 s; 33 in 0.05 s.
    assert times.rates["training"].middle == pytest.approx(3 * 33 / 0.2)
    assert times.rates["inference"].middle == pytest.approx(33 / 0.05)
    assert found.seconds.middle == pytest.approx(1000 * 90 / 495 + 100 * 30 / 660)


def test_a_network_timed_in_one_mode_only_is_not_called_measured() -> None:
    times = StepTimes([timed("inference", 0.2)], GMACS)
    assert times.of_trial(settings_of("TSM 8f"), WORK).source == "extrapolated"
    assert times.rates["training"] == times.rates["inference"]


def test_the_newest_measurement_of_a_network_counts() -> None:
    old, new = timed("inference", 0.4, started_at=1.0), timed("inference", 0.2, started_at=2.0)
    assert StepTimes([old, new], GMACS).rates["inference"].middle == pytest.approx(33 / 0.05)


def test_times_of_two_devices_or_of_none_of_the_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="times of 2 devices"):
        StepTimes([timed("training", 1.0), timed("training", 1.0, device="cpu: Another")], GMACS)
    with pytest.raises(SpecError, match="none of the measured networks"):
        StepTimes([timed("training", 1.0)], {"0123": 1.0})
    with pytest.raises(StoreError, match="holds no measurement; run_study"):
        load_step_times([tmp_path])


def test_files_and_folders_of_measurements_are_read_oldest_first(tmp_path: Path) -> None:
    late, early = timed("training", 1.0, started_at=9.0), timed("inference", 1.0, started_at=3.0)
    path = save_runtime(late, tmp_path)
    (tmp_path / "more").mkdir()
    save_runtime(early, tmp_path / "more")
    assert load_step_times([path, tmp_path / "more"]) == [early, late]


@pytest.mark.parametrize("text", ["", "0", "1,-8", "1;8", "eight"])
def test_counts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="allowed: whole numbers of 1 and more"):
        parse_counts(text)


@pytest.mark.parametrize("text", ["", "1,2", "3,2,1", "0,1,2", "1,2,inf", "a,b,c"])
def test_bands_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="allowed: three positive numbers"):
        parse_band(text)
    assert parse_band("10, 30,90") == ASSUMED


def test_a_file_is_decoded_once_at_most() -> None:
    file = VideoFile(frames=300, bytes=1)
    some, whole = Work(0, {}, {8: 10}), Work(0, {}, {640: 10})
    assert decode_seconds(some, file) == pytest.approx(10 * 8 * 3.4e-3)
    assert decode_seconds(whole, file) == pytest.approx(10 * 300 * 0.45e-3)
    assert decode_seconds(whole, None) == pytest.approx(10 * 640 * 0.64e-3)


def test_sizes_are_those_of_the_makers_or_of_the_specification(tmp_path: Path) -> None:
    official = settings_of("TSM 8f")
    assert count_videos(official, tmp_path) == ({"train": 86_017, "val": 11_522}, 174)
    made = load("table9").row("TSM 8f").arms[0].settings
    classes = open_dataset(made.data, tmp_path).num_classes
    assert count_videos(made, tmp_path) == ({"train": 900, "val": 480}, classes)


@pytest.mark.slow
def test_the_command_gives_cost_time_storage_and_bottleneck(tmp_path: Path) -> None:
    options = (*PAPER, "--storage", str(tmp_path), "--gpus", "1,64", "--assume", "1,2,4")
    result = run(*options, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.output)
    assert content["trials"] == 4
    assert len(content["runs"]) == 6
    for one in content["runs"]:
        hours, bounds = one["hours"], one["bounds"]
        assert hours >= max(bounds.values()) * (1 - 1e-9)
        assert hours >= one["device_hours"] / one["gpus"] * (1 - 1e-9)
        assert one["hours_by_repeat"] >= hours * (1 - 1e-9)
        assert one["hours_longest_first"] >= max(bounds.values()) * (1 - 1e-9)
        assert Run(**one).bottleneck in bounds
    single, many = (next(r for r in content["runs"] if r["gpus"] == g) for g in (1, 64))
    assert single["hours"] == pytest.approx(single["device_hours"])
    assert many["hours"] == pytest.approx(many["bounds"]["the longest chain of trials"])
    text = run(*options).output
    assert "Device times: 4 assumed." in text
    assert "Longest trial: table8" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gpus", "0"), "allowed: whole numbers of 1 and more"),
        (("--assume", "1,2,3"), "is for --gpus"),
        (("--gpus", "1", "--assume", "3,2,1"), "allowed: three positive numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    result = run("table8", *arguments)
    assert result.exit_code != 0
    assert words in " ".join((result.output + str(result.exception)).split())


def test_trials_that_want_no_gpu_are_refused(tmp_path: Path) -> None:
    result = run("table8", "--storage", str(tmp_path), "--gpus", "1")
    assert "resources.gpus: 0" in str(result.exception) + result.output


def test_a_data_set_of_unknown_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (experiment,) = load_study(["table8"], profile="paper").experiments
    settings = experiment.arms[0].settings
    monkeypatch.setattr("study.commands.scaling.open_dataset", lambda *_: SimpleNamespace(num_classes=2))
    with pytest.raises(SpecError, match="nobody has said how many videos 'something_v1' has"):
        count_videos(settings, tmp_path)
