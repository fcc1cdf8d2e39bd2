"""``bench``: speed and memory of the arms of experiments, measured, stored, tracked and shown."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, TaskID
from tabulate import tabulate

from study.analysis.published import PublishedTable, load_published
from study.analysis.runtime import RuntimeTable, build_runtime_table, write_ranking
from study.commands.costs import CostBook
from study.commands.runtimes import fingerprint_network
from study.cost.runtime.device import check_device, name_device
from study.cost.runtime.session import NetworkRuntime, measure_networks
from study.cost.runtime.workload import NetworkRequest
from study.errors import SpecError, suggest
from study.reporting.runtime import build_speed_displays, describe_layers, describe_session, speed_frame
from study.running.environment import describe_environment
from study.running.store import Store
from study.seeding import derive_seed
from study.spec.resolved import Experiment, Row, Study
from study.spec.runtime import (
    ArmRuntime,
    Mode,
    RuntimeConditions,
    RuntimeRecord,
    digest_settings,
    make_runtime_record,
    save_runtime,
)
from study.tracking.redaction import redact_uri

DEFAULT_ROUNDS = {"cpu": 21, "cuda": 31}
WARMUP = 2
CLASSES = 174
"""Of the classifier where the data set's number is not to be had: those of Something-Something V1."""


@dataclass(frozen=True)
class BenchOptions:
    """What ``bench`` was asked for besides the experiments.

    Attributes:
        storage: directory of the study.
        tracking_uri: MLflow's address; the store's own database when None.
        arms: rows to measure; all when empty. The row that ratios are to always comes along.
        device: "cpu" or "cuda".
        batch: clips of one pass; 1 on a CPU and the paper's 16 on a GPU when None.
        dtype: "fp32", "bf16" or "fp16".
        compile: whether networks go through ``torch.compile``.
        modes: what is measured, a session each.
        rounds: rounds that count; by device when None.
        threads: threads that compute.
        against: the row that ratios are to; each experiment's baseline when None.
        as_json: whether to print JSON and nothing else.
        tracked: whether MLflow gets the measurement now; ``sync`` and ``report`` write what it lacks.
    """

    storage: Path
    tracking_uri: str | None = None
    arms: tuple[str, ...] = ()
    device: str = "cpu"
    batch: int | None = None
    dtype: str = "fp32"
    compile: bool = False
    modes: tuple[Mode, ...] = ("inference",)
    rounds: int | None = None
    threads: int = 1
    against: str | None = None
    as_json: bool = False
    tracked: bool = True

    def make_conditions(self, mode: Mode) -> RuntimeConditions:
        """The conditions of one session.

        Raises:
            SpecError: when they contradict each other.
        """
        try:
            return RuntimeConditions.model_validate(
                {
                    "device": self.device,
                    "batch": self.batch or (16 if self.device == "cuda" else 1),
                    "dtype": self.dtype,
                    "compile": self.compile,
                    "mode": mode,
                    "threads": self.threads,
                }
            )
        except ValidationError as error:
            raise SpecError(
                [str(one["ctx"]["error"] if "ctx" in one else one["msg"]) for one in error.errors()]
            ) from None


def bench(study: Study, options: BenchOptions) -> int:
    """Measure the rows of every experiment of ``study``; store, track and print what came out.

    Returns:
        The exit code: 0 when every network that was to be measured has times, 1 otherwise.

    Raises:
        SpecError: when the request is wrong: no such arm, no such device, a type that the device has not.
        StoreError: when the store cannot be written.
    """
    conditions = [options.make_conditions(mode) for mode in options.modes]
    check_device(options.device)
    experiments = [study.experiment(name) for name in study.requested] or list(study.experiments)
    chosen = [choose_rows(experiment, options.arms, options.against) for experiment in experiments]
    store, console = Store.at(options.storage), Console(highlight=False, stderr=options.as_json)
    tables: list[RuntimeTable] = []
    for experiment, rows in zip(experiments, chosen, strict=True):
        for one in conditions:
            record = _measure(experiment, rows, one, options, store, console)
            save_runtime(record, store.runtime)
            published = _load_published(experiment)
            tables.append(build_runtime_table(experiment, record, published=published))
            if not options.as_json:
                _print(tables[-1], rows, store, console)
    if options.tracked:
        _track(options, store, console)
    if options.as_json:
        print(json.dumps({"measurements": [_dump(table) for table in tables]}))
    return 1 if any(_list_failed(table) for table in tables) else 0


