"""Putting a block where a specification wants it.

A backbone lists positions, a block says which kind it fills, and the block's factory turns the module that
stands there into the one that replaces it. So no backbone knows any block, and no block any backbone.
"""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from study.errors import ModelError
from study.models.backbones.base import Backbone, Position, SiteKind
from study.spec.blocks import BlockSpec
from study.spec.model import ModelSpec, PlacementSpec


@dataclass(frozen=True)
class Site:
    """A position that a block is about to fill.

    Attributes:
        kind: what stands there.
        name: qualified name in the backbone ("layer1.0.conv2").
        stage: stage of the backbone, from 1.
        index: number among the filled sites of the network, from 0.
        index_in_stage: number among the filled sites of the stage, from 0.
        module: the module that stands there, with its initial weights; the block takes over what it needs.
    """

    kind: SiteKind
    name: str
    stage: int
    index: int
    index_in_stage: int
    module: nn.Module

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution of a ``spatial_conv`` site."""
        if not isinstance(self.module, nn.Conv2d):
            raise ModelError(f"{self.name}: expected a convolution, found {type(self.module).__name__}")
        return self.module


@dataclass(frozen=True)
class FilledSite:
    """A site with the module that fills it. ``stage`` counts from 1, ``index`` from 0 through the network."""

    name: str
    stage: int
    index: int
    module: nn.Module


BlockFactory = Callable[[BlockSpec, Site, int], nn.Module]
"""``build(spec, site, frames) -> module``: maps (N*T, C, H, W) to (N*T, C', H', W') with T = ``frames``."""


def fill_sites(backbone: Backbone, spec: ModelSpec, frames: int) -> list[FilledSite]:
    """Replace the modules at the sites that ``spec`` names with its block, in place.

    Args:
        backbone: the network, with its initial weights.
        spec: its block and placement are read.
        frames: T, frames of a clip.

    Returns:
        What was filled, in the order of the forward pass.

    Raises:
        ModelError: when no site is filled, or a site cannot take the block.
    """
    block = spec.block
    factory: BlockFactory = pkgutil.resolve_name(block.factory)
    positions = _select(backbone.positions, block.site, spec)
    in_stage: Counter[int] = Counter()
    filled = []
    for index, position in enumerate(positions):
        site = Site(
            kind=position.kind,
            name=position.name,
            stage=position.stage,
            index=index,
            index_in_stage=in_stage[position.stage],
            module=backbone.module.get_submodule(position.name),
        )
        in_stage[position.stage] += 1
        module = factory(block, site, frames)
        backbone.module.set_submodule(position.name, module)
        filled.append(FilledSite(position.name, position.stage, index, module))
    return filled


def _select(positions: tuple[Position, ...], kind: SiteKind, spec: ModelSpec) -> list[Position]:
    """The positions of ``kind`` that the placement of ``spec`` keeps; none is an error."""
    placement: PlacementSpec = spec.placement
    of_kind = [position for position in positions if position.kind == kind]
    stages = sorted({position.stage for position in of_kind})
    if not of_kind:
        raise ModelError(
            f"backbone '{spec.backbone}' has no site of kind '{kind}' for block '{spec.block.type}'"
        )
    for stage in placement.stages or ():
        if stage not in stages:
            allowed = ", ".join(map(str, stages))
            raise ModelError(
                f"model.placement.stages: {stage}: backbone '{spec.backbone}' has no site of kind '{kind}' "
                f"in that stage. Allowed: {allowed}"
            )
    wanted = stages if placement.stages is None else placement.stages
    selected = [position for position in of_kind if position.stage in wanted][:: placement.every]
    if not selected:
        raise ModelError(f"model.placement: no site of '{spec.backbone}' is filled; name at least one stage")
    return selected
