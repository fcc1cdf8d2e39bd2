"""``ui``: MLflow's own interface over a study."""

from __future__ import annotations

from pathlib import Path

import typer

from study.errors import StoreError
from study.running.store import Store
from study.tracking.ui import serve


def run_ui(storage: Path, *, study: str, tracking_uri: str | None, port: int | None) -> None:
    """Serve the store's MLflow on loopback until interrupted.

    Raises:
        StoreError: when there is nothing to serve or the port is taken.
    """
    store = Store.at(storage)
    if tracking_uri is None and not store.database.exists():
        raise StoreError(f"{store.root}: no MLflow database yet; run_study.py launch makes one")
    serve(
        tracking_uri or store.tracking_uri,
        study,
        port=port,
        on_ready=lambda url: typer.echo(f"MLflow: {url}\nStop with Ctrl+C."),
    )
