"""Which figures a study has: each is drawn, or says why it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from study.analysis.tables import ArmResult, TableResult
from study.reporting.colors import Look, assign_looks
from study.reporting.figures.accuracy import MOST_NAMED, draw_accuracy_by_cost
from study.reporting.figures.attention import (
    HALF_RANGE,
    describe_range,
    draw_attention_by_group,
    draw_attention_by_layer,
)
from study.reporting.figures.classes import class_frame, describe_classes, draw_class_difference
from study.reporting.figures.curves import draw_training_curves, list_panels
from study.reporting.figures.frames import attention_frame, cost_frame, curve_frame
from study.reporting.figures.material import FigureMaterial
from study.reporting.figures.plotter import Draw, Plotter
from study.reporting.figures.style import FigureFiles, count_repeats, describe_band, save_frame, sentence
from study.spec.experiment import FigureSpec
from study.spec.resolved import UsedDataset

COST_FIGURE = ("accuracy_by_cost", "Accuracy against cost")
MOST_FACTORS = 3
"""Confounding factors that a caption names."""


@dataclass(frozen=True)
class Task:
    """A figure that is to be drawn.

    Attributes:
        spec: what is asked.
        table: the experiment it is of.
        material: what it is drawn from.
        looks: of arms, by name.
        dataset_looks: of data sets, by name.
        stem: where its files go, without suffix.
        plotter: what draws it.
    """

    spec: FigureSpec
    table: TableResult
    material: FigureMaterial
    looks: Mapping[str, Look]
    dataset_looks: Mapping[str, Look]
    stem: Path
    plotter: Plotter

    @property
    def rows(self) -> list[ArmResult]:
        """The arms it shows, in its order."""
        by_name = {row.arm.name: row for row in self.table.rows}
        return [by_name[name] for name in self.spec.arms if name in by_name]

    @property
    def dataset(self) -> UsedDataset:
        """The data set it is about."""
        chosen = (one for one in self.table.datasets if one.name == self.spec.dataset)
        return next(chosen, self.table.datasets[0])

    @property
    def by_label(self) -> dict[str, Look]:
        """The looks of its arms by what they are called."""
        return {row.arm.label: self.looks[row.arm.name] for row in self.rows}

    def plot(self, frame: pd.DataFrame, draw: Draw, *arguments: Any) -> tuple[Path, ...]:
        """Have it drawn from ``frame``; returns its files."""
        return self.plotter.plot(self.stem, frame, draw, *arguments)

    def done(self, files: tuple[Path, ...], *sentences: str) -> FigureFiles:
        """The figure, with its caption."""
        caption = " ".join(part for part in sentences if part)
        return FigureFiles(self.stem.name, self.spec.title, files, caption=caption)

    def missing(self, reason: str) -> FigureFiles:
        """Why there is none."""
        return FigureFiles(
            self.stem.name, self.spec.title, missing=f"Not drawn: {sentence(reason or 'no material')}"
        )


@dataclass(frozen=True)
class Figures:
    """The figures of a study. Others may still be drawing them: the files are there after :meth:`finish`.

    Attributes:
        by_experiment: those of each experiment, by its name.
        overview: those of all together.
        plotter: what draws them.
    """

    by_experiment: Mapping[str, tuple[FigureFiles, ...]]
    overview: tuple[FigureFiles, ...]
    plotter: Plotter

    def __iter__(self) -> Iterator[FigureFiles]:
        yield from self.overview
        for figures in self.by_experiment.values():
            yield from figures

    def finish(self) -> None:
        """Wait for all files; raises what drawing one of them raised."""
        self.plotter.finish()


def draw_figures(
    tables: Sequence[TableResult], material: FigureMaterial, folder: Path, executor: Executor | None = None
) -> Figures:
    """Draw every figure of ``tables`` into ``folder``.

    Args:
        tables: what the trials measured; the statistics of differences are in no figure and need not be there.
        material: what else is shown.
        folder: where the files go.
        executor: processes that draw while this one goes on; None draws here, at once.
    """
    plotter = Plotter(executor)
    looks = assign_looks([row.arm.name for row in table.rows] for table in tables)
    datasets = {dataset.name: dataset for table in tables for dataset in table.datasets}
    dataset_looks = assign_looks([sorted(datasets)])
    names = name_figures(tables)
    by_experiment = {
        table.experiment.name: tuple(
            DRAW[spec.kind](Task(spec, table, material, looks, dataset_looks, folder / name, plotter))
            for spec, name in zip(table.experiment.spec.figures, names[table.experiment.name], strict=True)
        )
        for table in tables
    }
    overview = tuple(_draw_cost(tables, used, looks, folder, plotter) for used in datasets.values())
    return Figures(by_experiment, overview, plotter)


def name_figures(tables: Iterable[TableResult]) -> dict[str, tuple[str, ...]]:
    """File names of the figures of each experiment: their own, after the experiment's where two have the same."""
    taken: set[str] = set()
    names: dict[str, tuple[str, ...]] = {}
    for table in tables:
        own = []
        for spec in table.experiment.spec.figures:
            name = spec.name
            if name in taken or name.startswith(COST_FIGURE[0]):
                name = f"{table.experiment.name}-{name}"
            while name in taken:
                name += "-2"
            taken.add(name)
            own.append(name)
        names[table.experiment.name] = tuple(own)
    return names