def choose_rows(experiment: Experiment, arms: Sequence[str], against: str | None) -> tuple[Row, ...]:
    """The rows to measure, in the order of the table; the first is not special.

    Raises:
        SpecError: naming what is no row of ``experiment``, or the reference that no network stands for.
    """
    names = [row.name for row in experiment.rows]
    reference = against or experiment.spec.baseline
    problems = [
        f"{experiment.name}: no arm '{name}'; {suggest(name, names)}"
        for name in dict.fromkeys((*arms, reference))
        if name not in names
    ]
    if not problems and not experiment.row(reference).arms:
        built = [row.name for row in experiment.rows if row.arms]
        problems = [
            f"{experiment.name}: --against '{reference}': no network stands for it; {suggest('', built)}"
        ]
    if problems:
        raise SpecError(problems)
    return tuple(row for row in experiment.rows if not arms or row.name in (*arms, reference))


def _measure(
    experiment: Experiment,
    rows: Sequence[Row],
    conditions: RuntimeConditions,
    options: BenchOptions,
    store: Store,
    console: Console,
) -> RuntimeRecord:
    book, published = CostBook(store), _load_published(experiment)
    requests = {row.name: _request(row, book) for row in rows if row.arms}
    rounds = options.rounds or DEFAULT_ROUNDS[conditions.device]
    seed = derive_seed("runtime", experiment.name, conditions.slug)
    began, load = time.time(), _read_load()
    with Progress(console=console, transient=True) as progress:
        title = f"{experiment.name}, {conditions.slug}"
        task = progress.add_task(f"{title}: building", total=len(requests) + WARMUP + rounds)
        session = measure_networks(
            list(requests.values()),
            conditions,
            rounds=rounds,
            warmup=WARMUP,
            seed=seed,
            prepared=lambda name: progress.advance(task),
            progress=lambda done, total: _advance(progress, task, f"{title}: round {done} of {total}"),
        )
    environment = describe_environment(torch.device(conditions.device)).model_copy(
        update={"device": name_device(conditions.device), "threads": conditions.threads}
    )
    return make_runtime_record(
        experiment=experiment.name,
        profile=experiment.profile.name,
        conditions=conditions,
        against=options.against or experiment.spec.baseline,
        rounds=rounds,
        warmup=WARMUP,
        seed=seed,
        order=tuple(session.orders),
        arms=tuple(
            _describe_arm(row, requests.get(row.name), session.networks.get(row.name), conditions, published)
            for row in rows
        ),
        environment=environment,
        load_average=load,
        started_at=began,
        ended_at=time.time(),
    )


def _request(row: Row, book: CostBook) -> NetworkRequest:
    """The network of a row on its first data set; its speed does not depend on the videos."""
    settings = row.arms[0].settings
    clip = settings.clip
    return NetworkRequest(
        name=row.name,
        model=settings.model,
        num_classes=book.count_classes(settings) or CLASSES,
        frames=clip.frames,
        size=clip.size,
        channels=clip.channels,
        optimizer=settings.training.optimizer,
    )


