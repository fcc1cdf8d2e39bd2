"""Table 1: the network as it is built here, beside the network as the paper prints it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from study.analysis.published import PublishedTable, RowSpec, load_published
from study.analysis.tables import PAPER_PROFILE
from study.cost.architecture import Architecture, Layer, Stage
from study.cost.cache import source_fingerprint
from study.errors import StudyError
from study.reporting.display import Cell, Column, Display, Footnotes
from study.reporting.signs import ABSENT
from study.running.store import Store
from study.spec.loading import load_study
from study.spec.record import write_atomically
from study.spec.trial import TrialSettings, derive_digest, identity_dump

EXPERIMENT, ARM, TABLE = "table7", "STH hybrid", "table1"
CLASSES = 174
"""Of Something-Something V1, on which the paper describes the network."""
STAGES = {
    "conv1": "Conv1",
    "maxpool": "Pool1",
    "layer1": "Conv2_x",
    "layer2": "Conv3_x",
    "layer3": "Conv4_x",
    "layer4": "Conv5_x",
    "avgpool": "Pool5",
    "classifier": "FC",
    "consensus": "Consensus",
}
"""The paper's names of our stages."""
BUILT, PUBLISHED = "built here", "published"
PARTS = ("first", "hybrid", "last")
"""The paper's columns for the three convolutions of a block, in order."""
Document = dict[str, object]
HEADERS = {"first": "1 × 1 × 1", "hybrid": "STH-Conv", "last": "1 × 1 × 1, second"}


def show_architecture(store: Store) -> Display | None:
    """Table 1 for a report: STH hybrid of Table 7 at the paper's profile; None where it cannot be built.

    The network is built once; its description is kept among the costs of ``store``.
    """
    try:
        experiment = load_study([EXPERIMENT], profile=PAPER_PROFILE).experiment(EXPERIMENT)
        published = load_published(TABLE)
        architecture = find_architecture(experiment.arm(ARM).settings, store.costs)
    except StudyError:
        return None
    return build_architecture_table(architecture, published)


def find_architecture(settings: TrialSettings, cache: Path) -> Architecture:
    """The architecture of the network of ``settings``, from the folder ``cache`` or built now and put there.

    Raises:
        ModelError: when it cannot be built.
    """
    clip = settings.clip
    geometry = {
        "num_classes": CLASSES,
        "frames": clip.frames,
        "size": clip.size,
        "in_channels": clip.channels,
    }
    model = {name: value for name, value in identity_dump(settings.model).items() if name != "init"}
    key = derive_digest({"model": model, "code": source_fingerprint()} | geometry)
    path = cache / f"architecture-{key[:24]}.json"
    try:
        return Architecture.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        from study.cost.stages import describe_architecture

        found = describe_architecture(settings.model, **geometry)
        with suppress(OSError):  # a store that cannot be written has it built each time
            write_atomically(path, found.model_dump_json(indent=1))
        return found


def build_architecture_table(architecture: Architecture, published: PublishedTable) -> Display:
    """The stages of ``architecture`` beside the printed ones. Printed cells that are not as built have a footnote."""
    notes, rows = Footnotes(), []
    printed = {row.row: row for row in published.rows}
    for stage in architecture.stages:
        label = STAGES.get(stage.name, stage.name)
        rows.append((Cell(label), *_built_cells(stage), *_printed_cells(stage, printed.get(label), notes)))
    total = (Cell("all"), *[Cell("")] * 5, Cell(_millions(architecture.params)), *[Cell("")] * 5)
    built = ["output (C, T, H, W)", *HEADERS.values(), "blocks", "params, M"]
    paper = [published.columns[name].header for name in ("output", *PARTS, "blocks")]
    columns = [Column("", "stage", text=True)]
    columns += [Column(BUILT, name, first=number == 0) for number, name in enumerate(built)]
    columns += [Column(PUBLISHED, name, number == 0, published=True) for number, name in enumerate(paper)]
    return Display(
        name=TABLE,
        title=f"Table 1: {published.title.rstrip('.')}",
        columns=tuple(columns),
        rows=(*rows, total),
        notes=tuple(notes.texts),
        legend=_write_legend(architecture, published),
        frame=frame_architecture(architecture, published),
    )


