"""``sync``: bring MLflow up to date with the store, after an outage or into another server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from study.commands.tracked_runtimes import sync_stored
from study.commands.tracking import list_items, open_mirror
from study.errors import DataError, StoreError
from study.running.plan import make_plan
from study.running.store import Store
from study.spec.resolved import Study
from study.tracking.redaction import redact_uri


def sync(study: Study, storage: Path, *, tracking_uri: str | None) -> int:
    """Write what MLflow lacks of ``study``, and every measurement of runtime in the store, and say what was done. Doing
    it twice changes nothing.

    Trials that were cut off are closed as KILLED; the next launch goes on with them.

    Returns:
        The exit code: 0 when MLflow now holds everything, 1 when something could not be written.

    Raises:
        StoreError: when there is no store, or a launch is at work on it, which keeps MLflow up to date itself.
        DataError: when data are not at hand by which trials are known.
    """
    store = Store.at(storage)
    if not store.trials.is_dir() and not store.runtime.is_dir():
        raise StoreError(f"{store.root}: holds no trials; name the directory of the study with --storage")
    console = Console(highlight=False)
    with store.locked():
        timed = sync_stored(store, tracking_uri)
        if store.runtime.is_dir():
            console.print(f"Measurements of runtime: {timed.created} new, {timed.unchanged} unchanged.")
        if not store.trials.is_dir():
            return _tell(timed.errors, console)
        plan = make_plan(study, store)
        if plan.warnings:
            raise DataError("\n".join(plan.warnings))
        mirror, items = open_mirror(study.name, store, tracking_uri), list_items(plan, store)
        report = mirror.sync(items, force=True)
        page = store.report / "report.html"
        problems = report.errors + mirror.describe(items, page if page.exists() else None)
    counts = {
        "new": report.created,
        "brought up to date": report.updated,
        "unchanged": report.unchanged,
        "not begun": report.absent,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    console.print(
        f"MLflow at {redact_uri(mirror.uri)}, study {study.name}: {told}.", markup=False, soft_wrap=True
    )
    return _tell([*timed.errors, *problems], console)


def _tell(problems: Sequence[str], console: Console) -> int:
    """Print what could not be written; the exit code."""
    for problem in dict.fromkeys(problems):
        console.print(f"not written: {problem}", style="red", markup=False, soft_wrap=True)
    return 1 if problems else 0
