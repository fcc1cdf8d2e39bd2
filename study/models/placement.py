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
from study.models.backbones.base import Backbone, Position
from study.spec.blocks import BlockSpec, SiteKind
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
        ends_stage: whether it is the last filled site of its stage.
    """

    kind: SiteKind
    name: str
    stage: int
    index: int
    index_in_stage: int
    module: nn.Module
    ends_stage: bool = False

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
    filled = _fill(backbone, spec.block, spec.placement, frames, spec.backbone)
    if spec.on_top is not None:
        filled += _fill(backbone, spec.on_top.block, spec.on_top.placement, frames, spec.backbone)
    return filled


def _fill(
    backbone: Backbone, block: BlockSpec, placement: PlacementSpec, frames: int, name: str
) -> list[FilledSite]:
    if block.site is None:
        return []
    factory: BlockFactory = pkgutil.resolve_name(block.factory)
    in_stage: Counter[int] = Counter()
    filled = []
    selected = _select(backbone.positions, block, placement, name)
    for index, position in enumerate(selected):
        site = Site(
            kind=position.kind,
            name=position.name,
            stage=position.stage,
            index=index,
            index_in_stage=in_stage[position.stage],
            module=_find(backbone.module, position.name, block),
            ends_stage=all(later.stage != position.stage for later in selected[index + 1 :]),
        )
        in_stage[position.stage] += 1
        module = factory(block, site, frames)
        backbone.module.set_submodule(position.name, module)
        filled.append(FilledSite(position.name, position.stage, index, module))
    return filled


def _find(network: nn.Module, name: str, block: BlockSpec) -> nn.Module:
    """The submodule ``name``, which a block placed before may have taken away."""
    try:
        return network.get_submodule(name)
    except AttributeError:
        raise ModelError(
            f"{name}: block '{block.type}' finds its position gone: the block placed before it replaced the "
            "layers around it. Exchange model.block and model.on_top.block, or place them apart"
        ) from None


def _select(
    positions: tuple[Position, ...], block: BlockSpec, placement: PlacementSpec, backbone: str
) -> list[Position]:
    """The positions that ``placement`` keeps of those that ``block`` can fill; none is an error."""
    kind = block.site
    of_kind = [position for position in positions if position.kind == kind]
    stages = sorted({position.stage for position in of_kind})
    if not of_kind:
        raise ModelError(f"backbone '{backbone}' has no site of kind '{kind}' for block '{block.type}'")
    for stage in placement.stages or ():
        if stage not in stages:
            allowed = ", ".join(map(str, stages))
            raise ModelError(
                f"model.placement.stages: {stage}: backbone '{backbone}' has no site of kind '{kind}' "
                f"in that stage. Allowed: {allowed}"
            )
    wanted = stages if placement.stages is None else placement.stages
    selected = [position for position in of_kind if position.stage in wanted]
    selected = selected[placement.offset :: placement.every]
    if not selected:
        raise ModelError(f"model.placement: no site of '{backbone}' is filled; name at least one stage")
    return selected
