"""Measurements of runtime in MLflow: one run a session, in an MLflow experiment of their own.

They stand beside the studies, because a session belongs to a store and not to one study; the name has a space, which
the name of a study cannot have. What is asked of the runs of trials never meets them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from study.errors import StoreError
from study.spec.runtime import RuntimeRecord, load_runtime, sort_runtimes
from study.spec.trial import canonical_json
from study.tracking.artifacts import Artifacts
from study.tracking.mirror import SyncReport
from study.tracking.names import SOURCE_NAME, STORE_TAG, metric_name
from study.tracking.redaction import first_line, redact_uri
from study.tracking.state import iter_runs
from study.tracking.store import (
    answering,
    connect,
    ensure_experiment,
    find_experiment,
    sqlite_path,
)

EXPERIMENT = "runtime measurements"
KIND = "runtime"
ARTIFACT = "runtime.json"
WHOLE = "complete"
"""Tag that is set last: a run without it was cut off and is written anew."""
BATCH = 1000
"""Metrics that MLflow takes in one request."""


def sync_runtimes(
    uri: str, records: Sequence[RuntimeRecord], artifact_root: Path, *, owner: str = ""
) -> SyncReport:
    """Write those of ``records`` that MLflow at ``uri`` does not hold; never raises. Doing it twice changes nothing.

    Args:
        uri: address of MLflow.
        records: measurements; those that are left out stay as they are.
        artifact_root: folder for artifacts when the store is a database.
        owner: id of the store that they lie in; runs with another's are not touched. One that another store has
            written already, as with an archive that was imported, needs no second run.
    """
    report = SyncReport()
    if not records:
        return report
    try:
        client = connect(uri)
        experiment_id = ensure_experiment(client, uri, EXPERIMENT, artifact_root)
        whole = _list_whole(client, experiment_id, owner)
        for record in records:
            if record.runtime_id in whole:
                report.unchanged += 1
            else:
                _write(client, experiment_id, record, owner)
                report.created += 1
    except Exception as error:  # MLflow raises what its drivers raise; a measurement is never lost for it
        problem = first_line(error, uri)
        report.errors.append(f"measurements of runtime, MLflow at {redact_uri(uri)}: {problem}")
    return report


def load_tracked_runtimes(
    uri: str, *, owner: str = "", experiments: Collection[str] | None = None
) -> list[RuntimeRecord]:
    """The measurements that MLflow at ``uri`` holds, oldest first; none where there is no such database.

    Args:
        uri: address of MLflow.
        owner: id of the store that asks. What another store wrote may lie where it cannot be read from here, and is
            left out then.
        experiments: names of the experiments whose measurements are wanted; all when None.

    Raises:
        TrackingError: when it does not answer.
        StoreError: when the file of a run is missing or no measurement.
    """
    path = sqlite_path(uri)
    if path is not None and not path.exists():
        return []
    client = connect(uri)
    experiment = find_experiment(client, EXPERIMENT)
    if experiment is None:
        return []
    with answering(uri):
        runs = list(_iter_ours(client, str(experiment.experiment_id)))
    whole = [
        run
        for run in runs
        if WHOLE in run.data.tags and (experiments is None or run.data.tags.get("tables") in experiments)
    ]
    artifacts = Artifacts(client, {run.info.run_id: run.info.artifact_uri for run in whole})
    artifacts.prefetch([run.info.run_id for run in whole], ARTIFACT)
    found = []
    for run in whole:
        try:
            found.append(load_runtime(artifacts.find(run.info.run_id, ARTIFACT)))
        except StoreError:
            if run.data.tags.get(STORE_TAG, "") == owner:
                raise
    return sort_runtimes(found)


def _list_whole(client: MlflowClient, experiment_id: str, owner: str) -> set[str]:
    """Ids of the measurements that are there. Runs of this store that were cut off, or that show what another run
    shows, are taken away.
    """
    runs = list(_iter_ours(client, experiment_id))
    whole = {
        run.data.tags["runtime_id"]
        for run in runs
        if WHOLE in run.data.tags and run.data.tags.get(STORE_TAG, "") != owner
    }
    for run in runs:
        if run.data.tags.get(STORE_TAG, "") != owner:
            continue
        runtime_id = run.data.tags["runtime_id"]
        if WHOLE in run.data.tags and runtime_id not in whole:
            whole.add(runtime_id)
        else:
            client.delete_run(run.info.run_id)
    return whole


def _iter_ours(client: MlflowClient, experiment_id: str) -> Iterator[Run]:
    return (
        run
        for run in iter_runs(client, experiment_id)
        if run.data.tags.get("kind") == KIND and "runtime_id" in run.data.tags
    )


def _write(client: MlflowClient, experiment_id: str, record: RuntimeRecord, owner: str) -> None:
    began, ended = int(record.started_at * 1000), int(record.ended_at * 1000)
    tags = _list_tags(record) | ({STORE_TAG: owner} if owner else {})
    run = client.create_run(experiment_id, start_time=began, tags=tags, run_name=_name(record))
    run_id = run.info.run_id
    metrics = [Metric(metric_name(name), value, ended, step) for name, step, value in list_metrics(record)]
    params = [Param(name, text) for name, text in list_params(record).items()]
    client.log_batch(run_id, params=params)
    for begin in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + BATCH])
    files = get_artifact_repository(run.info.artifact_uri, tracking_uri=client.tracking_uri)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / ARTIFACT
        path.write_text(record.model_dump_json(indent=1), encoding="utf-8")
        files.log_artifact(str(path))  # type: ignore[no-untyped-call]
    client.set_terminated(run_id, "FINISHED", ended)
    client.log_batch(run_id, tags=[RunTag(WHOLE, "yes")])


def _name(record: RuntimeRecord) -> str:
    return f"{record.experiment} · {record.conditions.slug}"


def _list_tags(record: RuntimeRecord) -> dict[str, str]:
    commit = record.environment.git_commit or ""
    failed = [f"{arm.label}: {arm.reason}" for arm in record.arms if arm.reason]
    return {
        "mlflow.source.name": SOURCE_NAME,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit,
        "kind": KIND,
        "runtime_id": record.runtime_id,
        "tables": record.experiment,
        "device": record.environment.device,
        "platform": record.environment.platform,
        "python": record.environment.python,
        "versions": canonical_json(record.environment.versions),
        "git_commit": commit,
        **({"without_times": "; ".join(failed)[:5000]} if failed else {}),
    }


def list_params(record: RuntimeRecord) -> dict[str, str]:
    """What was asked for, as text."""
    conditions = {name: str(value) for name, value in record.conditions.model_dump().items()}
    asked = {"rounds": record.rounds, "warmup": record.warmup, "seed": record.seed}
    return {
        "experiment": record.experiment,
        "profile": record.profile,
        "against": record.against,
        **conditions,
        **{name: str(value) for name, value in asked.items()},
    }


def list_metrics(record: RuntimeRecord) -> Iterator[tuple[str, int, float]]:
    """Name, step and value: medians by arm, and every round's latency with the round as its step."""
    for arm in record.arms:
        if arm.latency_ms is None or arm.videos_per_s is None:
            continue
        yield f"latency_ms/{arm.arm}", 0, arm.latency_ms.median
        yield f"videos_per_s/{arm.arm}", 0, arm.videos_per_s.median
        if arm.peak_mem_gib is not None:
            yield f"peak_mem_gib/{arm.arm}", 0, arm.peak_mem_gib
        for number, seconds in enumerate(arm.seconds):
            yield f"round_latency_ms/{arm.arm}", number, 1000 * seconds
