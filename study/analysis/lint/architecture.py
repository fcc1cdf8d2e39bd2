"""The printed widths of a network of bottlenecks against its printed parameters."""

from __future__ import annotations

from fractions import Fraction

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper, label
from study.analysis.lint.rounding import interval_of
from study.analysis.lint.text import ArchitectureSpec
from study.analysis.published import PublishedTable

Stage = tuple[int, int, int, int]
"""Channels of the first, the hybrid and the last convolution, and blocks."""


def check_architecture(paper: Paper, result: RuleResult) -> None:
    """Do the printed widths give the parameters that are printed for the same network?"""
    for spec in paper.text.architectures:
        table = paper.tables[spec.table]
        stages = [_read(table, row) for row in spec.stages]
        printed = interval_of(paper.value(spec.params))
        if printed is None:
            result.skipped += 1
            continue
        result.checked += 1
        count = _count(spec, stages) / 1e6
        if printed.holds(count):
            continue
        # The only other width that a bottleneck can have: that of the convolution it leads to.
        narrow = _count(spec, [(hybrid, hybrid, last, blocks) for _, hybrid, last, blocks in stages]) / 1e6
        instead = "; as wide as the convolution after it, " if printed.holds(narrow) else "; even then "
        result.add(
            "error",
            label(table),
            f"first convolutions of {', '.join(str(first) for first, *_ in stages)} channels",
            f"with these the network has {count:.1f} M parameters, not {paper.value(spec.params)}",
            evidence=f"{paper.name_cell(spec.params)}: {paper.value(spec.params)}; weights as in "
            f"{spec.source}{instead}{narrow:.2f} M",
        )


def _read(table: PublishedTable, key: str) -> Stage:
    values = table.row(key).values
    first, hybrid, last, blocks = (int(values[name] or 0) for name in ("first", "hybrid", "last", "blocks"))
    return first, hybrid, last, blocks


def _count(spec: ArchitectureSpec, stages: list[Stage]) -> int:
    """Weights of the convolutions, two for each channel of BatchNorm, and the classifier with its biases.

    A hybrid kernel has p 3 + (1 - p) 9 weights for each input channel.
    """
    inputs, kernel = spec.stem
    total, channels = inputs * kernel**2 * spec.stem_channels + 2 * spec.stem_channels, spec.stem_channels
    weights = Fraction(spec.p) * 3 + (1 - Fraction(spec.p)) * 9
    for first, hybrid, last, blocks in stages:
        for number in range(blocks):
            total += channels * first + int(weights * first * hybrid) + hybrid * last
            total += 2 * (first + hybrid + last)
            if number == 0:  # its shortcut is a convolution
                total += channels * last + 2 * last
            channels = last
    return total + (channels + 1) * spec.classes