def _draw_attention(task: Task) -> FigureFiles:
    """Figures 5, 6 and 8."""
    dataset = task.dataset
    frame = attention_frame(task.rows, [dataset], task.material.attention)
    absent = [row.arm.label for row in task.rows if row.arm.label not in set(frame["arm"])]
    if frame.empty:
        return task.missing(f"no finished trial of {', '.join(absent)} recorded attention coefficients")
    if task.spec.kind == "attention_by_layer":
        files = task.plot(frame, draw_attention_by_layer, frame, task.spec.title)
    else:
        grouped = frame.assign(group=frame["arm"])
        files = task.plot(frame, draw_attention_by_group, grouped, task.spec.title, task.by_label)
    return task.done(files, _describe_attention(frame, "arm"), _describe_data([dataset]), _lacking(absent))


def _draw_attention_by_dataset(task: Task) -> FigureFiles:
    """Figure 7."""
    datasets = {one.shown: one for one in task.table.datasets}
    frame = attention_frame(task.rows, list(datasets.values()), task.material.attention)
    present = set(frame["dataset"])
    if frame.empty:
        label = task.rows[0].arm.label
        return task.missing(f"no finished trial of {label} recorded attention coefficients")
    looks = {label: task.dataset_looks[one.name] for label, one in datasets.items()}
    grouped = frame.assign(group=frame["dataset"])
    files = task.plot(frame, draw_attention_by_group, grouped, task.spec.title, looks)
    shown = [one for label, one in datasets.items() if label in present]
    absent = [label for label in datasets if label not in present]
    return task.done(files, _describe_attention(frame, "dataset"), _describe_data(shown), _lacking(absent))


def _draw_class_difference(task: Task) -> FigureFiles:
    found = task.material.classes.get((task.table.experiment.name, task.spec.name), "")
    if isinstance(found, str):
        return task.missing(found or "scores by video were not collected")
    first, second = task.rows
    labels = (first.arm.label, second.arm.label)
    looks = (task.looks[first.arm.name], task.looks[second.arm.name])
    frame = class_frame(found, labels)
    files = task.plot(frame, draw_class_difference, found, task.spec.title, labels, looks)
    factors = task.material.confounders.get((task.table.experiment.name, task.spec.name), ())
    confounded = ""
    if factors:
        named = "; ".join(str(factor) for factor in factors[:MOST_FACTORS])
        confounded = sentence(f"Confounded: the trials of the two arms also differ in {named}")
    return task.done(files, confounded, describe_classes(found), _describe_data([task.dataset]))


