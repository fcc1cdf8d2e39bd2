"""Measurements of runtime in MLflow: read for a report, and kept in step with the store."""

from __future__ import annotations

from study.commands.runtimes import Runtimes, collect_runtimes
from study.errors import StoreError
from study.running.store import Store
from study.spec.resolved import Study
from study.spec.runtime import load_runtimes
from study.tracking.mirror import SyncReport
from study.tracking.runtime import load_tracked_runtimes, sync_runtimes


def collect_tracked(study: Study, store: Store, uri: str) -> Runtimes:
    """Those that MLflow at ``uri`` holds."""
    names = {experiment.name for experiment in study.experiments}
    return collect_runtimes(study, load_tracked_runtimes(uri, owner=store.find_id(), experiments=names))


def sync_stored(store: Store, tracking_uri: str | None) -> SyncReport:
    """Bring MLflow up to date with the measurements in ``store``, which is to be locked; never raises."""
    if not store.runtime.is_dir():
        return SyncReport()
    try:
        records, owner = load_runtimes(store.runtime), store.claim_id()
    except (StoreError, OSError) as error:
        return SyncReport(errors=[str(error)])
    return sync_runtimes(tracking_uri or store.tracking_uri, records, store.artifacts, owner=owner)


def update_tracked(store: Store, tracking_uri: str | None) -> SyncReport:
    """The same for a store that is not locked; one that a launch is at work on is left to the next time."""
    if not store.runtime.is_dir():
        return SyncReport()
    try:
        with store.locked():
            return sync_stored(store, tracking_uri)
    except StoreError as error:
        return SyncReport(errors=[str(error)])
