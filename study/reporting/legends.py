"""The paragraph below a table: what its numbers are and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

from study.analysis.statistics.deltas import Delta
from study.analysis.tables import TableResult


def write_legend(table: TableResult, with_published: bool) -> str:
    """What the numbers of ``table`` are; ``with_published`` where the paper's stand beside them."""
    repeats = table.experiment.repeats
    profile = table.experiment.profile
    parts = [f"Measured here: profile {profile.name} ({profile.about.rstrip('.')}).", *_limits(table)]
    if repeats > 1:
        parts.append(
            f"Mean ± sample standard deviation over {repeats} repeats. (n = …): fewer repeats have finished."
        )
    else:
        parts.append("One repeat, so accuracies have no spread.")
    parts += [f"{dataset.label}: {dataset.about.rstrip('.')}." for dataset in table.datasets if dataset.about]
    folds = max(len(dataset.folds) for dataset in table.datasets)
    if folds > 1:
        parts.append("Accuracies are means over the folds.")
    parts += _describe_evidence(table)
    if with_published and table.view.published is not None:
        parts.append(f"Published: {table.view.published.source}; {table.view.published.setting}.")
        parts.append("GMACs and what the paper calls GFLOPs are multiply-accumulates of one view.")
    return " ".join(parts)


def _limits(table: TableResult) -> list[str]:
    """What the profile makes smaller than the rows' names say; nothing where it changes none of them."""
    profile = table.experiment.profile
    limits, arms = profile.limits, table.experiment.arms
    texts = []
    at_limit = any(arm.settings.clip.frames == limits.frames for arm in arms)
    if limits.frames is not None and table.experiment.datasets[0].name and at_limit:
        texts.append(f"Clips have at most {limits.frames} frames here, whatever a row is named.")
    small = {arm.settings.model.backbone for arm in arms} & set(limits.backbones.values())
    if small:
        texts.append(f"{', '.join(sorted(small))} stands for {', '.join(sorted(limits.backbones))}.")
    return texts


def _describe_evidence(table: TableResult) -> list[str]:
    """What the differences mean, and how sure they are."""
    deltas = list(table.view.evidence.deltas.values())
    if not deltas:
        return ["Δ is the difference in top-1 to the baseline, repeat by repeat, ± its standard deviation."]
    texts = [
        "Δ is the difference in top-1 to the baseline with its 95 % interval, paired by video and repeat; * marks "
        "p < 0.05 after Holm's correction over the table.",
        *_describe_power(deltas),
    ]
    if any(len(dataset.folds) > 1 for dataset in table.datasets):
        texts.append("Intervals pool the videos of all folds.")
    return texts + _describe_ranks(table)


def _describe_power(deltas: Sequence[Delta]) -> list[str]:
    if any(delta.varies == "videos" for delta in deltas):
        scope = (
            "With fewer than three repeats intervals and stars are about these trained networks on new videos, and "
            "say nothing about other seeds."
        )
    else:
        scope = "Intervals and stars are about new videos and new repeats."
    detectable = sorted(delta.detectable for delta in deltas)
    return [
        scope,
        f"A true difference of {detectable[len(detectable) // 2]:.1f} points (median over rows) would be found four "
        "times in five, before correction.",
    ]


def _describe_ranks(table: TableResult) -> list[str]:
    texts = []
    for dataset in table.datasets:
        ranks = table.view.evidence.ranks.get(dataset.name)
        if ranks is not None:
            on = f" on {dataset.label}" if len(table.datasets) > 1 else ""
            texts.append(
                f"Agreement with the published order{on}: Kendall's tau {ranks.tau:+.2f} [{ranks.low:+.2f}, "
                f"{ranks.high:+.2f}] over {len(ranks.arms)} rows, {ranks.undecided} pairs undecided.".replace(
                    "-", "−"
                )
            )
    return texts