def _draw_curves(task: Task) -> FigureFiles:
    frame = curve_frame(task.rows, task.dataset, task.material.curves)
    absent = [row.arm.label for row in task.rows if row.arm.label not in set(frame["arm"])]
    panels = list_panels(frame)
    if not panels:
        return task.missing(
            f"no finished trial of {', '.join(row.arm.label for row in task.rows)} has curves"
        )
    files = task.plot(frame, draw_training_curves, frame, task.spec.title, task.by_label)
    said = (
        "Loss and training accuracy are means over the clips of an epoch as they came, augmented and while the "
        "network changed; they do not compare with validation accuracy."
    )
    if "val/top1" not in panels:
        said += " Validation accuracy was not measured from epoch to epoch."
    return task.done(
        files, describe_band(_repeats(frame, "arm")), said, _describe_data([task.dataset]), _lacking(absent)
    )


def _show_sheet(task: Task) -> FigureFiles:
    """Figures 9 and 10. The picture was made where the videos are."""
    found = task.material.sheets.get((task.table.experiment.name, task.spec.name), "")
    if isinstance(found, str):
        return task.missing(found or "its videos were not looked at")
    task.stem.parent.mkdir(parents=True, exist_ok=True)
    png = task.stem.with_name(f"{task.stem.name}.png")
    png.write_bytes(found.png)
    files = (png, save_frame(found.frame, task.stem))
    repeats = count_repeats({"": int(found.frame["repeats"].max())})
    count, name = len(found.frame), task.rows[0].arm.label
    said = (
        f"The {count} of {found.classes} classes that {name} recognizes best: top-1 (mean over {repeats}, ± one sample "
        "standard deviation) of at least half, in the order of the lower end of Wilson's interval. Each with the first "
        "validation video by name that every repeat got right, so these are chosen successes; frames from first to "
        "last."
    )
    return task.done(files, said, _describe_data([task.dataset]))


DRAW: dict[str, Callable[[Task], FigureFiles]] = {
    "attention_by_layer": _draw_attention,
    "attention_by_arm": _draw_attention,
    "attention_by_dataset": _draw_attention_by_dataset,
    "class_difference": _draw_class_difference,
    "training_curves": _draw_curves,
    "contact_sheet": _show_sheet,
}
"""What draws each kind of figure."""


def _draw_cost(
    tables: Sequence[TableResult],
    dataset: UsedDataset,
    looks: Mapping[str, Look],
    folder: Path,
    plotter: Plotter,
) -> FigureFiles:
    name, title = COST_FIGURE
    if dataset.name:
        name, title = f"{name}-{dataset.name}", f"{title}, {dataset.shown}"
    frame = cost_frame(tables, dataset.name)
    if frame.empty:
        return FigureFiles(name, title, missing="Not drawn: no finished trial has both accuracy and cost.")
    files = plotter.plot(folder / name, frame, draw_accuracy_by_cost, frame, title, looks)
    counts = sorted(set(frame["repeats"]))
    several = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    caption = (
        f"Mean over {several} repeat{'s' if counts[-1] > 1 else ''}; bars are one sample standard deviation over "
        "repeats each way (none for one repeat). Names joined by = are the same trials."
    )
    if len(frame) > MOST_NAMED:
        caption += f" The {MOST_NAMED} most accurate of {len(frame)} are named; the CSV has all."
    return FigureFiles(name, title, files, caption=f"{caption} {_describe_data([dataset])}".strip())


def _describe_attention(frame: pd.DataFrame, group: str) -> str:
    return (
        "Mean coefficient over output channels and validation videos. "
        f"{describe_band(_repeats(frame, group))} {describe_range(frame)} "
        f"The axis shows at least {0.5 - HALF_RANGE:g} to {0.5 + HALF_RANGE:g}."
    )


def _repeats(frame: pd.DataFrame, group: str) -> dict[str, int]:
    """How many repeats stand behind each group."""
    counts = frame.groupby(group, sort=False)["repeat"].nunique()
    return {str(name): int(count) for name, count in counts.items()}


def _describe_data(datasets: Sequence[UsedDataset]) -> str:
    """What the data sets are, where a table has them by name."""
    named = (f"Data: {one.label or one.name}. {sentence(one.about)}".strip() for one in datasets if one.name)
    return " ".join(named)


def _lacking(absent: Sequence[str]) -> str:
    return f"Without {', '.join(absent)}: no finished trial with this record." if absent else ""