def _built_cells(stage: Stage) -> list[Cell]:
    """Output, the three layers of a block or the only one, blocks, parameters."""
    widths = [_describe_layer(layer) for layer in stage.layers]
    if len(widths) == 1:
        widths = [widths[0], ABSENT, ABSENT]
    elif len(widths) != len(PARTS):
        widths = [", ".join(widths) or ABSENT, ABSENT, ABSENT]
    blocks = str(stage.blocks) if stage.kind == "blocks" else ABSENT
    return [Cell(text) for text in (_size(stage.output), *widths, blocks, _millions(stage.params))]


def _describe_layer(layer: Layer) -> str:
    """Its channels, with the kernels where no heading names them: "64 (1 × 7 × 7)"."""
    if layer.kind != "conv" or layer.kernels == ((1, 1, 1),):
        return str(layer.outputs)
    return f"{layer.outputs} ({', '.join(_size(kernel) for kernel in layer.kernels)})"


def _printed_cells(stage: Stage, row: RowSpec | None, notes: Footnotes) -> list[Cell]:
    names = ("output", *PARTS, "blocks")
    if row is None:
        return [Cell("")] * len(names)
    ours = _values(stage)
    cells = []
    for name in names:
        value = row.values[name]
        differs = ours[name] is not None and str(ours[name]) != str(value)
        marks = notes.add(_explain(name) if differs else "", row.doubts.get(name, ""))
        cells.append(Cell(ABSENT if value is None else str(value), marks))
    return cells


def _explain(name: str) -> str:
    if name == "first":
        return (
            "Not as built: in ResNet-50 this convolution is as wide as the one that follows it, which gives the "
            "parameters that Table 7 prints; the printed width does not (run_study.py lint paper)."
        )
    return "Not as built."


def _values(stage: Stage) -> Document:
    """What the printed columns would hold for the network as built; None where a stage has no such layer."""
    widths = (
        [layer.outputs for layer in stage.layers] if len(stage.layers) == len(PARTS) else [None] * len(PARTS)
    )
    return {"output": _size(stage.output), **dict(zip(PARTS, widths, strict=True)), "blocks": stage.blocks}


def frame_architecture(architecture: Architecture, published: PublishedTable) -> pd.DataFrame:
    """One row a stage: sizes, channels of the layers, blocks and parameters as built, and the printed values."""
    printed = {row.row: row for row in published.rows}
    records = []
    for stage in architecture.stages:
        label = STAGES.get(stage.name, stage.name)
        values = printed[label].values if label in printed else {}
        record: Document = {"stage": label, "module": stage.name, "output": _size(stage.output)}
        record["layers"] = "; ".join(
            f"{layer.name}: {layer.kind} {_kernels(layer)}" for layer in stage.layers
        )
        record["layer_channels"] = "; ".join(str(layer.outputs) for layer in stage.layers)
        record |= {"blocks": stage.blocks, "params": stage.params}
        record |= {f"published_{name}": values.get(name) for name in published.columns}
        records.append(record)
    return pd.DataFrame(records)


def _kernels(layer: Layer) -> str:
    return " + ".join(_size(kernel) for kernel in layer.kernels)


def _size(values: Sequence[int]) -> str:
    return " × ".join(map(str, values))


def _millions(params: int) -> str:
    return f"{params / 1e6:.3f}" if params else ABSENT


def _write_legend(architecture: Architecture, published: PublishedTable) -> str:
    hybrid = next((x for s in architecture.stages for x in s.layers if x.kind != "conv"), None)
    about = f"STH-Conv here is made of kernels {_kernels(hybrid).replace(' + ', ' and ')}. " if hybrid else ""
    return (
        f"Built here: {ARM} of {EXPERIMENT} at the profile {PAPER_PROFILE}, {architecture.classes} classes, input "
        f"{_size(architecture.input)}; sizes are those of a forward pass of one clip. {about}Layers are those of the "
        "last block of a stage; parameters are of the whole stage with its shortcut and normalization. "
        f"Published: {published.source}; {published.setting.rstrip('.')}. "
        "Only its rows with blocks are transcribed."
    )