def _describe_arm(
    row: Row,
    request: NetworkRequest | None,
    found: NetworkRuntime | None,
    conditions: RuntimeConditions,
    published: PublishedTable | None,
) -> ArmRuntime:
    if request is None or found is None:
        reason = row.spec.published_only or f"fuses the scores of {', '.join(row.spec.fuse)}"
        return ArmRuntime(arm=row.name, label=row.label, reason=reason.strip())
    settings = row.arms[0].settings
    printed = published.row(row.spec.published) if published and row.spec.published else None
    views = printed.views if printed else 1
    seconds = tuple(one.seconds for one in found.readings)
    latency, videos = ArmRuntime.summarize(conditions.batch, views, seconds)
    return ArmRuntime(
        arm=row.name,
        label=row.label,
        settings=digest_settings(settings.model, settings.clip),
        code=fingerprint_network(settings).digest,
        frames=request.frames,
        size=request.size,
        channels=request.channels,
        classes=request.num_classes,
        views=views,
        reason=found.reason,
        graph=found.graph,
        note=found.note,
        sth_layers=dict(found.sth_layers),
        seconds=seconds,
        wall_seconds=tuple(one.wall_seconds for one in found.readings),
        latency_ms=latency,
        videos_per_s=videos,
        peak_mem_gib=found.peak.gib if seconds else None,
        peak_mem_note=found.peak.note if seconds else "",
    )


def _load_published(experiment: Experiment) -> PublishedTable | None:
    return load_published(experiment.spec.published) if experiment.spec.published else None


def _read_load() -> float | None:
    with suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return None


def _advance(progress: Progress, task: TaskID, text: str) -> None:
    progress.update(task, advance=1, description=text)


def _track(options: BenchOptions, store: Store, console: Console) -> None:
    """Into MLflow; what cannot be written now is written by ``sync`` or ``report``."""
    from study.commands.tracked_runtimes import update_tracked

    report = update_tracked(store, options.tracking_uri)
    for problem in report.errors:
        text = f"warning: {problem}. The measurement is kept; later: run_study.py sync"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    if not report.errors and not options.as_json:
        uri = redact_uri(options.tracking_uri or store.tracking_uri)
        console.print(f"MLflow at {uri}: {report.created} new runs.", markup=False, soft_wrap=True)


def _list_failed(table: RuntimeTable) -> list[ArmRuntime]:
    """Networks that were to be measured and were not."""
    arms = table.record.arms if table.record else ()
    return [arm for arm in arms if arm.settings and not arm.measured]


def _print(table: RuntimeTable, rows: Sequence[Row], store: Store, console: Console) -> None:
    record = table.record
    assert record is not None
    display = build_speed_displays([table], {})[0]
    names = {row.name for row in rows}
    lines = [
        [cell.shown for cell in cells]
        for row, cells in zip(table.rows, display.rows, strict=True)
        if row.name in names
    ]
    headers = [
        f"{column.group}\n{column.header}" if column.group else column.header for column in display.columns
    ]
    console.print(display.title, markup=False, soft_wrap=True)
    print(tabulate(lines, headers=headers, disable_numparse=True))
    console.print(describe_session(record), markup=False, soft_wrap=True)
    ranking = write_ranking(record, {arm.arm: arm.label for arm in record.arms})
    for text in filter(None, [ranking, *_list_remarks(record)]):
        console.print(text, markup=False, soft_wrap=True)
    path = store.runtime / f"{record.runtime_id}.json"
    console.print(f"Measurement: {path}\n", markup=False, soft_wrap=True)


def _list_remarks(record: RuntimeRecord) -> list[str]:
    """What ran the layers of STH-Conv, and why arms have no times, no graph or no peak, a line each."""
    found = []
    for arm in record.arms:
        texts = (arm.reason, arm.note, arm.peak_mem_note, describe_layers(arm.sth_layers))
        found += [f"{arm.label}: {text}" for text in texts if text]
    return found


def _dump(table: RuntimeTable) -> dict[str, object]:
    record = table.record
    assert record is not None
    rows = json.loads(speed_frame(table).to_json(orient="records", double_precision=15))
    measured = {arm.arm for arm in record.arms}
    return {
        "runtime_id": record.runtime_id,
        "experiment": record.experiment,
        "ranking": write_ranking(record, {arm.arm: arm.label for arm in record.arms}),
        "rows": [row for row in rows if row["arm"] in measured],
        "record": record.model_dump(mode="json"),
    }
