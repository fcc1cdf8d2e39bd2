"""Which columns the run table opens with.

By default MLflow shows neither metrics nor tags, so every study would have to be set up by hand. A view that
a user shares is kept as a tag of the experiment and opened with its key in the address; this package writes
such a view. MLflow does not document the form (read from release 3.17.2): one that it cannot read costs a
message in the page, no data.
"""

from __future__ import annotations

from collections.abc import Iterable

from study.spec.trial import canonical_json
from study.tracking.names import metric_name

VIEW_KEY = "study"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_KEY}"


def view_state(protocols: Iterable[str]) -> str:
    """The view: accuracy by the primary ``protocols``, cost, and in which tables and state a trial stands."""
    finals = [metric_name(f"final/{protocol}/{name}") for protocol in protocols for name in ("top1", "top5")]
    metrics = [*finals, "train/loss", "cost/params_m", "cost/gmacs_per_view"]
    columns = [f"metrics.`{name}`" for name in metrics]
    columns += [f"tags.`{name}`" for name in ("tables", "status", "reason")]
    return canonical_json(
        {"selectedColumns": columns, "orderByKey": "attributes.start_time", "orderByAsc": True}
    )


def runs_url(base: str, experiment_id: str, tags: dict[str, str]) -> str:
    """Address of the run table of an experiment with these ``tags``, with our view where there is one.

    ``base`` is the address of the server. MLflow by itself opens on another page.
    """
    view = f"?viewStateShareKey={VIEW_KEY}" if VIEW_TAG in tags else ""
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs{view}"
