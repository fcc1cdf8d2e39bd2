"""What the trials of one experiment say about the differences in its table, beyond the differences themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from study.analysis.factors import Factor
from study.analysis.statistics.deltas import Delta, compare, correct_deltas
from study.analysis.statistics.hits import VideoHits, pair_hits
from study.analysis.statistics.ranks import RankAgreement, agree_on_ranks

Cell = tuple[str, str]
"""A row and a data set, by name."""
HitsByRepeat = Mapping[int, VideoHits]
Confounders = Mapping[Cell, tuple[Factor, ...]]


@dataclass(frozen=True)
class Evidence:
    """Statistics of one experiment.

    Attributes:
        deltas: difference of each row to the baseline on each data set, corrected over the table.
        refused: why a row has none although it has results.
        confounders: what else differs between a row's trials and the baseline's than the rows declare.
        ranks: agreement with the published order on each data set.
        hits: what all of it rests on: which videos each row got right on each data set, by repeat.
    """

    deltas: Mapping[Cell, Delta] = field(default_factory=dict)
    refused: Mapping[Cell, str] = field(default_factory=dict)
    confounders: Confounders = field(default_factory=dict)
    ranks: Mapping[str, RankAgreement] = field(default_factory=dict)
    hits: Mapping[Cell, HitsByRepeat] = field(default_factory=dict)


def weigh(
    hits: Mapping[Cell, HitsByRepeat],
    baseline: str,
    published: Mapping[Cell, float],
    confounders: Confounders,
) -> Evidence:
    """Compare every row with the baseline of its data set, and the order of rows with the published one.

    Args:
        hits: of each row and data set by number of the repeat.
        baseline: name of the row that the others are compared with.
        published: published accuracies, as far as the table has them.
        confounders: found beforehand; passed on.
    """
    deltas, refused = dict[Cell, Delta](), dict[Cell, str]()
    for (row, dataset), own in hits.items():
        reference = hits.get((baseline, dataset))
        if row == baseline or not own or not reference:
            continue
        try:
            deltas[row, dataset] = compare(pair_hits(own, reference))
        except ValueError as error:
            refused[row, dataset] = str(error)
    # One correction over the whole table: all its differences are looked at together.
    corrected = dict(zip(deltas, correct_deltas(list(deltas.values())), strict=True))
    ranks = {}
    for dataset in dict.fromkeys(name for _, name in hits):
        measured = {row: own for (row, name), own in hits.items() if name == dataset and own}
        printed = {row: value for (row, name), value in published.items() if name == dataset}
        try:
            ranks[dataset] = agree_on_ranks(measured, printed)
        except ValueError:
            continue  # too few rows with a published value, or no order in them
    return Evidence(corrected, refused, confounders, ranks, hits)
