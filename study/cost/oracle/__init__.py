"""Parameters and multiply-accumulates in closed form: arithmetic on the geometry of layers, no torch.

This is the third opinion beside fvcore and torch's own counter. It shares no code with the networks: the
shapes of the backbones and the formulas of the blocks are written down here again, from the papers. Counted
are the operators as defined, with zero padding counted as work, as the other counters do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from study.cost.oracle import formulas
from study.cost.oracle.dispatch import conv_cost, residual_cost
from study.cost.oracle.geometries import GEOMETRIES
from study.cost.oracle.geometry import Conv, Cost, LayerCost, Residual, Turn, Unit
from study.cost.oracle.head import derive_head
from study.errors import ModelError, suggest
from study.spec.blocks import BlockSpec, SiteKind
from study.spec.model import ModelSpec, PlacementSpec

__all__ = ["LayerCost", "derive_layers", "derive_total", "formulas", "has_closed_form"]

Placed = defaultdict[str, list[tuple[BlockSpec, Turn]]]
"""Blocks by the name of the convolution or residual block that they take the place of, and whose turn it is."""


def has_closed_form(model: ModelSpec) -> bool:
    """Whether the geometry of the backbone is written down here. Networks of their own are counted by torch
    and fvcore alone, and held against the counts that their authors publish.
    """
    return model.backbone in GEOMETRIES


def derive_layers(
    model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
) -> list[LayerCost]:
    """Every module with parameters, for one view of ``frames`` frames of ``size`` x ``size`` pixels.

    Raises:
        ModelError: for a backbone or a block without a formula.
    """
    if not has_closed_form(model):
        raise ModelError(
            f"no closed form for backbone '{model.backbone}'; {suggest(model.backbone, GEOMETRIES)}"
        )
    images = frames // model.stack
    geometry = GEOMETRIES[model.backbone](size, in_channels * model.stack)
    at = _place(model, geometry.units)
    layers = []
    for unit in geometry.units:
        if unit.name in at and isinstance(unit, Residual):
            layers.append(_residual_layer(unit, at, images))
            continue
        for conv in unit.convs if isinstance(unit, Residual) else (unit,):
            layers.append(LayerCost(f"backbone.{conv.name}", *_conv_cost(conv, at, images)))
            if conv.norm:
                layers.append(LayerCost(f"backbone.{conv.norm}", 2 * conv.outputs, 0))
    layers += derive_head(model, features=geometry.features, num_classes=num_classes, frames=images)
    return layers


def _conv_cost(conv: Conv, at: Placed, frames: int) -> Cost:
    costs = [conv_cost(block, replace(conv, turn=turn), frames) for block, turn in at[conv.name]]
    return _sum_changes(conv.plain_cost(frames), costs)


def _residual_layer(unit: Residual, at: Placed, frames: int) -> LayerCost:
    """A residual block that is replaced, with what blocks do to the convolutions inside it."""
    plain = unit.plain_cost(frames)
    costs = [residual_cost(block, replace(unit, turn=turn), frames) for block, turn in at[unit.name]]
    params, macs = _sum_changes(plain, costs)
    for conv in unit.convs:
        before, after = conv.plain_cost(frames), _conv_cost(conv, at, frames)
        params, macs = params + after[0] - before[0], macs + after[1] - before[1]
    return LayerCost(f"backbone.{unit.name}", params, macs)


def _sum_changes(plain: Cost, costs: list[Cost]) -> Cost:
    """``plain`` with what each block alone changes in it; two blocks in one place add up."""
    params, macs = plain
    return params + sum(cost[0] - params for cost in costs), macs + sum(cost[1] - macs for cost in costs)


def derive_total(
    model: ModelSpec, *, num_classes: int, frames: int, size: int, in_channels: int = 3
) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one view, summed over :func:`derive_layers`."""
    layers = derive_layers(model, num_classes=num_classes, frames=frames, size=size, in_channels=in_channels)
    return sum(layer.params for layer in layers), sum(layer.macs for layer in layers)


def _place(model: ModelSpec, units: tuple[Unit, ...]) -> Placed:
    """The blocks at each name that the placements give them."""
    places = [(model.block, model.placement)]
    if model.on_top is not None:
        places.append((model.on_top.block, model.on_top.placement))
    at: Placed = defaultdict(list)
    for block, placement in places:
        selected = _select(units, block.site, placement)
        stages = [stage for _, stage in selected]
        for index, (name, stage) in enumerate(selected):
            turn = Turn(index, stages[:index].count(stage), stage not in stages[index + 1 :])
            at[name].append((block, turn))
    return at


def _select(
    units: tuple[Unit, ...], kind: SiteKind | None, placement: PlacementSpec
) -> list[tuple[str, int]]:
    """Name and stage of the positions that ``placement`` keeps."""
    sites = [
        (name, stage)
        for name, stage in _list_sites(units, kind)
        if placement.stages is None or stage in placement.stages
    ]
    return sites[placement.offset :: placement.every]


def _list_sites(units: tuple[Unit, ...], kind: SiteKind | None) -> Iterator[tuple[str, int]]:
    """Name and stage of every position of ``kind``, in order."""
    for unit in units:
        if isinstance(unit, Conv):
            if unit.kind == kind is not None:
                yield unit.name, unit.stage
        elif kind == "residual_block":
            yield unit.name, unit.stage
        elif kind == "residual_input":
            yield unit.convs[0].name, unit.stage
        else:
            yield from ((conv.name, conv.stage) for conv in unit.convs if conv.kind == kind is not None)
