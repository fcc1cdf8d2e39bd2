"""What a report is made from, as its manifest keeps it: request, inputs, trials.

Writing a manifest and checking one derive these in the same way, so that what differs has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.analysis.published import find_reports
from study.errors import StudyError
from study.reporting.manifest import Origin, Request, TrialMark
from study.running.fingerprint import fingerprint_code, fingerprint_modules
from study.running.plan import Plan, PlannedTrial
from study.spec.loading import find_experiments
from study.spec.resolved import Experiment, Study
from study.spec.trial import derive_digest, identity_dump

COVERED = (
    "study.analysis",
    "study.reporting",
    "study.commands",
    "study.cost.architecture",
    "study.cost.oracle",
    "study.data.contact_sheet",
    "study.scores",
    "study.tracking.database",
    "study.tracking.read",
    "study.tracking.runtime",
)
"""Packages whose code decides what a report says about given trials; the trials' own code is in their marks."""
NEVER_SHOWN = frozenset(
    {
        "study.commands.progress",
        "study.commands.report_manifest",
        "study.commands.sync",
        "study.commands.tracking",
        "study.reporting.manifest",
    }
)
"""Modules among them that leave no trace in a report."""


def describe_origin(plan: Plan, runtimes: Mapping[str, str]) -> Origin:
    """What a report of ``plan`` is made from that shows the measurements ``runtimes``
    (:func:`study.commands.runtimes.mark_runtimes`).
    """
    return Origin(
        request=describe_request(plan.study),
        inputs=digest_inputs(plan.study),
        trials=tuple(mark_trial(planned) for planned in plan.trials),
        runtimes=dict(runtimes),
    )


def describe_request(study: Study) -> Request:
    """What makes this study again."""
    repeats = {experiment.repeats for experiment in study.experiments}
    own = all(experiment.repeats == experiment.spec.repeats for experiment in study.experiments)
    return Request(
        study=study.name,
        specs=tuple(_name_experiment(study.experiment(name)) for name in study.requested),
        profile=study.profile.name,
        overrides=study.overrides,
        repeats=None if own else repeats.pop(),
    )


def _name_experiment(experiment: Experiment) -> str:
    """Its name where that is enough, else its path, relative where it lies below the working directory."""
    path = experiment.path.resolve()
    if path == (find_experiments() / f"{experiment.name}.yaml").resolve():
        return experiment.name
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def digest_inputs(study: Study) -> dict[str, str]:
    """Digests of the experiments, the published values, the claims, the templates and the code, by name."""
    reports = find_reports()
    inputs = {f"experiment {e.name}": derive_digest(_resolve(e)) for e in study.experiments}
    for path in sorted([*reports.glob("*.yaml"), *reports.glob("published/*.yaml")]):
        inputs[f"reports/{path.relative_to(reports).as_posix()}"] = _digest_values(path)
    for path in sorted(path for path in reports.glob("templates/**/*") if path.is_file()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        inputs[f"reports/{path.relative_to(reports).as_posix()}"] = digest
    modules = fingerprint_modules(frozenset({"study.commands.report"}), COVERED).modules
    return inputs | {f"code {name}": digest for name, digest in modules.items() if name not in NEVER_SHOWN}


def _digest_values(path: Path) -> str:
    """SHA-256 of a YAML file without empty lines and lines of comment. Parsing it would take the tenfold time."""
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    kept = [line for line in lines if line and not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def _resolve(experiment: Experiment) -> dict[str, Any]:
    """Everything of an experiment that a report can show, without the places where files lie."""
    profile = experiment.profile
    return {
        "spec": identity_dump(experiment.spec),
        "profile": {
            "name": profile.name,
            "about": profile.about,
            "limits": profile.limits.model_dump(mode="json"),
        },
        "repeats": experiment.repeats,
        "datasets": [
            [dataset.name, dataset.label, dataset.about, *dataset.folds] for dataset in experiment.datasets
        ],
        "arms": {arm.name: [arm.label, identity_dump(arm.settings)] for arm in experiment.arms},
    }


def mark_trial(planned: PlannedTrial) -> TrialMark:
    """The trial as it stands in the plan."""
    trial, record = planned.trial, planned.record
    return TrialMark(
        id=planned.trial_id,
        cells=tuple((use.experiment, use.arm, use.repeat) for use in planned.uses),
        status=record.status if record else "",
        ended_at=record.ended_at if record else None,
        trained_with=record.code.digest if record else "",
        code=fingerprint_code(trial.settings).digest,
        data_digest=trial.data_digest,
        weights_digest=trial.weights_digest,
    )


def compare_inputs(before: dict[str, str], study: Study) -> list[str]:
    """A line for every input of a report that is another one now."""
    try:
        now = digest_inputs(study)
    except StudyError as error:
        return str(error).splitlines()
    return [
        f"{name}: {'is new' if name not in before else 'is gone' if name not in now else 'has changed'}"
        for name in sorted(set(before) | set(now))
        if before.get(name) != now.get(name)
    ]
