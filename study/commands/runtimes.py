"""Measurements of runtime for a report: which of them it shows, and by which code they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from study.analysis.claims.material import MeasuredSpeed, Untestable
from study.analysis.claims.speeds import describe_speed
from study.analysis.published import load_published
from study.analysis.runtime import (
    PRINTED,
    RuntimeTable,
    build_runtime_table,
    choose_table,
    select_runtimes,
)
from study.models.backbones import BACKBONES
from study.reporting.display import Display
from study.reporting.runtime import build_speed_displays
from study.running.fingerprint import PACKAGE, fingerprint_modules
from study.running.store import Store
from study.spec.record import CodeFingerprint
from study.spec.resolved import Study
from study.spec.runtime import RuntimeRecord, load_runtimes
from study.spec.trial import TrialSettings, derive_digest

COVERED = ("study.models", "study.kernels", "study.cost.runtime")
"""Packages whose code decides how fast a network is, and how that is measured."""
NATIVE = "study.kernels.native"
"""Package that has sources in C++ beside it, which count for the networks that import it."""


def fingerprint_network(settings: TrialSettings) -> CodeFingerprint:
    """The fingerprint of the code of the network of ``settings`` and of the timer."""
    model = settings.model
    blocks = [model.block, *([model.on_top.block] if model.on_top else [])]
    roots = {block.factory.split(":")[0] for block in blocks if block.factory}
    roots |= {"study.cost.runtime.session", BACKBONES.module(model.backbone)}
    found = fingerprint_modules(frozenset(roots), COVERED)
    if not any(module.startswith(NATIVE) for module in found.modules):
        return found
    modules = found.modules | _digest_native()
    return CodeFingerprint(digest=derive_digest(modules)[:16], modules=modules)


@cache
def _digest_native() -> dict[str, str]:
    folder = PACKAGE.joinpath(*NATIVE.split(".")[1:])
    sources = sorted([*folder.glob("*.cpp"), *folder.glob("*.h")])
    return {f"{NATIVE}/{path.name}": sha256(path.read_bytes()).hexdigest()[:16] for path in sources}


@dataclass(frozen=True)
class Runtimes:
    """The measurements that a report shows.

    Attributes:
        profile: name of the study's profile.
        tables: by experiment, one for each set of conditions.
    """

    profile: str
    tables: Mapping[str, Sequence[RuntimeTable]] = field(default_factory=dict)

    @property
    def records(self) -> list[RuntimeRecord]:
        """The sessions behind them."""
        return [table.record for tables in self.tables.values() for table in tables if table.record]

    def build_displays(self) -> list[Display]:
        """The tables as they are shown; one of the paper's tables of speeds says so where nothing was measured."""
        hints = {name: self.command(name) for name in self.tables}
        return [one for tables in self.tables.values() for one in build_speed_displays(tables, hints)]

    def command(self, experiment: str) -> str:
        """The command that measures ``experiment`` at the profile of the study."""
        return f"uv run run_study.py bench {experiment} --profile {self.profile}"

    def find_speed(self, experiment: str, arm: str, over: str) -> MeasuredSpeed:
        """Speed of ``arm`` over that of ``over``, from the measurement nearest to the paper's conditions.

        Raises:
            Untestable: when there is none, saying how to make it.
        """
        if experiment not in self.tables:
            raise Untestable(
                f"'{experiment}' is not part of this report: `{self.command(experiment)}` measures its speeds, and "
                f"`uv run run_study.py report {experiment} --profile {self.profile}` shows them."
            )
        table = choose_table(self.tables[experiment])
        if table is None:
            raise Untestable(f"No speed is measured: `{self.command(experiment)}` measures it.")
        return describe_speed(table, arm, over)


def collect_runtimes(study: Study, records: Sequence[RuntimeRecord]) -> Runtimes:
    """Those of ``records`` that a report of ``study`` shows: the newest under each of their conditions."""
    tables: dict[str, list[RuntimeTable]] = {}
    for experiment in study.experiments:
        published = load_published(experiment.spec.published) if experiment.spec.published else None
        found = select_runtimes(experiment, records)
        codes = {
            row.name: fingerprint_network(row.arms[0].settings).digest for row in experiment.rows if row.arms
        }
        wanted: Sequence[RuntimeRecord | None] = found
        if not found and published is not None and PRINTED in published.columns:
            wanted = [None]
        if wanted:
            tables[experiment.name] = [
                build_runtime_table(experiment, record, published=published, codes=codes) for record in wanted
            ]
    return Runtimes(study.profile.name, tables)


def collect_stored(study: Study, store: Store) -> Runtimes:
    """Those that lie in ``store``."""
    return collect_runtimes(study, load_runtimes(store.runtime))


def mark_runtimes(runtimes: Runtimes) -> dict[str, str]:
    """What a report's manifest keeps of its measurements: by id a digest of which rows it shows, and which as stale."""
    return {
        table.record.runtime_id: derive_digest(
            [table.experiment.name, [[row.name, row.reason, row.stale] for row in table.rows]]
        )[:16]
        for tables in runtimes.tables.values()
        for table in tables
        if table.record
    }
