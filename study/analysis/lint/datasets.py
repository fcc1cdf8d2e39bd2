"""Sizes of data sets as the text gives them."""

from __future__ import annotations

from typing import get_args

from study.analysis.lint.finding import RuleResult
from study.analysis.lint.paper import Paper
from study.analysis.lint.rounding import Interval, interval_of_count
from study.analysis.lint.text import DatasetSpec
from study.spec.datasets.official import OfficialDataset


def check_splits(paper: Paper, result: RuleResult) -> None:
    """Do the splits fit into the total, and is the number of classes that of the data set?"""
    known = {
        get_args(dataset.model_fields["type"].annotation)[0]: dataset.classes_count
        for dataset in OfficialDataset.__subclasses__()
    }
    for key, dataset in paper.text.datasets.items():
        if key in known:
            result.checked += 1
            if dataset.classes != known[key]:
                result.add(
                    "error",
                    f"{dataset.place}, {dataset.name}",
                    f"{dataset.classes} classes",
                    f"the data set has {known[key]}",
                    evidence="its official lists",
                )
        if dataset.splits and dataset.videos:
            result.checked += 1
            _check_sum(paper, result, key, dataset)


def _check_sum(paper: Paper, result: RuleResult, key: str, dataset: DatasetSpec) -> None:
    """Splits may leave some videos out, the test set say, but cannot have more than there are."""
    about = dataset.about
    parts = [interval_of_count(size, about=about) for size in dataset.splits.values()]
    total = sum(parts, Interval(0, 0))
    whole = interval_of_count(dataset.videos or 0, about=about)
    if total.low <= whole.high:
        return
    twins = [
        other.name
        for name, other in paper.text.datasets.items()
        if name != key and other.splits == dataset.splits
    ]
    like = f"; {', '.join(twins)} has the same splits" if twins else ""
    sizes = ", ".join(f"{size:,} for {name}" for name, size in dataset.splits.items())
    result.add(
        "error",
        f"{dataset.place}, {dataset.name}",
        f"{dataset.videos:,} videos; {sizes}",
        f"the splits have more videos than there are{like}",
        evidence=f"{' + '.join(f'{size:,}' for size in dataset.splits.values())} = {sum(dataset.splits.values()):,}",
    )
