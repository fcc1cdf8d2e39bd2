"""What a study has found so far, in one sentence."""

from __future__ import annotations

from study.running.plan import Plan
from study.spec.resolved import Experiment


def describe_findings(plan: Plan) -> str:
    """One sentence about the accuracies: the best arm and the baseline of each table and data set."""
    parts = []
    for experiment in plan.study.experiments:
        for dataset in experiment.datasets:
            means = _means(plan, experiment, dataset.name)
            if not means:
                continue
            best, baseline = max(means, key=lambda name: means[name]), experiment.spec.baseline
            on = f" on {dataset.label}" if len(experiment.datasets) > 1 else ""
            text = f"{experiment.name}{on}: best is {best} with {100 * means[best]:.1f} % top-1"
            if baseline in means and baseline != best:
                text += f", baseline {baseline} {100 * means[baseline]:.1f} %"
            parts.append(text)
    return "; ".join(parts) + "." if parts else "No trial has finished."


def _means(plan: Plan, experiment: Experiment, dataset: str) -> dict[str, float]:
    """Mean top-1 of each row on ``dataset`` of which every trial has finished."""
    means = {}
    for row in experiment.rows:
        cells = [
            plan.find(experiment.name, arm.name, repeat)
            for arm in row.on(dataset)
            for repeat in range(experiment.repeats)
        ]
        values = [
            cell.record.metrics[cell.trial.settings.evaluation.primary].top1
            for cell in cells
            if cell.record and cell.record.status == "completed"
        ]
        if values and len(values) == len(cells):
            means[row.name] = sum(values) / len(values)
    return means
