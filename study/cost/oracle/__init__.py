"""Parameters and multiply-accumulates in closed form: arithmetic on the geometry of layers, no torch.

This is the third opinion beside fvcore and torch's own counter. It shares no code with the networks: the
shapes of the backbones and the formulas of the blocks are written down here again, from the papers. Counted
are the operators as defined, with zero padding counted as work, as the other counters do.
"""

from __future__ import annotations

from collections.abc import Iterator

from study.cost.oracle import formulas
from study.cost.oracle.dispatch import conv_cost, residual_cost
from study.cost.oracle.geometry import GEOMETRIES, Conv, LayerCost, Residual, Unit
from study.errors import ModelError, suggest
from study.spec.blocks import BlockSpec, Conv2dBlock, SiteKind
from study.spec.model import ModelSpec, PlacementSpec

__all__ = ["LayerCost", "derive_layers", "derive_total", "formulas", "has_closed_form"]


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
    geometry = GEOMETRIES[model.backbone](size, in_channels)
    at = _place(model, geometry.units)
    layers = []
    for unit in geometry.units:
        if unit.name in at and isinstance(unit, Residual):
            layers.append(LayerCost(f"backbone.{unit.name}", *residual_cost(at[unit.name], unit, frames)))
            continue
        for conv in unit.convs if isinstance(unit, Residual) else (unit,):
            cost = conv_cost(at.get(conv.name, Conv2dBlock(type="conv2d")), conv, frames)
            layers.append(LayerCost(f"backbone.{conv.name}", *cost))
            if conv.norm:
                layers.append(LayerCost(f"backbone.{conv.norm}", 2 * conv.outputs, 0))
    features = geometry.features
    layers.append(LayerCost("classifier", (features + 1) * num_classes, features * num_classes * frames))
    return layers


def derive_total(model: ModelSpec, *, num_classes: int, frames: int, size: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one view, summed over :func:`derive_layers`."""
    layers = derive_layers(model, num_classes=num_classes, frames=frames, size=size)
    return sum(layer.params for layer in layers), sum(layer.macs for layer in layers)


def _place(model: ModelSpec, units: tuple[Unit, ...]) -> dict[str, BlockSpec]:
    """The block at each name that the placement gives it."""
    places = [(model.block, model.placement)]
    if model.on_top is not None:
        places.append((model.on_top.block, model.on_top.placement))
    at: dict[str, BlockSpec] = {}
    for block, placement in places:
        at |= dict.fromkeys(_select(units, block.site, placement), block)
    return at


def _select(units: tuple[Unit, ...], kind: SiteKind | None, placement: PlacementSpec) -> list[str]:
    names = [
        name
        for name, stage in _list_sites(units, kind)
        if placement.stages is None or stage in placement.stages
    ]
    return names[placement.offset :: placement.every]


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
