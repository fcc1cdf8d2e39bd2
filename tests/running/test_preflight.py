"""What is looked at on every node of a cluster, tried on this machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from study.errors import SchedulingError
from study.running import preflight
from study.running.executor import Job, Place
from study.running.plan import make_plan
from study.running.preflight import Survey, examine, list_unanswered, meeting_point
from study.running.store import Store
from study.spec.loading import load_study
from tests.running.conftest import TOY, make_toy_plan

LISTS = ("data.type=video_list", "clip.resize=40")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "VISIBLE_SECONDS", 0.1)


def jobs_of(store: Store, *extra: str) -> list[Job]:
    plan = make_toy_plan(store, *extra)
    return [Job(planned.trial, Place(store.folder(planned.trial_id), store.data)) for planned in plan.trials]


def examine_in_another_process(survey: Survey) -> list[str]:
    """As a node does; this process holds the lock."""
    code = (
        "import pickle, sys\n"
        "from study.running.preflight import examine\n"
        "print(*examine(pickle.load(sys.stdin.buffer), 'n1'), sep='\\n')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(survey), capture_output=True, check=True
    )
    return run.stdout.decode().split("\n")[:-1] if run.stdout.strip() else []


def test_a_machine_where_all_is_well(store: Store) -> None:
    with meeting_point(jobs_of(store)) as survey:
        assert examine_in_another_process(survey) == []
        assert list_unanswered(survey, {"n1": "one"}) == []
        (problem,) = list_unanswered(survey, {"n1": "one", "n2": "two"})
        assert problem.startswith("node two: what it writes below")
    assert not list(store.trials.glob(".*")), "the meeting point is gone"


def test_a_machine_without_the_store(store: Store, tmp_path: Path) -> None:
    with meeting_point(jobs_of(store)) as survey:
        (problem,) = examine(replace(survey, meeting=tmp_path / "not" / "mounted"), "n1")
        assert f"does not see the store {tmp_path / 'not'}; mount one shared file system" in problem
        # The same path, another disk: the marker is somebody else's.
        (problem,) = examine(replace(survey, token="another"), "n1")
        assert "does not see the store" in problem


def test_a_file_system_that_keeps_locks_to_itself(store: Store) -> None:
    with meeting_point(jobs_of(store)) as survey:
        (survey.meeting / preflight.LOCK).unlink()  # whoever locks now locks another file than the driver
        (problem,) = examine(survey, "n1")
        assert "does not see locks of other machines" in problem
        assert "-o flock" in problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written(store: Store) -> None:
    with meeting_point(jobs_of(store)) as survey:
        survey.meeting.chmod(0o500)
        assert any("cannot write to the store" in problem for problem in examine_in_another_process(survey))
        survey.meeting.chmod(0o700)


def test_a_machine_with_other_code(store: Store) -> None:
    with meeting_point(jobs_of(store)) as survey:
        (problem,) = examine_in_another_process(replace(survey, code="0" * 16))
        assert "runs other code than the driver" in problem


def write_videos(root: Path) -> list[str]:
    """Four folders of eight frames, of which two are for training; returns the settings that name them."""
    for name in ("a", "b", "c", "d"):
        (root / name).mkdir(parents=True)
        for number in range(1, 9):
            Image.new("RGB", (64, 48), (number * 20, 0, 0)).save(root / name / f"img_{number:05d}.jpg")
    (root / "train.txt").write_text("a 8 0\nb 8 1\n")
    (root / "val.txt").write_text("c 8 0\nd 8 1\n")
    return [
        *LISTS,
        f"data.root={root}",
        f"data.train_list={root / 'train.txt'}",
        f"data.val_list={root / 'val.txt'}",
    ]


def list_jobs(store: Store, settings: list[str]) -> list[Job]:
    study = load_study(["table8"], overrides=[*TOY[2:], *settings])
    plan = make_plan(study, store)
    assert not plan.warnings
    return [Job(planned.trial, Place(store.folder(planned.trial_id), store.data)) for planned in plan.trials]


def test_data_that_are_not_there_or_are_others(store: Store, tmp_path: Path) -> None:
    root = tmp_path / "videos"
    with meeting_point(list_jobs(store, write_videos(root))) as survey:
        assert len(survey.samples) == 1, "two arms read the same videos"
        assert examine_in_another_process(survey) == []
        (root / "train.txt").write_text("a 8 1\nb 8 0\n")
        (problem,) = examine_in_another_process(survey)
        assert "has other videos of 'video_list' than the driver" in problem
        (root / "train.txt").write_text("a 8 0\nb 8 1\n")
        (root / "a" / "img_00001.jpg").write_bytes(b"cut short by a copy")
        (problem,) = examine_in_another_process(survey)
        assert problem.startswith("cannot read the data: ")
        assert str(root / "a") in problem
        (root / "train.txt").unlink()
        (problem,) = examine_in_another_process(survey)
        assert str(root / "train.txt") in problem


def test_relative_paths_need_the_drivers_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_videos(tmp_path / "videos")
    monkeypatch.chdir(tmp_path)
    relative = [
        *LISTS,
        "data.root=videos",
        "data.train_list=videos/train.txt",
        "data.val_list=videos/val.txt",
    ]
    with meeting_point(list_jobs(store, relative)) as survey:
        assert examine_in_another_process(survey) == []
        gone = replace(survey, directory=str(tmp_path / "laptop"))
        (problem,) = examine_in_another_process(gone)
        assert f"has no folder {tmp_path / 'laptop'}, in which the launch looks for videos" in problem
    with meeting_point(jobs_of(store)) as survey:
        # Nothing is named by a relative path: the folder may be missing.
        assert examine_in_another_process(replace(survey, directory="/nowhere")) == []


def test_what_a_killed_driver_left_is_taken_away(store: Store) -> None:
    old = store.trials / f"{preflight.PREFIX}old"
    old.mkdir(parents=True)
    (old / preflight.MARKER).write_text("old")
    with meeting_point(jobs_of(store)) as survey:
        assert [path.name for path in store.trials.glob(".*")] == [survey.meeting.name]


def test_a_store_that_the_driver_cannot_write(store: Store) -> None:
    jobs = jobs_of(store)
    (store.root / "trials").write_text("a file")
    with pytest.raises(SchedulingError, match="cannot be written"), meeting_point(jobs):
        pass
