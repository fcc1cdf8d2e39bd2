"""Measurements of runtime that nobody measured, from times that are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from study.analysis.published import load_published
from study.spec.loading import load_study
from study.spec.record import Environment
from study.spec.resolved import Experiment
from study.spec.runtime import (
    ArmRuntime,
    RuntimeConditions,
    RuntimeRecord,
    digest_settings,
    make_runtime_record,
)

CPU = "cpu: Some CPU"
WOBBLE = (1.0, 1.02, 0.98, 1.01, 0.99, 1.03, 0.97, 1.0, 1.01, 0.99, 1.0)
"""What a machine does to all arms of a round alike; 11 rounds."""


def load(name: str = "table9", profile: str = "laptop") -> Experiment:
    return load_study([name], profile=profile).experiment(name)


def steady(seconds: float) -> list[float]:
    """Eleven times around ``seconds``."""
    return [seconds * factor for factor in WOBBLE]


def fabricate_record(
    experiment: Experiment,
    times: Mapping[str, Sequence[float] | str],
    *,
    device: str = CPU,
    started_at: float = 1000.0,
    settings: Mapping[str, str] | None = None,
    code: str | Mapping[str, str] = "c0de",
    against: str | None = None,
    sth_layers: Mapping[str, Mapping[str, int]] | None = None,
    **conditions: Any,
) -> RuntimeRecord:
    """A session that gave ``times`` in seconds by arm; a text is the reason why an arm has none."""
    asked = RuntimeConditions(**({"device": device.split(":")[0], "batch": 2} | conditions))
    counts = {len(values) for values in times.values() if not isinstance(values, str)} or {1}
    arms = []
    for name, values in times.items():
        arm = experiment.row(name).arms[0].settings
        printed = load_published(experiment.spec.published or "") if experiment.spec.published else None
        key = experiment.row(name).spec.published
        views = printed.row(key).views if printed and key else 1
        seconds = () if isinstance(values, str) else tuple(values)
        latency, videos = ArmRuntime.summarize(asked.batch, views, seconds)
        arms.append(
            ArmRuntime(
                arm=name,
                label=experiment.row(name).label,
                settings=(settings or {}).get(name, digest_settings(arm.model, arm.clip)),
                code=code if isinstance(code, str) else code[name],
                frames=arm.clip.frames,
                size=arm.clip.size,
                channels=3,
                classes=174,
                views=views,
                sth_layers=dict((sth_layers or {}).get(name, {})),
                reason=values if isinstance(values, str) else "",
                seconds=seconds,
                wall_seconds=tuple(2 * one for one in seconds),
                latency_ms=latency,
                videos_per_s=videos,
                peak_mem_gib=0.25 if seconds else None,
            )
        )
    return make_runtime_record(
        experiment=experiment.name,
        profile=experiment.profile.name,
        conditions=asked,
        against=against or experiment.spec.baseline,
        rounds=counts.pop(),
        warmup=2,
        seed=7,
        order=(),
        arms=tuple(arms),
        environment=Environment(
            python="3.12",
            platform="linux",
            device=device,
            versions={"torch": "2.15.0"},
            git_commit="abc",
            threads=1,
        ),
        load_average=0.5,
        started_at=started_at,
        ended_at=started_at + 60,
    )
