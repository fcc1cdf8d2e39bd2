"""The study that the tests export, and what they ask of it."""

from __future__ import annotations

from pathlib import Path

from study.running.store import Store
from study.spec.loading import load_study
from study.spec.resolved import Study
from tests.running.conftest import TOY


def toy() -> Study:
    return load_study(["table8"], overrides=TOY)


def first_trial(store: Store) -> str:
    return sorted(path.name for path in store.trials.iterdir())[0]


def read_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
